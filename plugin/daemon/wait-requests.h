/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments Wait: calls that are answered when an assignment is where they want it. */
#pragma once

#include "daemon/assignment-view.h"
#include "rpc/varlink-server.h"

typedef struct WaitRequests WaitRequests;

int wait_requests_new(WaitRequests **ret, Tdid *tdid);
/* The server has to be gone already. */
WaitRequests *wait_requests_free(WaitRequests *requests);

/* The handler of Wait. */
int wait_requests_take(WaitRequests *requests, VarlinkCall *call, json_object *parameters);

/* The assignment has just come into this state. */
void wait_requests_state(WaitRequests *requests, const Assignment *a, const Moment *moment);
/* The domain has been read again and compared, or is not known any more. */
void wait_requests_domain_read(WaitRequests *requests, const Domain *domain);
void wait_requests_domain_gone(WaitRequests *requests);

size_t wait_requests_count(const WaitRequests *requests);
