/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timeouts of one length, many at a time: the first that begins is the first that is over, so that
 * a list and one timer do. The timer is set anew only when it fires: one timeout that begins and
 * does not come to its end costs no system call.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#include <systemd/sd-event.h>

typedef struct Expiry Expiry;
typedef struct Expiries Expiries;

/* Its time is over: it is not in the list any more. */
typedef void (*Expired)(void *userdata);

/* Zeroed to begin with; belongs to whoever waits. */
struct Expiry {
	Expiries *in; /* NULL: not begun */
	Expiry *before, *after;
	uint64_t at_usec; /* of their clock */
	Expired expired;
	void *userdata;
};

struct Expiries {
	const char *what; /* for messages */
	clockid_t clock;
	uint64_t length_usec;
	sd_event_source *timer;
	Expiry *first, *last;
};

/*
 * `what`: that ends in this time, "health checks"; static. -ENOMEM, or what sd-event says. The
 * clock: CLOCK_MONOTONIC or CLOCK_BOOTTIME.
 */
int expiries_init(Expiries *expiries, sd_event *event, const char *what, clockid_t clock,
		  uint64_t length_usec);
/* Nothing is in it any more. */
void expiries_done(Expiries *expiries);

/* Anew if it has begun already, also of another length. `now_usec` is their clock's. */
void expiry_begin(Expiry *expiry, Expiries *expiries, uint64_t now_usec, Expired expired,
		  void *userdata);
void expiry_end(Expiry *expiry);
