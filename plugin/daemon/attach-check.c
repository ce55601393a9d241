/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/attach-check.h"

#include "core/domain-xml.h"
#include "core/hostdev-xml.h"
#include "core/refusal.h"
#include "daemon/admission.h"
#include "daemon/assignments-service.h"
#include "daemon/attach-arguments.h"

#include <errno.h>
#include <string.h>

static int check_domain(Tdid *tdid, const AttachQuestion *question, const VmmDomain *seen,
			const DomainXml *xml, AttachFinding *ret, char **ret_why)
{
	const Domain *domain = registry_find_domain(tdid->registry, question->domain);
	const EngineTvm *e;

	if (!xml->has_guest_port)
		return refuse(ret_why, 1,
			      "the domain has no guest port " DOMAIN_XML_GUEST_PORT ", over which "
			      "the agent in the VM gets to know of its devices. Give it that "
			      "<channel> (examples/domain.xml), and start it anew");
	ret->tvm = domain ? domain->tvm : NULL;
	e = ret->tvm ? engine_tvm(tdid->engine, ret->tvm->id) : NULL;
	if (!e)
		return refuse(ret_why, 1,
			      "which QEMU is %s's is not known yet. Try again; if it stays so, "
			      "libvirt's hook does not reach tdid: see 'tdictl doctor'",
			      seen->name);
	if (e->stopping)
		return refuse(ret_why, 1, "the domain is being stopped. Start it first");
	return 0;
}

/* The device is in the live XML. */
static int check_plugged(Tdid *tdid, const AttachQuestion *question, const DomainDevice *device,
			 AttachFinding *ret, char **ret_why)
{
	Assignment *a = registry_find_assignment(ret->tvm, device->alias, device->host);
	const EngineAssignment *e = a ? engine_assignment(tdid->engine, a->id) : NULL;

	if (question->named && strcmp(question->alias, device->alias) != 0)
		return refuse(ret_why, 1,
			      "it is there already, as %s. Name it so, or not at all, or detach it "
			      "first",
			      device->alias);
	if (e && (e->present || e->state == ASSIGNMENT_QUARANTINED) &&
	    attach_progress(e->state) < 0)
		return refuse(ret_why, 1, "it is still there as %s, and %s%s%s. %s", device->alias,
			      assignment_state_name(e->state), a->reason ? ": " : "",
			      a->reason ?: "",
			      e->state == ASSIGNMENT_HELD	   ? "Detach it first"
			      : e->state == ASSIGNMENT_QUARANTINED ? "'tdictl clear' is the way out"
								   : "Try again when that is over");
	if (e && e->present && assignments_service_is_detaching(tdid->assignments, a))
		return refuse(ret_why, 1,
			      "it is there as %s, and being detached. Try again when that is over",
			      device->alias);
	ret->plugged = true;
	ret->alias = strdup(device->alias);
	ret->assignment = e && e->present ? a : NULL;
	if (ret->assignment) {
		ret->provider = a->dsm->provider;
		ret->dsm = a->dsm->bdf;
	}
	return ret->alias ? 0 : -ENOMEM;
}

/* It is not in the domain, so whatever is left of it there is on its way out. */
static int check_left(Tdid *tdid, const AttachQuestion *question, char **ret_why)
{
	const Tdi *tdi = registry_find_tdi(tdid->registry, question->device);
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;
	const EngineAssignment *owner =
		e && e->owner != ENGINE_NONE ? engine_assignment(tdid->engine, e->owner) : NULL;

	if (!owner)
		return 0;
	return refuse(ret_why, 1,
		      "what was attached before is still %s. Try again when that is over ('tdictl "
		      "watch')",
		      assignment_state_name(owner->state));
}

static int check_provider(Tdid *tdid, const Provider *provider, char **ret_why)
{
	for (size_t i = 0; !provider && i < tdid->config->n_tsms; i++)
		if (!provider_is_ready(tdid->providers[i]))
			provider = tdid->providers[i];
	if (provider_is_ready(provider))
		return 0;
	return refuse(ret_why, 1, "tsm %s is not ready: %s. Try again when it is",
		      provider_title(provider), provider_trouble(provider) ?: "?");
}

static int check_device(Tdid *tdid, const AttachQuestion *question, const DomainXml *xml,
			AttachFinding *ret, char **ret_why)
{
	DomainDevice device = { .alias = (char *)question->alias,
				.host = question->device,
				.managed = true };
	int r = admission_of_device(tdid, xml, &device, &ret->dsm, &ret->provider, ret_why);

	if (r == 0)
		r = check_provider(tdid, ret->provider, ret_why);
	if (r == 0)
		r = admission_of_server(tdid, ret->provider, question->device, ret->dsm, ret_why);
	if (r == 0)
		r = admission_of_hold(tdid, xml, &device, ret->dsm, ret_why);
	if (r == 0)
		r = admission_beside_dsm(tdid, question->device, ret->dsm, ret_why);
	if (r == 0)
		r = admission_beside_attaches(tdid, question->device, ret->dsm, ret_why);
	return r;
}

static int check_xml(Tdid *tdid, const AttachQuestion *question, const DomainXml *xml,
		     AttachFinding *ret, char **ret_why)
{
	const DomainDevice *named = domain_xml_device(xml, question->alias);
	char text[BDF_STRING_SIZE];
	int r;

	for (size_t i = 0; i < xml->n_devices; i++)
		if (bdf_equal(xml->devices[i].host, question->device)) {
			r = check_plugged(tdid, question, &xml->devices[i], ret, ret_why);
			/* What is on its way has been admitted; its TSM may be away now. */
			return r != 0 || ret->provider
				       ? r
				       : check_device(tdid, question, xml, ret, ret_why);
		}
	if (named)
		return refuse(ret_why, 1, "the name %s is %s's there. Choose another one",
			      question->alias, bdf_format(named->host, text));
	r = check_device(tdid, question, xml, ret, ret_why);
	return r ?: check_left(tdid, question, ret_why);
}

static bool will_connect(Tdid *tdid, const AttachQuestion *question, const AttachFinding *finding)
{
	const Dsm *dsm = registry_find_dsm(tdid->registry, finding->dsm);
	const EngineDsm *e = dsm ? engine_dsm(tdid->engine, dsm->id) : NULL;

	/* libvirt resets what it attaches: that would take the session away under the connect. */
	return !finding->plugged && !bdf_equal(question->device, finding->dsm) &&
	       (!e || e->state == DSM_IDLE);
}

int attach_check(Tdid *tdid, const AttachQuestion *question, const VmmDomain *seen,
		 AttachFinding *ret, char **ret_why)
{
	int r;

	*ret = (AttachFinding){};
	if (!seen->present)
		return refuse(ret_why, 1, "libvirt has no such domain. See 'virsh list --all'");
	if (!seen->active)
		return refuse(ret_why, 1,
			      "the domain does not run. Start it first, or declare the device in "
			      "its XML (examples/domain.xml)");
	if (!seen->xml)
		return refuse(ret_why, 1, "its domain's XML: %s", seen->xml_error);
	r = check_domain(tdid, question, seen, seen->xml, ret, ret_why);
	if (r == 0)
		r = check_xml(tdid, question, seen->xml, ret, ret_why);
	if (r == 0)
		ret->connects = will_connect(tdid, question, ret);
	else
		attach_finding_done(ret);
	return r;
}

void attach_finding_done(AttachFinding *finding)
{
	free(finding->alias);
	*finding = (AttachFinding){};
}

int attach_plan(const AttachQuestion *question, const AttachFinding *finding, json_object **ret)
{
	const char *alias = finding->alias ?: question->alias;
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE];
	_cleanup_free_ char *xml = NULL;
	int r = hostdev_xml_make(&xml, alias, question->device);

	/* What is there may have been named by metadata: then nobody is going to make this. */
	if (r < 0 && !(r == -EINVAL && finding->plugged))
		return r;
	return json_build(
		ret, J_STRING("domain", uuid_format(question->domain, uuid)),
		J_STRING("domain_name", finding->tvm->domain ? finding->tvm->domain->name : ""),
		J_STRING("name", alias), J_STRING("device", bdf_format(question->device, device)),
		J_STRING("dsm", bdf_format(finding->dsm, dsm)),
		J_STRING("tsm", provider_title(finding->provider)),
		J_BOOL("protection", provider_protects(finding->provider)),
		J_BOOL("connects", finding->connects), J_BOOL("already_attached", finding->plugged),
		J_STRING("xml", xml ?: ""));
}
