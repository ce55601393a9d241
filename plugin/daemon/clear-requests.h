/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Clear: calls that wait for what becomes of a TDI's quarantine. */
#pragma once

#include "daemon/waiting-calls.h"

/* `device` is an address as text. Answered now, or waiting until the unbind is over. */
int clear_requests_take(Tdid *tdid, WaitingCalls *calls, const char *device, VarlinkCall *call);

/* The calls' WaitingAnswer. */
int clear_requests_answer(Tdid *tdid, const WaitingCall *waiting);
