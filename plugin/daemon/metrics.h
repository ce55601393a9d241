/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What tdid counts from its start on, and how things stand, for io.tdid.Assignments Metrics.
 *
 * Labels are words of ours and the names of TSMs in tdid.conf: how many there are is not up to any
 * guest, device or caller. Every function takes NULL, and then counts nothing.
 */
#pragma once

#include "daemon/config.h"
#include "daemon/operations.h"

typedef struct Metrics Metrics;
typedef struct Tdid Tdid;

int metrics_new(Metrics **ret, const Config *config);
Metrics *metrics_free(Metrics *metrics);

/* An assignment has come into this state; `provider` is its TSM's, or NULL. */
void metrics_transition(Metrics *metrics, AssignmentState state, const Provider *provider);
void metrics_fault(Metrics *metrics, EngineFault fault);
/* From libvirt's device-added to RUN. */
void metrics_ran(Metrics *metrics, uint64_t usec);
/* The TSM's answer to a verb, or that there is none. */
void metrics_verb(Metrics *metrics, Verb verb, const OperationResult *result);
void metrics_record_failed(Metrics *metrics);

typedef enum MetricsHook {
	METRICS_HOOK_ANSWERED,
	METRICS_HOOK_REFUSED,
	METRICS_HOOK_LATE, /* let go on without what it waited for */
	METRICS_HOOK_GONE, /* the caller has not waited for the answer */
	METRICS_HOOK_N,
} MetricsHook;

void metrics_hook(Metrics *metrics, const char *operation, MetricsHook outcome);

/* All of it, as OpenMetrics text, allocated. -ENOMEM. */
int metrics_to_text(Tdid *tdid, char **ret);
