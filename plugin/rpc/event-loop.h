/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What sd-event's header lacks: _cleanup_ for a loop, its end by a signal, and the time by the
 * clock of our timers.
 */
#pragma once

#include <signal.h>
#include <stdint.h>
#include <time.h>

#include <systemd/sd-event.h>

#include "core/cleanup.h"

static inline sd_event *event_free(sd_event *event)
{
	return sd_event_unref(event);
}

DEFINE_CLEANUP(sd_event, event_free);

/* SIGTERM and SIGINT end the loop; in threads that begin after this they are blocked. A negative
 * errno. */
static inline int event_end_on_signals(sd_event *event)
{
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	return r < 0 ? r : sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

/* Microseconds of CLOCK_BOOTTIME, which goes on while the host sleeps. */
static inline uint64_t boottime_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
