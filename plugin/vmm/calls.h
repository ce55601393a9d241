/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocking calls off the sd-event loop: a queue per key, a limit in flight, deadlines. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "core/cleanup.h"

/*
 * A call is `work`, run on one of `n_slots` threads, and `done`, run on the loop's thread. The key
 * (a domain's UUID) says what excludes each other: calls of one key run one at a time in the order
 * they were queued; keys take turns.
 *
 * A call that is past its deadline is answered -ETIMEDOUT. If it was still queued that is all. If
 * `work` was running, its key is *stuck*: what is queued under it is answered -EHOSTUNREACH, what
 * is queued later is refused with -EHOSTUNREACH, until `work` returns. It keeps its slot meanwhile,
 * because whoever serves the calls is still busy with it; calls_write_off says otherwise.
 *
 * Slow calls are those whose keys are passed over while enough of them run; their deadline counts
 * on.
 */
typedef struct Calls Calls;

#define CALLS_MAX_SLOTS	     16u
#define CALLS_SPARE_SLOTS    2u	   /* of so many and one more at least, slow calls get one */
#define CALLS_MAX_QUEUED     1024u /* over all keys; more is refused with -EAGAIN */
#define CALLS_MAX_KEY	     64u   /* with the NUL */
#define CALLS_NO_DEADLINE    UINT64_MAX
#define CALLS_FREE_WAIT_USEC (2 * UINT64_C(1000000))

typedef struct CallType {
	/* On a worker thread; must not touch what the loop's thread owns. */
	void (*work)(void *data);
	/* On the loop's thread, once: r is 0 after `work` has returned; otherwise -ETIMEDOUT,
	 * -EHOSTUNREACH or -ECANCELED, and then `work` may still be running on `data` or start
	 * never. `started` says whether it had been started. */
	void (*done)(int r, bool started, void *data);
	/* When neither side uses `data` any more: on the loop's thread, or on the worker's when
	 * `work` outlived the Calls. */
	void (*free)(void *data);
	/* `work` may take long without hanging: such calls leave CALLS_SPARE_SLOTS to the others.
	 */
	bool slow;
} CallType;

typedef struct CallsHandlers {
	/* The stuck call of `key` has returned; further calls are accepted. */
	void (*unstuck)(const char *key, void *userdata);
	/* Every slot, or every one that slow calls may have, is held by a stuck call: nothing
	 * (slow) will start until one returns or they are written off. */
	void (*exhausted)(void *userdata);
} CallsHandlers;

/* `handlers` may be NULL and is copied, like its members. `name` goes to the threads' names. */
int calls_new(Calls **ret, sd_event *event, const char *name, unsigned n_slots,
	      const CallsHandlers *handlers, void *userdata);

/*
 * Answers what is pending with -ECANCELED and joins the threads. Waits until `wait_usec` from now
 * at most for work that is running; threads that are still in theirs are left behind, and free
 * `data` themselves when they come back. Not from inside a callback.
 */
Calls *calls_free_wait(Calls *calls, uint64_t wait_usec);

/* Waits CALLS_FREE_WAIT_USEC. */
Calls *calls_free(Calls *calls);
DEFINE_CLEANUP(Calls, calls_free);

/*
 * Queues a call. `timeout_usec` counts from now (CLOCK_BOOTTIME), CALLS_NO_DEADLINE for none.
 * Returns 0 and owns `data`; or -EHOSTUNREACH (the key is stuck), -EAGAIN (full), -EINVAL (key too
 * long), -ECANCELED (being freed), -ENOMEM, and `data` stays the caller's.
 */
int calls_add(Calls *calls, const char *key, const CallType *type, void *data,
	      uint64_t timeout_usec);

bool calls_is_stuck(const Calls *calls, const char *key);
unsigned calls_n_stuck(const Calls *calls);

/*
 * Stuck calls no longer count against the slots (the connection they hang in has been replaced):
 * each gets a substitute thread. Their keys stay stuck. Returns 0, or a negative errno when a
 * thread could not be started: that slot stays lost.
 */
int calls_write_off(Calls *calls);
