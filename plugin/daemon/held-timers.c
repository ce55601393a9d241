/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/held-timers.h"

#include "daemon/guest-timer.h"
#include "daemon/idle-timer.h"
#include "daemon/retry-timer.h"

static bool has_answered(const Dsm *dsm)
{
	return !dsm->provider || provider_is_ready(dsm->provider);
}

void held_timers_begin(Tdid *tdid)
{
	Assignment *a;
	Dsm *dsm;

	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));)
		a->timers_held = true;
	for (uint32_t p = 0; (dsm = registry_next_dsm(tdid->registry, &p));) {
		tdid->n_idle_held += !dsm->idle_held;
		dsm->idle_held = true;
	}
}

void held_timers_compared(const Tvm *tvm)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));) {
		if (!a->timers_held || !has_answered(a->dsm))
			continue;
		a->timers_held = false;
		guest_timer_go_on(a);
		retry_timer_start(a);
	}
}

void held_timers_look(Tdid *tdid)
{
	Dsm *dsm;

	if (tdid->n_idle_held == 0 || !vmm_is_connected(tdid->vmm) || tdid->n_reads > 0 ||
	    tdid->failed_reads)
		return;
	for (uint32_t p = 0; (dsm = registry_next_dsm(tdid->registry, &p));) {
		if (!dsm->idle_held || !has_answered(dsm))
			continue;
		dsm->idle_held = false;
		tdid->n_idle_held--;
		idle_timer_start(dsm);
	}
}
