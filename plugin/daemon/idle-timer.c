/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/idle-timer.h"

#include "daemon/director.h"
#include "rpc/log.h"

#include <string.h>

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Dsm *dsm = userdata;

	idle_timer_stop(dsm);
	director_event(dsm->tdid, &(EngineEvent){ .type = EVENT_IDLE_TIMEOUT, .id = dsm->id },
		       NULL);
	return 0;
}

/* Without a timer there is no grace, rather than no end of it. */
void idle_timer_start(Dsm *dsm)
{
	Tdid *tdid = dsm->tdid;
	char device[BDF_STRING_SIZE];
	int r;

	idle_timer_stop(dsm);
	r = sd_event_add_time_relative(tdid->event, &dsm->idle, CLOCK_BOOTTIME,
				       tdid->config->idle_grace_usec, 0, on_timer, dsm);
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
}
