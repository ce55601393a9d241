/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A timer either is to go off at a time (guest_until_usec) or stands still with what is left of it
 * (guest_timer_left), or neither; its assignment's record says which. Whether the domain is paused
 * is what the last read of it said, so a timer that is near its end may go off between the pause
 * and that read.
 *
 * After a restart of tdid it goes on as recorded, but is held at first (held-timers.h). What the
 * guest would have said meanwhile nobody has heard: it gets a moment for that, and no more, however
 * often tdid is restarted.
 */
#include "daemon/guest-timer.h"

#include "daemon/deadline.h"
#include "daemon/director.h"
#include "daemon/records.h"
#include "rpc/log.h"

#include <string.h>

#define MOMENT_USEC (5 * UINT64_C(1000000))

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Assignment *a = userdata;

	guest_timer_stop(a);
	director_event(a->tdid, &(EngineEvent){ .type = EVENT_GUEST_TIMEOUT, .id = a->id }, NULL);
	return 0;
}

static bool is_paused(const Assignment *a)
{
	return a->tvm->domain && a->tvm->domain->paused;
}

/* A domain that was started with the device may boot for longer than its agent takes to answer. */
static uint64_t whole_usec(const Assignment *a)
{
	const Config *config = a->tdid->config;
	const Policy *policy = &engine_assignment(a->tdid->engine, a->id)->policy;
	bool boots = !a->announced && !a->tvm->guest_boot;

	return boots ? config->boot_timeout_usec : policy->guest_timeout_usec;
}

static void record(Assignment *a)
{
	_cleanup_free_ char *object = NULL;
	int r = records_write_assignment(a->tdid, a);

	if (r >= 0)
		return;
	object = assignment_title(a);
	log_error("%s: how long its guest has left cannot be recorded in %s: %s; should tdid be "
		  "restarted before it can, that is longer or shorter",
		  object ?: a->alias, a->tdid->config->records, strerror(-r));
}

static void stand_still(Assignment *a)
{
	a->guest_timer = sd_event_source_disable_unref(a->guest_timer);
	a->guest_timer_left = deadline_left(a->guest_until_usec) ?: 1;
	a->guest_until_usec = 0;
}

static void move_on(Assignment *a)
{
	a->guest_until_usec = deadline_after(a->guest_timer_left);
	a->guest_timer_left = 0;
}

void guest_timer_set(Assignment *a)
{
	guest_timer_stop(a);
	if (is_paused(a))
		a->guest_timer_left = whole_usec(a);
	else
		a->guest_until_usec = deadline_after(whole_usec(a));
}

void guest_timer_start(Assignment *a)
{
	_cleanup_free_ char *object = NULL;
	int r;

	if (a->guest_until_usec == 0 || a->timers_held)
		return;
	a->guest_timer = sd_event_source_disable_unref(a->guest_timer);
	r = sd_event_add_time(a->tdid->event, &a->guest_timer, CLOCK_BOOTTIME, a->guest_until_usec,
			      0, on_timer, a);
	if (r >= 0)
		return;
	object = assignment_title(a);
	log_error("%s: no timer can be set for its guest: %s; that is waited for without end",
		  object ?: a->alias, strerror(-r));
}

void guest_timer_renew(Assignment *a)
{
	guest_timer_set(a);
	guest_timer_start(a);
	record(a);
}

void guest_timer_stop(Assignment *a)
{
	a->guest_timer = sd_event_source_disable_unref(a->guest_timer);
	a->guest_until_usec = 0;
	a->guest_timer_left = 0;
}

void guest_timers_pause(const Tvm *tvm, bool paused)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));) {
		if (paused ? a->guest_until_usec == 0 : a->guest_timer_left == 0)
			continue;
		if (paused)
			stand_still(a);
		else
			move_on(a);
		guest_timer_start(a);
		record(a);
	}
}

bool guest_timer_restore(Assignment *a)
{
	uint64_t whole = whole_usec(a);
	bool is_recorded = a->guest_until_usec > 0 || a->guest_timer_left > 0;

	if (a->guest_timer_left > whole)
		a->guest_timer_left = whole;
	if (a->guest_timer_left > 0)
		a->guest_until_usec = 0;
	else
		a->guest_until_usec = deadline_restored(a->guest_until_usec, whole);
	return !is_recorded;
}

/* Whether its domain is paused is known by now, which may have changed while tdid was away. */
void guest_timer_go_on(Assignment *a)
{
	uint64_t whole, moment, earliest;
	bool moved = a->guest_timer_left > 0 && !is_paused(a);

	if (a->guest_until_usec == 0 && a->guest_timer_left == 0)
		return;
	if (moved)
		move_on(a);
	whole = whole_usec(a);
	moment = whole < MOMENT_USEC ? whole : MOMENT_USEC;
	earliest = deadline_after(moment);
	if (a->guest_timer_left > 0 && a->guest_timer_left < moment)
		a->guest_timer_left = moment;
	if (a->guest_until_usec > 0 && a->guest_until_usec < earliest)
		a->guest_until_usec = earliest;
	guest_timer_start(a);
	if (moved)
		record(a);
}
