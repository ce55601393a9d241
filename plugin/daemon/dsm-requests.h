/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments Connect and Reclaim: calls that wait for what becomes of a DSM. */
#pragma once

#include "daemon/waiting-calls.h"

/* VERB_CONNECT or VERB_RECLAIM of `dsm` (an address as text): answered now, or waiting. */
int dsm_requests_take(Tdid *tdid, WaitingCalls *calls, Verb verb, const char *dsm,
		      VarlinkCall *call);

/* The calls' WaitingAnswer. */
int dsm_requests_answer(Tdid *tdid, const WaitingCall *waiting);
