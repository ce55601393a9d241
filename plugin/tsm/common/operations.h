/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verbs on their way: each waits for its turn (one at a time for every queue, in the order in which
 * they came, but for those that yield), takes its time, is run, and its outcome is remembered under
 * its id.
 */
#pragma once

#include "core/cleanup.h"
#include "rpc/json.h"

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

/* Outcomes remembered; the oldest goes first. */
#define OPERATIONS_REMEMBERED 4096
/* Operations with an id that may be under way at once. */
#define OPERATIONS_MAX 1024
/* The same for those without one. */
#define OPERATIONS_MAX_ANONYMOUS 256
#define OPERATION_ID_MAX	 256

/* As an operation's latency: it stays started until operations_resume() or _settle(). */
#define OPERATION_HANGS UINT64_MAX

typedef struct Operations Operations;

typedef enum OperationProgress {
	OPERATION_QUEUED,
	OPERATION_STARTED,
	OPERATION_DONE,
} OperationProgress;

/* "queued", "started", "done" */
const char *operation_progress_name(OperationProgress progress);

typedef struct OperationOutcome {
	char *error; /* name of a varlink error; NULL: success */
	json_object *parameters;
} OperationOutcome;

void operation_outcome_done(OperationOutcome *outcome);

typedef struct OperationRequest {
	const char *id; /* NULL: nobody can repeat or cancel it, nothing is remembered */
	const char *verb;
	const char *device;
	json_object *parameters; /* a repeated id must come with equal ones */
	uint32_t queue;		 /* the DSM's requester id */
	bool yields;		 /* it starts when nothing waits in its queue that does not */
	/* When its turn comes: how many microseconds it takes, or OPERATION_HANGS. */
	uint64_t (*start)(void *userdata);
	/* Afterwards: does it. May not submit. */
	void (*run)(void *userdata, OperationOutcome *ret);
	/* Taken, also on failure. */
	void *userdata;
	void (*free)(void *userdata);
} OperationRequest;

/*
 * Told of the present progress within operations_submit(), of every later one from the event loop
 * or within operations_submit() of another. outcome: with OPERATION_DONE only, borrowed; after it
 * the watcher is forgotten.
 */
typedef void (*OperationWatch)(void *watcher, OperationProgress progress,
			       const OperationOutcome *outcome);

typedef struct OperationStatus {
	const char *id, *verb, *device;
	OperationProgress progress;
} OperationStatus;

int operations_new(Operations **ret, sd_event *event);
/* What is under way is dropped, and its watchers with it. */
Operations *operations_free(Operations *operations);
DEFINE_CLEANUP(Operations, operations_free);

/* Borrowed. */
sd_event *operations_event(const Operations *operations);

/*
 * Queues the operation, or joins the one with the same id, or repeats that one's outcome. 0;
 * -EEXIST: the id was used for something else; -ENOBUFS: too many are under way; -EINVAL: a bad id;
 * -ENOMEM.
 */
int operations_submit(Operations *operations, const OperationRequest *request, OperationWatch watch,
		      void *watcher);

/* The watcher hears no more; the operations go on. */
void operations_unwatch(Operations *operations, void *watcher);

/*
 * Takes back what is queued: its outcome is then `outcome` (taken). True also for an id never seen
 * before: it will have that outcome if it comes. False: started, or done.
 */
int operations_cancel(Operations *operations, const char *id, OperationOutcome *outcome,
		      bool *ret_cancelled);

bool operations_is_queued(Operations *operations, const char *id);

/* What hangs in this queue (any, if `all`) is run now. */
void operations_resume(Operations *operations, uint32_t queue, bool all);
/* What hangs in this queue gets this outcome (taken) without being run. False: nothing hangs. */
bool operations_settle(Operations *operations, uint32_t queue, OperationOutcome *outcome);

/* Those with an id, in the order in which they came; ends with -ENOENT. Borrowed. */
int operations_at(Operations *operations, size_t index, OperationStatus *ret);
