/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device that has to leave its domain, and libvirt's answers to that. */
#include "daemon/domains.h"

#include "daemon/director.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

typedef struct Detach {
	Tdid *tdid;
	uint32_t assignment;
	uint64_t generation;
} Detach;

static void detach_failed(Tdid *tdid, const Assignment *a, const char *why)
{
	_cleanup_free_ char *reason = NULL;

	if (asprintf(&reason,
		     "%s; and it could not be taken out of the domain: %s. Detach it with "
		     "'virsh detach-device-alias'",
		     a->reason ?: "failed", why) < 0)
		reason = NULL;
	director_event(tdid, &(EngineEvent){ .type = EVENT_DETACH_FAILED, .id = a->id }, reason);
}

static void on_detached(int r, const char *message, void *userdata)
{
	_cleanup_free_ Detach *detach = userdata;
	Tdid *tdid = detach->tdid;
	const EngineAssignment *e;
	Assignment *a;

	if (r == -ECANCELED) /* tdid ends, and the registry has gone already */
		return;
	e = engine_assignment(tdid->engine, detach->assignment);
	a = registry_assignment_at(tdid->registry, detach->assignment);
	if (!e || !a || e->generation != detach->generation)
		return;
	if (r == VMM_DETACH_REQUESTED)
		return;
	if (r == VMM_DETACH_BUSY || r == -ENOTCONN || r == -ETIMEDOUT || r == -EHOSTUNREACH) {
		log_warning(
			"%s: not taken out of the domain yet: %s; asked again with the domain's "
			"next event",
			a->alias, message ?: strerror(r < 0 ? -r : EBUSY));
		a->detach_again = true;
		return;
	}
	if (r == VMM_DETACH_GONE) {
		if (a->tvm->domain)
			domains_read(tdid, a->tvm->domain);
		return;
	}
	detach_failed(tdid, a, message ?: strerror(r < 0 ? -r : EIO));
}

void domains_detach(Tdid *tdid, Assignment *a)
{
	const EngineAssignment *e = a ? engine_assignment(tdid->engine, a->id) : NULL;
	_cleanup_free_ Detach *detach = malloc(sizeof(*detach));
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE];
	int r;

	if (!e || !detach)
		return;
	a->detach_again = false;
	*detach = (Detach){ .tdid = tdid, .assignment = a->id, .generation = e->generation };
	r = vmm_detach(tdid->vmm, uuid_format(a->tvm->uuid, uuid), a->alias,
		       bdf_format(a->tdi->bdf, device), 0, on_detached, detach);
	if (r < 0)
		detach_failed(tdid, a, strerror(-r));
	else
		steal_ptr(detach);
}
