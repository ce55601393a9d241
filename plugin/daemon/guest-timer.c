/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A timer either runs (guest_timer) or stands still with what is left of it (guest_timer_left), or
 * neither. Whether the domain is paused is what the last read of it said, so a timer that is near
 * its end may go off between the pause and that read. After a restart of tdid the time begins anew.
 */
#include "daemon/guest-timer.h"

#include "daemon/director.h"
#include "rpc/log.h"

#include <string.h>

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Assignment *a = userdata;

	guest_timer_stop(a);
	director_event(a->tdid, &(EngineEvent){ .type = EVENT_GUEST_TIMEOUT, .id = a->id }, NULL);
	return 0;
}

static void go_on(Assignment *a)
{
	uint64_t left = a->guest_timer_left;
	_cleanup_free_ char *object = NULL;
	int r;

	a->guest_timer_left = 0;
	r = sd_event_add_time_relative(a->tdid->event, &a->guest_timer, CLOCK_BOOTTIME, left, 0,
				       on_timer, a);
	if (r >= 0)
		return;
	object = assignment_title(a);
	log_error("%s: no timer can be set for its guest: %s; that is waited for without end",
		  object ?: a->alias, strerror(-r));
}

static void stand_still(Assignment *a)
{
	uint64_t end, now;

	if (sd_event_source_get_time(a->guest_timer, &end) < 0 ||
	    sd_event_now(a->tdid->event, CLOCK_BOOTTIME, &now) < 0)
		return;
	a->guest_timer = sd_event_source_disable_unref(a->guest_timer);
	a->guest_timer_left = end > now ? end - now : 1;
}

/* A domain that was started with the device may boot for longer than its agent takes to answer. */
void guest_timer_start(Assignment *a)
{
	const Config *config = a->tdid->config;
	const Policy *policy = &engine_assignment(a->tdid->engine, a->id)->policy;
	bool boots = !a->announced && !a->tvm->guest_boot;

	guest_timer_stop(a);
	a->guest_timer_left = boots ? config->boot_timeout_usec : policy->guest_timeout_usec;
	if (!a->tvm->domain || !a->tvm->domain->paused)
		go_on(a);
}

void guest_timer_stop(Assignment *a)
{
	a->guest_timer = sd_event_source_disable_unref(a->guest_timer);
	a->guest_timer_left = 0;
}

void guest_timers_pause(const Tvm *tvm, bool paused)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));) {
		if (paused && a->guest_timer)
			stand_still(a);
		else if (!paused && a->guest_timer_left > 0)
			go_on(a);
	}
}
