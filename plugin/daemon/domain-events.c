/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt and QEMU tell by themselves: it marks domains to be read, and little else. */
#include "daemon/domains.h"

#include "daemon/assignments-service.h"
#include "daemon/director.h"
#include "daemon/domain-read.h"
#include "daemon/guest-boot.h"
#include "daemon/guest-port.h"
#include "daemon/held-timers.h"
#include "rpc/log.h"

#include <string.h>

static void on_connected(const VmmDomainName *domains, size_t n, void *userdata)
{
	Tdid *tdid = userdata;
	Assignment *a;
	Tvm *tvm;

	log_info("libvirt: connected, %zu domain%s running", n, n == 1 ? "" : "s");
	/* What libvirt lists now is newer than what QEMU said before. */
	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));)
		a->deleted_usec = 0;
	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		guest_boot_doubt(tvm);
	for (size_t i = 0; i < n; i++) {
		Uuid uuid;

		if (uuid_from_string(&uuid, domains[i].uuid) >= 0 &&
		    !registry_find_domain(tdid->registry, uuid))
			domain_read_start(tdid, uuid, 0, NULL, 0);
	}
	/* Also those that are no longer running. */
	domains_read_all(tdid);
	held_timers_look(tdid);
}

static void on_disconnected(const char *reason, void *userdata)
{
	log_warning("libvirt: %s", reason);
}

/*
 * QEMU's word comes before libvirt takes the device out of the XML and gives it back to the host's
 * driver, at which the kernel would end the bind: it is the time to unbind.
 */
static void let_go(Tdid *tdid, const Tvm *tvm, const char *alias, uint64_t usec)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));) {
		if (strcmp(a->alias, alias) != 0 ||
		    !engine_assignment(tdid->engine, a->id)->present)
			continue;
		a->deleted_usec = usec;
		a->guest_known = false;
		director_mark(tdid, a, "device-deleted", NULL);
		director_event(tdid, &(EngineEvent){ .type = EVENT_GONE, .id = a->id }, NULL);
		return;
	}
}

static void on_dirty(const VmmDirty *dirty, void *userdata)
{
	Tdid *tdid = userdata;
	bool added = dirty->reason == VMM_DIRTY_DEVICE_ADDED;
	Domain *domain;
	Uuid uuid;

	if (uuid_from_string(&uuid, dirty->uuid) < 0)
		return;
	domain = registry_find_domain(tdid->registry, uuid);
	log_debug("%s: %s%s%s", domain ? domain->name : dirty->uuid,
		  vmm_dirty_reason_to_string(dirty->reason), dirty->alias ? " " : "",
		  dirty->alias ?: "");
	if (!domain && !added && dirty->reason != VMM_DIRTY_STARTED &&
	    dirty->reason != VMM_DIRTY_REACHABLE)
		return; /* it carries no marker of ours, as far as it could be read */
	if (domain && domain->tvm && dirty->reason == VMM_DIRTY_CHANNEL)
		guest_port_nudge(domain->tvm->port);
	if (domain && domain->tvm && dirty->reason == VMM_DIRTY_REBOOT)
		guest_boot_reset(tdid, domain->tvm);
	if (domain && domain->tvm && dirty->alias && dirty->reason == VMM_DIRTY_DEVICE_DELETED)
		let_go(tdid, domain->tvm, dirty->alias, dirty->boottime_usec);
	if (domain && domain->tvm && dirty->alias &&
	    dirty->reason == VMM_DIRTY_DEVICE_REMOVAL_FAILED) {
		assignments_service_not_let_go(tdid->assignments, domain->tvm, dirty->alias);
		domains_not_let_go(tdid, domain->tvm, dirty->alias);
	}
	domain_read_start(tdid, uuid, 0, added ? dirty->alias : NULL, dirty->boottime_usec);
}

const VmmHandlers domains_handlers = {
	.connected = on_connected,
	.disconnected = on_disconnected,
	.domain_dirty = on_dirty,
};
