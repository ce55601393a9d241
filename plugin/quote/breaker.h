/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A circuit breaker: whether an upstream is to be asked at all.
 *
 *	CLOSED  asked. So many failures in a row: OPEN
 *	OPEN    not asked until the wait is over, then PROBING. Each time twice as long a wait
 *	PROBING one health check is under way. It answers: CLOSED. It fails: OPEN
 *
 * Pure: the caller has the clock, and does the check.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum BreakerState {
	BREAKER_CLOSED,
	BREAKER_OPEN,
	BREAKER_PROBING,
} BreakerState;

#define BREAKER_FAILURES      3u
#define BREAKER_WAIT_USEC     UINT64_C(500000) /* the first one */
#define BREAKER_WAIT_MAX_USEC UINT64_C(15000000)

/* All zero is a closed one. */
typedef struct Breaker {
	BreakerState state;
	unsigned failures; /* in a row */
	uint64_t wait_usec;
	uint64_t until_usec; /* OPEN: the wait's end */
} Breaker;

static inline void breaker_succeeded(Breaker *breaker)
{
	*breaker = (Breaker){};
}

/* `at_once`: nobody is there, so that asking again is in vain. True if it has opened just now. */
static inline bool breaker_failed(Breaker *breaker, bool at_once, uint64_t now_usec)
{
	bool was_closed = breaker->state == BREAKER_CLOSED;

	if (breaker->failures < UINT32_MAX)
		breaker->failures++;
	/* Of one that was asked before it opened: it says nothing new. */
	if (breaker->state == BREAKER_OPEN ||
	    (was_closed && !at_once && breaker->failures < BREAKER_FAILURES))
		return false;
	breaker->wait_usec = breaker->wait_usec ? 2 * breaker->wait_usec : BREAKER_WAIT_USEC;
	if (breaker->wait_usec > BREAKER_WAIT_MAX_USEC)
		breaker->wait_usec = BREAKER_WAIT_MAX_USEC;
	breaker->state = BREAKER_OPEN;
	breaker->until_usec = now_usec + breaker->wait_usec;
	return was_closed;
}

/* True: do a health check now; its end is told with one of the two above. */
static inline bool breaker_probe(Breaker *breaker, uint64_t now_usec)
{
	if (breaker->state != BREAKER_OPEN || now_usec < breaker->until_usec)
		return false;
	breaker->state = BREAKER_PROBING;
	return true;
}
