/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sd-event's header lacks: _cleanup_ for a loop, and the time by the clock of our timers. */
#pragma once

#include <stdint.h>
#include <time.h>

#include <systemd/sd-event.h>

#include "core/cleanup.h"

static inline sd_event *event_free(sd_event *event)
{
	return sd_event_unref(event);
}

DEFINE_CLEANUP(sd_event, event_free);

/* Microseconds of CLOCK_BOOTTIME, which goes on while the host sleeps. */
static inline uint64_t boottime_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
