/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Clear: calls that wait for what becomes of a TDI's quarantine. */
#pragma once

#include "daemon/tdid.h"

typedef struct ClearRequests ClearRequests;

int clear_requests_new(ClearRequests **ret, Tdid *tdid);
/* The server has to be gone already. */
ClearRequests *clear_requests_free(ClearRequests *requests);

/*
 * `device` is an address as text. The call is answered now or, when the unbind is over, by
 * clear_requests_settle. A caller that goes away changes nothing.
 */
int clear_requests_take(ClearRequests *requests, const char *device, VarlinkCall *call);

/* Answers whoever waits for this TDI, if what it waits for is over. */
void clear_requests_settle(ClearRequests *requests, const Tdi *tdi);
