/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments Drain and Undrain: a DSM that nobody gets a device of any more. */
#pragma once

#include "daemon/detach-requests.h"
#include "daemon/tdid.h"

typedef struct DrainRequests DrainRequests;

/* `detaches` has to stay until the end. Drains of an earlier run go on by themselves. */
int drain_requests_new(DrainRequests **ret, Tdid *tdid, DetachRequests *detaches);
/* The server has to be gone already. */
DrainRequests *drain_requests_free(DrainRequests *requests);

int drain_requests_take(DrainRequests *requests, json_object *parameters, VarlinkCall *call);
int drain_requests_end(DrainRequests *requests, json_object *parameters, VarlinkCall *call);

/* An assignment of it has just come into this state. */
void drain_requests_changed(DrainRequests *requests, const Assignment *assignment,
			    AssignmentState state, uint64_t generation);
void drain_requests_dsm_changed(DrainRequests *requests, const Dsm *dsm);
/* A device of it cannot be detached. */
void drain_requests_stuck(DrainRequests *requests, const Assignment *assignment, const char *why);
