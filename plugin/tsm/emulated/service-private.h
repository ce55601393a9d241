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

/* NULL: no memory. */
json_object *service_evidence_json(const TsmEvidence *evidence);
