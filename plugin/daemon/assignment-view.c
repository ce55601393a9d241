/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/assignment-view.h"

#include <errno.h>
#include <string.h>

int assignment_view_to_json(Tdid *tdid, const Assignment *a, const Moment *moment,
			    json_object **ret)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	char domain[UUID_STRING_SIZE], device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE],
		guest[BDF_STRING_SIZE];
	const Provider *provider = a->dsm->provider;
	json_object *marks;
	int r;

	if (!e && !moment)
		return -ENOENT;
	r = timeline_to_json(&a->timeline, &marks);
	if (r < 0)
		return r;
	return json_build(
		ret, J_STRING("domain", uuid_format(a->tvm->uuid, domain)),
		J_STRING("domain_name", a->tvm->domain ? a->tvm->domain->name : ""),
		J_STRING("name", a->alias), J_STRING("device", bdf_format(a->tdi->bdf, device)),
		J_STRING("dsm", provider ? bdf_format(a->dsm->bdf, dsm) : NULL),
		J_STRING("guest_address", a->guest_known ? bdf_format(a->guest, guest) : NULL),
		J_INT("generation", (int64_t)(moment ? moment->generation : e->generation)),
		J_STRING("state", assignment_state_name(moment ? moment->state : e->state)),
		J_STRING("reason", a->reason),
		J_STRING("tdi_state", a->tdi_state_known ? tdisp_state_name(a->tdi_state) : NULL),
		J_STRING("state_source",
			 !provider || provider_tells_state(provider) ? "tsm" : "guest"),
		J_STRING("tsm", provider ? provider_title(provider) : NULL),
		J_BOOL("protection", provider && provider_protects(provider)),
		J_TAKE("timeline", marks));
}

bool assignment_view_domain_is(const char *domain, const char *uuid, const char *name)
{
	Uuid wanted;

	if (!domain)
		return true;
	if (uuid_from_string(&wanted, domain) >= 0)
		return strcasecmp(uuid, domain) == 0;
	return name && strcmp(name, domain) == 0;
}

bool assignment_view_is_of(const Assignment *a, const char *domain)
{
	char uuid[UUID_STRING_SIZE];

	return assignment_view_domain_is(domain, uuid_format(a->tvm->uuid, uuid),
					 a->tvm->domain ? a->tvm->domain->name : NULL);
}

/* A device that left may have come back under the same alias with another address. */
static bool is_before(Tdid *tdid, const Assignment *a, const Assignment *b)
{
	const EngineAssignment *x = engine_assignment(tdid->engine, a->id);
	const EngineAssignment *y = engine_assignment(tdid->engine, b->id);
	bool a_present = a->tvm->domain && a->tvm->domain->tvm == a->tvm;
	bool b_present = b->tvm->domain && b->tvm->domain->tvm == b->tvm;

	if (!x || !y)
		return x != NULL;
	if (x->present != y->present)
		return x->present;
	if (a_present != b_present)
		return a_present;
	return x->generation >= y->generation;
}

Assignment *assignment_view_find(Tdid *tdid, const char *domain, const char *name)
{
	Assignment *a, *found = NULL;
	char device[BDF_STRING_SIZE];

	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));) {
		if (!assignment_view_is_of(a, domain) ||
		    (strcmp(a->alias, name) != 0 &&
		     strcasecmp(bdf_format(a->tdi->bdf, device), name) != 0))
			continue;
		if (!found || is_before(tdid, a, found))
			found = a;
	}
	return found;
}

bool assignment_view_has_domain(Tdid *tdid, const char *domain)
{
	char uuid[UUID_STRING_SIZE];
	Domain *d;

	for (uint32_t p = 0; (d = registry_next_domain(tdid->registry, &p));)
		if (assignment_view_domain_is(domain, uuid_format(d->uuid, uuid), d->name))
			return true;
	return false;
}
