/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which verbs are to go wrong (FailVerb of io.tdid.TsmEmulated). */
#pragma once

#include "core/bdf.h"
#include "core/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum Verb {
	VERB_CONNECT,
	VERB_DISCONNECT,
	VERB_BIND,
	VERB_UNBIND,
	VERB_LOCK,
	VERB_START,
	_VERB_MAX,
} Verb;

typedef enum VerbFaultKind {
	VERB_FAULT_NONE,
	VERB_FAULT_REFUSE,
	VERB_FAULT_HANG,
	VERB_FAULT_LATE,
	VERB_FAULT_DONE_BUT_FAILED,
} VerbFaultKind;

typedef struct VerbFault {
	VerbFaultKind kind;
	uint32_t milliseconds; /* of VERB_FAULT_LATE */
} VerbFault;

typedef struct VerbFaults VerbFaults;

int verb_faults_new(VerbFaults **ret);
VerbFaults *verb_faults_free(VerbFaults *faults);
DEFINE_CLEANUP(VerbFaults, verb_faults_free);

/* The next `times` of this verb on this device; in place of what was there. */
int verb_faults_set(VerbFaults *faults, Bdf device, Verb verb, VerbFault fault, uint32_t times);

/* What happens to the verb whose turn it is. Counts. */
VerbFault verb_faults_take(VerbFaults *faults, Bdf device, Verb verb);

/* Returns how many verbs they would still have hit. */
uint64_t verb_faults_clear(VerbFaults *faults);
