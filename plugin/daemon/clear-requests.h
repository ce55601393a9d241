/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Clear: calls that wait for what becomes of a TDI's quarantine. */
#pragma once

#include "daemon/timed-calls.h"

/* `device` is an address as text. Answered now, or waiting until the unbind is over. */
int clear_requests_take(Tdid *tdid, TimedCalls *calls, const char *device, VarlinkCall *call);

/* Answers whoever waits for this TDI, if what it waits for is over. */
void clear_requests_settle(TimedCalls *calls, const Tdi *tdi);
