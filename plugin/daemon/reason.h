/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why an object is in its state, for an operator: bounded, whoever has said it. */
#pragma once

#include "daemon/operations.h"
#include "daemon/registry.h"

/*
 * Sets or clears the object's reason for the state that the engine has it in now. `reason`: what
 * is known of the event that led there; NULL leaves one that is about the same fault.
 */
void reason_of_assignment(Assignment *assignment, const EngineAssignment *e, const char *reason);
/* While it is being cleared the reason is what it was. */
void reason_of_tdi(Tdi *tdi, TdiState state, const char *reason);
void reason_of_dsm(Dsm *dsm, const char *reason);

/* What tdid knows, and what else the operator can do. NULL: out of memory. */
char *reason_of_operation(const OperationRequest *request, const OperationResult *result);
/* One that the policy holds. NULL: out of memory. */
char *reason_of_hold(const Assignment *assignment);
