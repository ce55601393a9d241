/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that are answered when an object of the engine has become what they wait for. */
#pragma once

#include "daemon/tdid.h"

typedef struct WaitingCalls WaitingCalls;

typedef struct WaitingCall {
	VarlinkCall *call;
	Verb verb;
	const void *object; /* a Dsm or a Tdi; both outlive the calls */
	Bdf bdf;	    /* its address */
} WaitingCall;

/* Answers, and returns what the answer returned; or 1, without: it goes on waiting. */
typedef int (*WaitingAnswer)(Tdid *tdid, const WaitingCall *waiting);

int waiting_calls_new(WaitingCalls **ret, Tdid *tdid, WaitingAnswer answer);
/* The server has to be gone already. */
WaitingCalls *waiting_calls_free(WaitingCalls *calls);

/*
 * The call waits from now on, and the engine hears of the event, which may be all that it waits
 * for. A caller that goes away changes nothing. -ENOMEM: neither has happened.
 */
int waiting_calls_begin(WaitingCalls *calls, const WaitingCall *waiting, const EngineEvent *event);

/* Answers whoever waits for this object, if what it waits for is over. */
void waiting_calls_settle(WaitingCalls *calls, const void *object);
