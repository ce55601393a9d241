/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that wait for what becomes of an object, and no longer than their callers want. What is
 * done about it goes on without them: a call that is lost, or a restart, loses nothing else.
 */
#pragma once

#include "daemon/tdid.h"

#define TIMED_CALL_MS_MAX 86400000

typedef struct TimedCalls TimedCalls;
typedef struct TimedCall TimedCall;

struct TimedCall {
	TimedCalls *calls;
	VarlinkCall *call; /* a reference */
	const void *object;
	int goal; /* the owner's */
	uint64_t timeout_usec;
	sd_event_source *timer;
	TimedCall *next;
};

typedef struct TimedCallsOps {
	/* Its time is over: has to answer. It is ended after that. */
	int (*timed_out)(Tdid *tdid, const TimedCall *waiting);
	/* Its caller has gone, and it has been ended. May be NULL. */
	void (*gone)(Tdid *tdid, const void *object);
} TimedCallsOps;

/* ops: NULL where no call has a time, and nobody minds who goes. */
int timed_calls_new(TimedCalls **ret, Tdid *tdid, const TimedCallsOps *ops);
/* The server has to be gone already. */
TimedCalls *timed_calls_free(TimedCalls *calls);

/* timeout_ms: the caller's, or (0) otherwise_ms; both 0: it waits as long as it takes. -ENOMEM. */
int timed_calls_add(TimedCalls *calls, VarlinkCall *call, const void *object, int goal,
		    int64_t timeout_ms, int64_t otherwise_ms, TimedCall **ret);
/*
 * For each that waits for the object; `fn` answers, and returns what the answer returned, which
 * ends it; or 1, without: it goes on waiting.
 */
typedef int (*TimedCallFn)(Tdid *tdid, const TimedCall *waiting, void *userdata);
void timed_calls_each(TimedCalls *calls, const void *object, TimedCallFn fn, void *userdata);

/*
 * For as long as it takes: the engine hears of the event, and the call, with the verb as its goal,
 * waits for what becomes of the object (of this address), which may be so already. -ENOMEM: neither
 * has happened.
 */
int timed_calls_begin(TimedCalls *calls, VarlinkCall *call, const void *object, Bdf bdf, Verb verb,
		      const EngineEvent *event, TimedCallFn fn);

bool timed_calls_any(const TimedCalls *calls, const void *object);
/* What waits for the one waits for the other from now on. */
void timed_calls_move(TimedCalls *calls, const void *from, const void *to);
