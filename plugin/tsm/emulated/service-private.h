/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the handlers of the methods share. */
#pragma once

#include "core/hex.h"
#include "tsm/common/monitor.h"
#include "tsm/common/operations.h"
#include "rpc/varlink-server.h"
#include "service.h"
#include "tsm.h"
#include "verb-faults.h"

struct Service {
	const Config *config;
	char instance[HEX_STRING_SIZE(TSM_INSTANCE_SIZE)];
	Tsm *tsm;
	Monitor *monitor;
	VerbFaults *faults;
	Operations *operations;
	VarlinkServer *server;
};

int service_bind_verbs(Service *service);
int service_bind_guest(Service *service);
int service_bind_faults(Service *service);

/* The error of io.tdid.Tsm for a result of a verb that is not 0. */
void service_outcome_refused(OperationOutcome *ret, int result, const TsmRefusal *refusal);

/* The same for TSM_REFUSED and TSM_OUTCOME_UNKNOWN by name and reason. */
void service_outcome_text(OperationOutcome *ret, TsmOutcome outcome, const char *object,
			  const char *reason);

/* Success with these parameters (taken). */
void service_outcome_reply(OperationOutcome *ret, json_object *parameters);

int service_call_outcome(VarlinkCall *call, const OperationOutcome *outcome);

/* Answers with that error. */
int service_call_refused(VarlinkCall *call, int result, const TsmRefusal *refusal);

/* Queues an operation whose watcher is this call. */
int service_submit(Service *service, VarlinkCall *call, const OperationRequest *request);

/*
 * Strict reading of a parameter. Returns 0, or 1 after having answered InvalidParameter, or what
 * that answer returned.
 */
int service_get_bdf(VarlinkCall *call, json_object *parameters, const char *name, Bdf *ret);
int service_get_uuid(VarlinkCall *call, json_object *parameters, const char *name, Uuid *ret);

/* NULL: no memory. */
json_object *service_evidence_json(const TsmEvidence *evidence);
