/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When it goes off (retry_until_usec) is in its assignment's record; after a restart of tdid it is
 * held at first (held-timers.h). What was waited for is not done while nobody knows whether the
 * guest has been reset meanwhile: it waits once more when that is known.
 */
#include "daemon/retry-timer.h"

#include "daemon/deadline.h"
#include "daemon/director.h"
#include "daemon/guest-boot.h"
#include "rpc/log.h"

#include <inttypes.h>
#include <string.h>

#define DOUBLINGS_MAX 6

static void tell_engine(Assignment *a)
{
	if (!guest_boot_doubted(a))
		director_event(a->tdid, &(EngineEvent){ .type = EVENT_RETRY_TIMEOUT, .id = a->id },
			       NULL);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Assignment *a = userdata;

	retry_timer_stop(a);
	tell_engine(a);
	return 0;
}

uint64_t retry_backoff_usec(const Tdid *tdid, uint32_t tries)
{
	uint32_t doublings = tries > DOUBLINGS_MAX ? DOUBLINGS_MAX : tries - 1;

	return tdid->config->rebind_backoff_usec << doublings;
}

static void tell(Assignment *a, const EngineAssignment *e, uint64_t usec)
{
	char detail[64];

	snprintf(detail, sizeof(detail), "%" PRIu32 " of %" PRIu32 ", in %.1f s", e->rebinds,
		 e->policy.rebinds, (double)usec / 1e6);
	director_mark(a->tdid, a, "rebind", detail);
}

/* With a fault it waits to be bound again; running, it has been. */
static bool waits(const EngineAssignment *e)
{
	return e->state == ASSIGNMENT_ATTACHED;
}

static uint64_t whole_usec(const Assignment *a)
{
	const EngineAssignment *e = engine_assignment(a->tdid->engine, a->id);

	return waits(e) ? retry_backoff_usec(a->tdid, e->rebinds)
			: a->tdid->config->rebind_steady_usec;
}

void retry_timer_set(Assignment *a)
{
	retry_timer_stop(a);
	a->retry_until_usec = deadline_after(whole_usec(a));
}

void retry_timer_start(Assignment *a)
{
	const EngineAssignment *e = engine_assignment(a->tdid->engine, a->id);
	_cleanup_free_ char *object = NULL;
	int r;

	if (a->retry_until_usec == 0 || a->timers_held)
		return;
	a->retry_timer = sd_event_source_disable_unref(a->retry_timer);
	r = sd_event_add_time(a->tdid->event, &a->retry_timer, CLOCK_BOOTTIME, a->retry_until_usec,
			      0, on_timer, a);
	if (waits(e))
		tell(a, e, deadline_left(a->retry_until_usec));
	if (r >= 0)
		return;
	object = assignment_title(a);
	log_error("%s: no timer can be set %s: %s; not waited for", object ?: a->alias,
		  waits(e) ? "before it is bound again" : "until its binds count no more",
		  strerror(-r));
	retry_timer_stop(a);
	tell_engine(a);
}

void retry_timer_once_more(Assignment *a)
{
	if (!engine_assignment(a->tdid->engine, a->id)->retry_timer || a->retry_until_usec > 0)
		return;
	retry_timer_set(a);
	retry_timer_start(a);
}

void retry_timer_stop(Assignment *a)
{
	a->retry_timer = sd_event_source_disable_unref(a->retry_timer);
	a->retry_until_usec = 0;
}

bool retry_timer_restore(Assignment *a)
{
	bool is_recorded = a->retry_until_usec > 0;

	a->retry_until_usec = deadline_restored(a->retry_until_usec, whole_usec(a));
	return !is_recorded;
}
