/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When it goes off (idle_until_usec) is in the DSM's record, and so is how often it has. After a
 * restart of tdid it is held at first (held-timers.h).
 */
#include "daemon/idle-timer.h"

#include "daemon/deadline.h"
#include "daemon/director.h"
#include "daemon/retry-timer.h"
#include "rpc/log.h"

#include <string.h>

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Dsm *dsm = userdata;

	dsm->idle = sd_event_source_disable_unref(dsm->idle);
	dsm->idle_until_usec = 0;
	dsm->idle_tries++;
	director_event(dsm->tdid, &(EngineEvent){ .type = EVENT_IDLE_TIMEOUT, .id = dsm->id },
		       NULL);
	return 0;
}

/* The reason is that of the reclaim before, unless that was done. */
static uint64_t whole_usec(Dsm *dsm)
{
	uint64_t grace = dsm->tdid->config->idle_grace_usec, backoff;

	if (!dsm->reason)
		dsm->idle_tries = 0;
	backoff = dsm->idle_tries > 0 ? retry_backoff_usec(dsm->tdid, dsm->idle_tries) : 0;
	return backoff > grace ? backoff : grace;
}

void idle_timer_set(Dsm *dsm)
{
	dsm->idle = sd_event_source_disable_unref(dsm->idle);
	dsm->idle_until_usec = deadline_after(whole_usec(dsm));
}

/* Without a timer there is no grace, rather than no end of it. */
void idle_timer_start(Dsm *dsm)
{
	Tdid *tdid = dsm->tdid;
	char device[BDF_STRING_SIZE];
	int r;

	if (dsm->idle_until_usec == 0 || dsm->idle_held)
		return;
	dsm->idle = sd_event_source_disable_unref(dsm->idle);
	r = sd_event_add_time(tdid->event, &dsm->idle, CLOCK_BOOTTIME, dsm->idle_until_usec, 0,
			      on_timer, dsm);
	if (r < 0) {
		log_error("%s: no timer can be set for its idle grace: %s; it is reclaimed now, "
			  "unless something needs it",
			  bdf_format(dsm->bdf, device), strerror(-r));
		on_timer(NULL, 0, dsm);
	}
}

void idle_timer_stop(Dsm *dsm)
{
	dsm->idle = sd_event_source_disable_unref(dsm->idle);
	dsm->idle_until_usec = 0;
	dsm->idle_tries = 0;
}

bool idle_timer_restore(Dsm *dsm)
{
	bool is_recorded = dsm->idle_until_usec > 0;

	dsm->idle_until_usec = deadline_restored(dsm->idle_until_usec, whole_usec(dsm));
	return !is_recorded;
}
