/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the handlers of the methods share. */
#pragma once

#include "core/hex.h"
#include "rpc/varlink-server.h"
#include "service.h"
#include "tsm.h"
#include "tsm/common/answer.h"
#include "tsm/common/monitor.h"
#include "tsm/common/operations.h"
#include "verb-faults.h"

typedef struct Door Door;

/* A verb on its way through the operations. */
typedef struct VerbWork {
	Service *service;
	Verb verb;
	Bdf device;
	VerbFault fault; /* set when its turn came */
	union {
		struct {
			bool needs_ide;
			uint8_t slot;
		} connect;
		struct {
			bool unbinds; /* what is bound is unbound first, else it is refused */
		} disconnect;
		TsmBind bind;
		TsmCarry carry; /* of lock and start */
	};
} VerbWork;

struct Service {
	const Config *config;
	char instance[HEX_STRING_SIZE(TSM_INSTANCE_SIZE)];
	Tsm *tsm;
	Monitor *monitor;
	VerbFaults *faults;
	Operations *operations;
	VarlinkServer *server;
	Door *door; /* NULL: the verbs come over the socket */
};

int service_bind_verbs(Service *service);

/*
 * Fills what operations_submit() needs but id and parameters. userdata and free are of the request;
 * -ENOMEM.
 */
int service_verb_request(const VerbWork *work, OperationRequest *ret);

/*
 * Takes a sealed message of a TVM. Positive: *ret is to be submitted; 0: *ret_outcome holds the
 * answer already. -ENOMEM.
 */
int service_guest_request(Service *service, Uuid tvm, TsmScope scope, const void *message,
			  size_t size, OperationRequest *ret, OperationOutcome *ret_outcome);

int service_bind_guest(Service *service);
int service_bind_faults(Service *service);

/* NULL: no memory. */
json_object *service_evidence_json(const TsmEvidence *evidence);
