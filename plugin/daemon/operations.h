/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's verbs under way: sent to the providers, in order for each DSM, each with a deadline.
 *
 * An operation keeps its number. When a provider goes away it is sent again once the provider is
 * back; the number makes that safe. Its deadline counts from "started"; past it the outcome is
 * unknown.
 *
 * What hangs in a TSM keeps the verbs behind it queued there, for as long as it hangs. The way out
 * is a verb with force, to which it gives way: that one does not wait here for its DSM's others.
 *
 * A connect, bind, lock or start that nobody needs any more can be called off as long as it has not
 * started: then it is refused, and nothing has been done. One that has started goes on to its
 * outcome.
 */
#pragma once

#include "core/engine.h"
#include "daemon/registry.h"

typedef enum Verb {
	VERB_CONNECT, /* device_connect */
	VERB_RECLAIM, /* device_reclaim */
	VERB_BIND,    /* tdi_bind */
	VERB_UNBIND,  /* tdi_unbind */
	VERB_CLEAR,   /* tdi_unbind of a quarantined TDI, whoever had it */
	VERB_LOCK,    /* carries its TVM's request */
	VERB_START,
	VERB_N,
} Verb;

const char *verb_name(Verb verb);

typedef struct OperationRequest {
	Verb verb;
	uint64_t number;
	Dsm *dsm;
	Assignment *assignment; /* of bind, unbind, lock and start */
	Tdi *tdi;		/* of clear */
	uint64_t generation;
	uint64_t request; /* of lock and start: the TVM's */
	bool resumed;	  /* an earlier run of tdid may have sent it */
	bool force; /* of reclaim: what became of an earlier verb is not known. Clear always has it
		     */
} OperationRequest;

/* The host's address of what it is about. Its DSM has to be known. */
Bdf operation_object(const OperationRequest *request);

typedef struct OperationResult {
	OperationOutcome outcome;
	TdispState state;      /* of bind */
	bool device_confirmed; /* of unbind and clear */
	const char *reason;    /* unless done */
	bool called_off;       /* refused because of operations_call_off */
	/* From its start to its end; not known of one that an earlier run of tdid has sent. */
	bool timed;
	uint64_t duration_usec;
} OperationResult;

typedef struct OperationHandlers {
	void (*started)(const OperationRequest *request, void *userdata);
	/* Never from within operations_submit. The operation is over when this runs. */
	void (*done)(const OperationRequest *request, const OperationResult *result,
		     void *userdata);
	/* Whether somebody needs what has been called off: it may have come back meanwhile. */
	bool (*needed)(const OperationRequest *request, void *userdata);
} OperationHandlers;

typedef struct Operations Operations;

int operations_new(Operations **ret, sd_event *event, uint64_t deadline_usec,
		   const OperationHandlers *handlers, void *userdata);
Operations *operations_free(Operations *operations);
DEFINE_CLEANUP(Operations, operations_free);

/* -ENOMEM. The request is copied; what it points to has to stay until it is done. */
int operations_submit(Operations *operations, const OperationRequest *request);

/*
 * Nobody waits any longer for what is under way of this TVM's assignments: each ends here and now,
 * of unknown outcome unless it has never been sent. A queued one is taken back where the provider
 * still can; `reason` is each one's.
 */
void operations_give_up(Operations *operations, const Tvm *tvm, const char *reason);

/*
 * Nobody needs the bind of this assignment (nor what its TVM has asked for in it), or (NULL) the
 * connect of the DSM, any more. Nothing happens where there is none under way. As above, `done`
 * does not run from within.
 */
void operations_call_off(Operations *operations, Dsm *dsm, const Assignment *assignment);

/* The provider is there (again): what waits for it is sent. */
void operations_provider_ready(Operations *operations);
