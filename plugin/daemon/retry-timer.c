/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After a restart of tdid the time begins anew. What was waited for is not done while nobody knows
 * whether the guest has been reset meanwhile: it waits once more when that is known.
 */
#include "daemon/retry-timer.h"

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

void retry_timer_start(Assignment *a)
{
	const EngineAssignment *e = engine_assignment(a->tdid->engine, a->id);
	bool waits = e->state == ASSIGNMENT_ATTACHED;
	uint64_t usec = waits ? retry_backoff_usec(a->tdid, e->rebinds)
			      : a->tdid->config->rebind_steady_usec;
	_cleanup_free_ char *object = NULL;
	int r;

	retry_timer_stop(a);
	r = sd_event_add_time_relative(a->tdid->event, &a->retry_timer, CLOCK_BOOTTIME, usec, 0,
				       on_timer, a);
	if (waits)
		tell(a, e, usec);
	if (r >= 0)
		return;
	object = assignment_title(a);
	log_error("%s: no timer can be set %s: %s; not waited for", object ?: a->alias,
		  waits ? "before it is bound again" : "until its binds count no more",
		  strerror(-r));
	tell_engine(a);
}

void retry_timer_go_on(Assignment *a)
{
	if (engine_assignment(a->tdid->engine, a->id)->retry_timer && !a->retry_timer)
		retry_timer_start(a);
}

void retry_timer_stop(Assignment *a)
{
	a->retry_timer = sd_event_source_disable_unref(a->retry_timer);
}
