/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/guest-boot.h"

#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/guest-port.h"
#include "daemon/guest-timer.h"
#include "daemon/records.h"
#include "daemon/retry-timer.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <string.h>

#define CHANGES_USEC (30 * UINT64_C(1000000))

/* --- whether it is still the same --- */

static void end_doubt(Tvm *tvm)
{
	Assignment *a;

	if (!tvm->boot_doubted)
		return;
	tvm->boot_doubted = false;
	tvm->boot_doubt = sd_event_source_disable_unref(tvm->boot_doubt);
	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));)
		retry_timer_once_more(a);
	if (!tvm->domain)
		return;
	domains_look_lost(tvm->domain);
	domains_read(tvm->tdid, tvm->domain);
}

static int on_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	Tvm *tvm = userdata;

	log_info("%s: no agent says which boot it is in", tvm->domain ? tvm->domain->name : "?");
	end_doubt(tvm);
	return 0;
}

/* A timer that runs already is left: with a libvirtd that comes and goes it would have no end. */
void guest_boot_doubt(Tvm *tvm)
{
	int r;

	if (!tvm->guest_boot || tvm->boot_doubt)
		return;
	tvm->boot_doubted = true;
	r = sd_event_add_time_relative(tvm->tdid->event, &tvm->boot_doubt, CLOCK_BOOTTIME,
				       tvm->tdid->config->boot_timeout_usec, 0, on_over, tvm);
	if (r < 0)
		log_error("%s: cannot set a timer: %s; only its agent says now whether it was "
			  "reset",
			  tvm->domain ? tvm->domain->name : "?", strerror(-r));
}

bool guest_boot_doubted(const Assignment *a)
{
	EngineFault fault = engine_assignment(a->tdid->engine, a->id)->fault;

	return a->tvm->boot_doubted &&
	       (fault == FAULT_ERROR || fault == FAULT_UNLOCKED || fault == FAULT_VOIDED);
}

/* --- another one --- */

static void write_tvm(Tdid *tdid, Tvm *tvm)
{
	int r = records_write_tvm(tdid, tvm);

	if (r < 0)
		log_error("%s: which boot its guest is in cannot be recorded in %s: %s; should "
			  "tdid be restarted before it can, it may take it for another one",
			  tvm->domain ? tvm->domain->name : "?", tdid->config->records,
			  strerror(-r));
}

/* Everything of the boot before is void; the read of the domain that follows brings it back. */
static void forget_boot(Tdid *tdid, const Tvm *tvm)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));) {
		if (!engine_assignment(tdid->engine, a->id)->present)
			continue;
		a->reset = true;
		/* The firmware may have numbered the buses otherwise. */
		a->guest_known = false;
		director_event(tdid, &(EngineEvent){ .type = EVENT_GONE, .id = a->id }, NULL);
	}
}

void guest_boot_reset(Tdid *tdid, Tvm *tvm)
{
	log_info("%s: reset", tvm->domain ? tvm->domain->name : "?");
	end_doubt(tvm);
	guest_port_end_session(tvm->port);
	forget_boot(tdid, tvm);
	free(tvm->guest_boot);
	tvm->guest_boot = NULL;
	write_tvm(tdid, tvm);
	if (tvm->domain)
		domains_read(tdid, tvm->domain);
}

bool guest_boot_is_too_soon(const Tvm *tvm, const char *boot_id)
{
	uint64_t oldest = tvm->boot_changes[tvm->n_boot_changes % TVM_BOOT_CHANGES];

	return tvm->guest_boot && strcmp(tvm->guest_boot, boot_id) != 0 &&
	       tvm->n_boot_changes >= TVM_BOOT_CHANGES && boottime_usec() < oldest + CHANGES_USEC;
}

/*
 * The new boot id is recorded when the old boot is forgotten, and not before: a tdid that ended in
 * between would take the bind of the boot before for this one's.
 */
void guest_boot_said(Tdid *tdid, Tvm *tvm, const char *boot_id)
{
	bool first = !tvm->guest_boot;
	char *copy;
	Assignment *a;

	if (!first && strcmp(tvm->guest_boot, boot_id) == 0) {
		end_doubt(tvm);
		return;
	}
	copy = strdup(boot_id);
	if (!copy)
		return;
	if (!first) {
		tvm->boot_changes[tvm->n_boot_changes++ % TVM_BOOT_CHANGES] = boottime_usec();
		forget_boot(tdid, tvm);
	}
	end_doubt(tvm);
	free(tvm->guest_boot);
	tvm->guest_boot = copy;
	write_tvm(tdid, tvm);
	for (uint32_t p = 0; first && (a = registry_next_of_tvm(tvm, &p));) {
		const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

		/* Where its firmware had the device may have been asked too early. */
		if (e->present && !e->guest_ready)
			a->guest_known = false;
		if (e->state == ASSIGNMENT_WAITING)
			guest_timer_renew(a);
	}
	if (!first && tvm->domain)
		domains_read(tdid, tvm->domain);
}
