/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/dsm-cause.h"

#include "daemon/tdid.h"

#include <errno.h>
#include <string.h>

void dsm_cause_clear(DsmCause *cause)
{
	free(cause->domain_name);
	free(cause->name);
	*cause = (DsmCause){};
}

void dsm_cause_set_request(DsmCause *cause, int64_t uid)
{
	dsm_cause_clear(cause);
	if (uid >= 0 && uid <= UINT32_MAX)
		*cause = (DsmCause){ .kind = DSM_CAUSE_REQUEST, .uid = (uid_t)uid };
}

void dsm_cause_set_device(DsmCause *cause, Uuid domain, const char *domain_name, const char *name)
{
	DsmCause device = { .kind = DSM_CAUSE_DEVICE,
			    .domain = domain,
			    .domain_name = domain_name ? strdup(domain_name) : NULL,
			    .name = strdup(name) };

	dsm_cause_clear(cause);
	if (!device.name || (domain_name && !device.domain_name))
		dsm_cause_clear(&device);
	*cause = device;
}

/* One that has waited for it when there was no session to be had. */
static const Assignment *find_waiting(const Dsm *dsm)
{
	const Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_dsm(dsm, &p));) {
		const EngineAssignment *e = engine_assignment(dsm->tdid->engine, a->id);

		if (e && e->state == ASSIGNMENT_CONNECTING)
			return a;
	}
	return NULL;
}

void dsm_cause_of_connect(Dsm *dsm, EngineEventType event)
{
	const Assignment *a = find_waiting(dsm);

	if (event == EVENT_CONNECT_AHEAD) {
		dsm_cause_clear(&dsm->cause);
		dsm->cause = dsm->expected;
		dsm->expected = (DsmCause){};
	} else if (a) {
		dsm_cause_set_device(&dsm->cause, a->tvm->uuid,
				     a->tvm->domain ? a->tvm->domain->name : NULL, a->alias);
	} else {
		dsm_cause_set_request(&dsm->cause, dsm->pinned_by);
	}
}

int dsm_cause_to_json(const DsmCause *cause, json_object **ret)
{
	char uuid[UUID_STRING_SIZE];
	bool is_device = cause->kind == DSM_CAUSE_DEVICE;

	*ret = NULL;
	if (cause->kind == DSM_CAUSE_UNKNOWN)
		return 0;
	return json_build(ret, J_INT_IF(!is_device, "uid", cause->uid),
			  J_STRING("domain", is_device ? uuid_format(cause->domain, uuid) : NULL),
			  J_STRING("domain_name", cause->domain_name),
			  J_STRING("name", cause->name));
}
