/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/admission.h"

#include "core/refusal.h"
#include "daemon/assignments-service.h"
#include "daemon/attach-requests.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static bool is_on_this_host(const Tdid *tdid, Bdf device)
{
	char path[PATH_MAX], text[BDF_STRING_SIZE];

	return snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", tdid->config->sysfs,
			bdf_format(device, text)) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

/* What the providers have to say for themselves, as far as it may be the cause. */
static char *troubles(const Tdid *tdid)
{
	char *text = strdup(tdid->config->n_tsms == 0 ? ": tdid.conf names none (`tsms`)" : "");

	for (size_t i = 0; text && i < tdid->config->n_tsms; i++) {
		const char *trouble = provider_trouble(tdid->providers[i]);
		_cleanup_free_ char *before = text;

		if (!trouble) {
			steal_ptr(before);
			continue;
		}
		if (asprintf(&text, "%s. Tsm %s: %s", before, provider_name(tdid->providers[i]),
			     trouble) < 0)
			text = NULL;
	}
	return text;
}

static int refuse_unserved(const Tdid *tdid, char **ret_why)
{
	_cleanup_free_ char *more = troubles(tdid);

	if (!more)
		return -ENOMEM;
	return refuse(
		ret_why, 1,
		"no TSM serves it as a TEE-IO device%s. 'tdictl devices' lists those that are "
		"served; see the provider's configuration, and 'tdictl doctor'",
		more);
}

char *admission_rivals(const Provider *provider, const Provider *rival)
{
	char *text;

	return asprintf(&text,
			"tsm %s and tsm %s both serve it, and neither knows what the other holds "
			"of it. Have one of the two serve it no longer, in its own configuration, "
			"or take that one out of `tsms` in tdid.conf and restart tdid",
			provider_name(provider), provider_name(rival)) < 0
		       ? NULL
		       : text;
}

static bool is_drained(const Tdid *tdid, Bdf dsm)
{
	const Dsm *d = registry_find_dsm(tdid->registry, dsm);

	return d && d->drained;
}

int admission_of_device(Tdid *tdid, const DomainXml *xml, const DomainDevice *device, Bdf *ret_dsm,
			Provider **ret_provider, char **ret_why)
{
	Provider *provider = tdid_provider_of(tdid, device->host, ret_dsm);
	ConfigRequireTvm require = tdid->config->require_tvm;
	char text[BDF_STRING_SIZE];
	const char *excluded;

	*ret_provider = provider;
	excluded = exclusions_find(tdid->config->excluded, device->host, provider ? ret_dsm : NULL);
	if (excluded)
		return refuse(
			ret_why, 1,
			"tdid.conf excludes it ('%s' in `excluded`): nobody is to have it as a "
			"trusted device. Take that out there and restart tdid, or use another "
			"device ('tdictl devices')",
			excluded);
	if (provider && is_drained(tdid, *ret_dsm))
		return refuse(ret_why, 1,
			      "its DSM %s is being drained, so that nobody gets a device of it. "
			      "'tdictl undrain %s' ends that",
			      bdf_format(*ret_dsm, text), text);
	if (!provider && !tdid_providers_ready(tdid))
		return 0;
	if (!provider && !is_on_this_host(tdid, device->host))
		return refuse(ret_why, 1,
			      "there is no such function on this host. See 'lspci -D'; virtual "
			      "functions have to be made first (sriov_numvfs)");
	if (!provider)
		return refuse_unserved(tdid, ret_why);
	if (xml->launch_security == LAUNCH_SECURITY_NONE &&
	    (device->policy.require_tvm || require == CONFIG_REQUIRE_TVM_ALWAYS ||
	     (require == CONFIG_REQUIRE_TVM_PROTECTED && provider_protects(provider))))
		return refuse(
			ret_why, 1,
			"its domain is no confidential VM (the XML has no <launchSecurity>), "
			"so nothing would be protected by it. Make it one, or see require_tvm "
			"in tdid.conf and require-tvm in its metadata");
	return 0;
}

int admission_of_server(Tdid *tdid, const Provider *provider, Bdf host, Bdf dsm, char **ret_why)
{
	const Provider *rival = tdid_rival_of(tdid, provider, &host, dsm);
	_cleanup_free_ char *why = rival ? admission_rivals(provider, rival) : NULL;

	if (!rival)
		return 0;
	return why ? refuse(ret_why, 1, "%s", why) : -ENOMEM;
}

int admission_of_hold(Tdid *tdid, const DomainXml *xml, const DomainDevice *device, Bdf dsm,
		      char **ret_why)
{
	const Tdi *tdi = registry_find_tdi(tdid->registry, device->host);
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;
	const Dsm *d = registry_find_dsm(tdid->registry, dsm);
	const EngineDsm *f = d ? engine_dsm(tdid->engine, d->id) : NULL;
	const Assignment *owner = e && e->owner != ENGINE_NONE
					  ? registry_assignment_at(tdid->registry, e->owner)
					  : NULL;
	char text[BDF_STRING_SIZE];

	if (e && e->state != TDI_KNOWN)
		return refuse(ret_why, 1,
			      "it is quarantined: what the TSM holds of it is not known. See "
			      "'tdictl devices' for why; 'tdictl clear %s' is the way out",
			      bdf_format(device->host, text));
	if (f && f->state == DSM_QUARANTINED)
		return refuse(ret_why, 1,
			      "its DSM %s is quarantined: whether the TSM has a session with it is "
			      "not known. 'tdictl reclaim %s' is the way out",
			      bdf_format(dsm, text), text);
	if (owner && !uuid_equal(owner->tvm->uuid, xml->uuid))
		return refuse(ret_why, 1, "it is still %s's. See 'tdictl list'; detach it there",
			      owner->tvm->domain ? owner->tvm->domain->name : "another TVM");
	return 0;
}

/*
 * After a reset of its guest it is in neither state for a moment. One that was refused is in use as
 * long as its guest has it: that may reset it all the same.
 */
static bool is_in_use(const Tdid *tdid, const Assignment *a)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

	return e && (e->present || a->reset || assignment_state_needs_session(e->state));
}

bool admission_excludes(Bdf dsm, Bdf one, Bdf other)
{
	return !bdf_equal(one, other) && (bdf_equal(one, dsm) || bdf_equal(other, dsm));
}

/* Who has the DSM's own function while this is another one of it, or the other way round. */
static const Assignment *find_excluding(const Tdid *tdid, Bdf host, const Dsm *dsm)
{
	const Assignment *a;

	for (uint32_t p = 0; dsm && (a = registry_next_of_dsm(dsm, &p));)
		if (admission_excludes(dsm->bdf, host, a->tdi->bdf) && is_in_use(tdid, a))
			return a;
	return NULL;
}

int admission_beside_dsm(Tdid *tdid, Bdf host, Bdf dsm, char **ret_why)
{
	const Assignment *a = find_excluding(tdid, host, registry_find_dsm(tdid->registry, dsm));
	char text[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	const char *owner;

	if (!a)
		return 0;
	owner = a->tvm->domain && a->tvm->domain->name ? a->tvm->domain->name
						       : uuid_format(a->tvm->uuid, uuid);
	if (bdf_equal(host, dsm))
		return refuse(
			ret_why, 1,
			"it is the function that its DSM is in, and %s of that DSM is %s's: a "
			"reset of the one ends what the TSM holds of the others. Detach those "
			"first (see 'tdictl list'), or use another function of it",
			bdf_format(a->tdi->bdf, text), owner);
	return refuse(ret_why, 1,
		      "the function that its DSM is in, %s, is itself %s's (%s), who may reset it "
		      "at any time. 'tdictl detach %s/%s' first (if its guest does not let it go, "
		      "only the end of that domain takes it back), or use another device",
		      bdf_format(dsm, text), owner,
		      assignment_state_name(engine_assignment(tdid->engine, a->id)->state), owner,
		      a->alias);
}

int admission_beside_attaches(Tdid *tdid, Bdf host, Bdf dsm, char **ret_why)
{
	const AttachRequests *requests = assignments_service_attach_requests(tdid->assignments);
	const AttachRecord *record = attach_requests_under_way(requests, dsm, &host);
	char text[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	const Domain *domain;

	if (!record)
		return 0;
	domain = registry_find_domain(tdid->registry, record->domain);
	return refuse(ret_why, 1,
		      "%s of the same DSM is being attached to %s, and one of them is the function "
		      "that the DSM is in: a reset of that ends what the TSM holds of the others. "
		      "Wait for the end of that attach, or use another device",
		      bdf_format(record->device, text),
		      domain && domain->name ? domain->name : uuid_format(record->domain, uuid));
}

/* Two that cannot be had together: the DSM's own function, and another one of it. */
static int check_together(Tdid *tdid, const DomainXml *xml, Bdf dsm, char **ret_why)
{
	for (size_t i = 0; i < xml->n_devices; i++) {
		Bdf host = xml->devices[i].host, other;
		char text[BDF_STRING_SIZE];

		if (!bdf_equal(host, dsm) && tdid_provider_of(tdid, host, &other) &&
		    bdf_equal(other, dsm))
			return refuse(
				ret_why, 1,
				"it is the function that its DSM is in, and the domain has %s "
				"of that DSM, too: a reset of the one ends what the TSM holds "
				"of the other. Take one of them out of the XML",
				bdf_format(host, text));
	}
	return 0;
}

int admission_of_start(Tdid *tdid, const DomainXml *xml, char **ret_why)
{
	if (xml->policy_trouble)
		return refuse(
			ret_why, 1,
			"the policy in its metadata: %s. Set it right with 'virsh metadata' or "
			"'virsh edit'",
			xml->policy_trouble);
	for (size_t i = 0; i < xml->n_devices; i++) {
		const DomainDevice *device = &xml->devices[i];
		_cleanup_free_ char *why = NULL;
		char text[BDF_STRING_SIZE];
		Provider *provider;
		Bdf dsm;
		int r;

		r = admission_of_device(tdid, xml, device, &dsm, &provider, &why);
		if (r == 0 && provider)
			r = admission_of_server(tdid, provider, device->host, dsm, &why);
		if (r == 0 && provider)
			r = admission_of_hold(tdid, xml, device, dsm, &why);
		if (r == 0 && provider)
			r = admission_beside_dsm(tdid, device->host, dsm, &why);
		if (r == 0 && provider)
			r = admission_beside_attaches(tdid, device->host, dsm, &why);
		if (r == 0 && provider && bdf_equal(device->host, dsm))
			r = check_together(tdid, xml, dsm, &why);
		if (r < 0)
			return r;
		if (r > 0)
			return refuse(ret_why, 1, "device %s (%s): %s", device->alias,
				      bdf_format(device->host, text), why ?: "out of memory");
	}
	return 0;
}
