/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments Connect and Reclaim: calls that wait for what becomes of a DSM. */
#pragma once

#include "daemon/timed-calls.h"

/* VERB_CONNECT or VERB_RECLAIM of `dsm` (an address as text): answered now, or waiting. */
int dsm_requests_take(Tdid *tdid, TimedCalls *calls, Verb verb, const char *dsm, VarlinkCall *call);

/*
 * The DSM of this address as text: 0; 1 when the call has been answered, because it is none; `step`
 * is for that answer.
 */
int dsm_requests_find(Tdid *tdid, VarlinkCall *call, const char *text, const char *step, Dsm **ret);

/* Answers whoever waits for this DSM, if what it waits for is over. */
void dsm_requests_settle(TimedCalls *calls, const Dsm *dsm);
