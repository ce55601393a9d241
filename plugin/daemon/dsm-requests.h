/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments Connect and Reclaim: calls that wait for what becomes of a DSM. */
#pragma once

#include "daemon/tdid.h"

typedef struct DsmRequests DsmRequests;

int dsm_requests_new(DsmRequests **ret, Tdid *tdid);
/* The server has to be gone already. */
DsmRequests *dsm_requests_free(DsmRequests *requests);

/*
 * VERB_CONNECT or VERB_RECLAIM of `dsm` (an address as text). The call is answered now or, when the
 * verb is over, by dsm_requests_settle. A caller that goes away changes nothing.
 */
int dsm_requests_take(DsmRequests *requests, Verb verb, const char *dsm, VarlinkCall *call);

/* Answers whoever waits for this DSM, if what it waits for is over. */
void dsm_requests_settle(DsmRequests *requests, const Dsm *dsm);
