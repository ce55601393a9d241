/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A circuit breaker: whether an upstream is to be asked at all.
 *
 *	CLOSED   asked. Nobody there: OPEN. So many failures in a row of another kind: PROBING,
 *	         because they may be the requests' fault
 *	OPEN     not asked until the wait is over, then PROBING; each time twice as long a wait
 *	PROBING  one health check is under way. It answers: CLOSED. It fails: OPEN
 *
 * What answers its check after such failures is CLOSED and suspect: one more is a check again, and
 * others are preferred. A request's answer, or the next regular check, makes it as good as new, and
 * forgets how long the wait was: what only comes back now and then is waited for longer each time.
 *
 * While it is not CLOSED a request may wait for it: breaker_is_worth_waiting_for.
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
	uint64_t until_usec; /* the wait's end, of OPEN and of what follows it; 0: there was none */
} Breaker;

/* A request was answered. */
static inline void breaker_answered(Breaker *breaker)
{
	*breaker = (Breaker){};
}

static inline bool breaker_is_suspect(const Breaker *breaker)
{
	return breaker->failures >= BREAKER_FAILURES - 1;
}

/*
 * Whether a request that has until `until_usec` may hope for it: a check is under way, or one comes
 * before that. Not when its wait has come to be the longest one, after some 15 s without anybody
 * there: that it is away is known by then, and who asks is better off when told at once.
 */
static inline bool breaker_is_worth_waiting_for(const Breaker *breaker, uint64_t until_usec)
{
	return breaker->state == BREAKER_PROBING ||
	       (breaker->state == BREAKER_OPEN && breaker->wait_usec < BREAKER_WAIT_MAX_USEC &&
		breaker->until_usec < until_usec);
}

static inline void breaker_open(Breaker *breaker, uint64_t now_usec)
{
	breaker->wait_usec = breaker->wait_usec ? 2 * breaker->wait_usec : BREAKER_WAIT_USEC;
	if (breaker->wait_usec > BREAKER_WAIT_MAX_USEC)
		breaker->wait_usec = BREAKER_WAIT_MAX_USEC;
	breaker->state = BREAKER_OPEN;
	breaker->until_usec = now_usec + breaker->wait_usec;
}

/*
 * A request failed. `nobody`: the connection was refused. What was asked before the breaker left
 * CLOSED says nothing new. PROBING afterwards, and not before: do a check now.
 */
static inline void breaker_failed(Breaker *breaker, bool nobody, uint64_t now_usec)
{
	if (breaker->state != BREAKER_CLOSED)
		return;
	if (breaker->failures < BREAKER_FAILURES)
		breaker->failures++;
	if (nobody)
		breaker_open(breaker, now_usec);
	else if (breaker->failures == BREAKER_FAILURES)
		breaker->state = BREAKER_PROBING;
}

/* OPEN, and its wait is over: true, and PROBING. */
static inline bool breaker_wait_over(Breaker *breaker, uint64_t now_usec)
{
	if (breaker->state != BREAKER_OPEN || now_usec < breaker->until_usec)
		return false;
	breaker->state = BREAKER_PROBING;
	return true;
}

/* The check's end; also of one that was done while it was CLOSED. */
static inline void breaker_checked(Breaker *breaker, bool good, uint64_t now_usec)
{
	if (!good) {
		breaker_open(breaker, now_usec);
	} else {
		if (breaker->state == BREAKER_CLOSED)
			breaker->wait_usec = 0;
		breaker->failures = breaker->state == BREAKER_PROBING && !breaker->until_usec
					    ? BREAKER_FAILURES - 1
					    : 0;
		breaker->state = BREAKER_CLOSED;
		breaker->until_usec = 0;
	}
}
