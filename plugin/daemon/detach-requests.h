/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Detach, and the detaches that a drain asks for. */
#pragma once

#include "daemon/tdid.h"

typedef struct DetachRequests DetachRequests;

/* It could not be detached: a sentence. */
typedef void (*DetachFailed)(Tdid *tdid, Assignment *assignment, const char *why);

int detach_requests_new(DetachRequests **ret, Tdid *tdid, DetachFailed failed);
/* The server has to be gone already. */
DetachRequests *detach_requests_free(DetachRequests *requests);

int detach_requests_take(DetachRequests *requests, json_object *parameters, VarlinkCall *call);

/*
 * Nobody waits for it. Of one that is being detached: it gets more time, and libvirt is asked once
 * more. Of one that is gone: nothing.
 */
void detach_requests_start(DetachRequests *requests, Assignment *assignment);

/* It is drained no more: what only the drain wanted, and libvirt has not been asked for, ends. */
void detach_requests_undrained(DetachRequests *requests, const Dsm *dsm);

/* Whether one of it is under way. */
bool detach_requests_has(DetachRequests *requests, const Assignment *assignment);

/* The assignment has just come into this state. */
void detach_requests_changed(DetachRequests *requests, Assignment *assignment,
			     AssignmentState state, uint64_t generation);
/* One whose guest was reset has not come back: it is in this state, and over. */
void detach_requests_left(DetachRequests *requests, Assignment *assignment, AssignmentState state,
			  uint64_t generation);
/* The guest refuses to let the device go. */
void detach_requests_not_let_go(DetachRequests *requests, const Tvm *tvm, const char *alias);
