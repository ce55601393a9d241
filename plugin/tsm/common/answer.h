/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a provider answers: refusals and outcomes as varlink has them, and calls that wait. */
#pragma once

#include "core/bdf.h"
#include "core/uuid.h"
#include "rpc/varlink-server.h"
#include "tsm/common/operations.h"
#include "tsm/common/tsm-refusal.h"

/* The error of io.tdid.Tsm for a result of a verb that is not 0. */
void outcome_refused(OperationOutcome *ret, int result, const TsmRefusal *refusal);

/* The same for TSM_REFUSED and TSM_OUTCOME_UNKNOWN by name and reason. */
void outcome_text(OperationOutcome *ret, TsmOutcome outcome, const char *object,
		  const char *reason);

/* Success with these parameters (taken). */
void outcome_reply(OperationOutcome *ret, json_object *parameters);

/* 0 (success), a TsmOutcome, or a negative errno. */
int outcome_result(const OperationOutcome *outcome);

int answer_outcome(VarlinkCall *call, const OperationOutcome *outcome);

/* Answers with that error. */
int answer_refused(VarlinkCall *call, int result, const TsmRefusal *refusal);

/* Queues an operation whose watcher is this call. */
int answer_submit(Operations *operations, VarlinkCall *call, const OperationRequest *request);

/*
 * Strict reading of a parameter. Returns 0, or 1 after having answered InvalidParameter, or what
 * that answer returned.
 */
int answer_get_bdf(VarlinkCall *call, json_object *parameters, const char *name, Bdf *ret);
int answer_get_uuid(VarlinkCall *call, json_object *parameters, const char *name, Uuid *ret);

/* Appends an OperationStatus of io.tdid.Tsm for each operation with an id. */
int answer_operations(Operations *operations, json_object *array);

/* The whole method Cancel. */
int answer_cancel(Operations *operations, VarlinkCall *call, json_object *parameters);
