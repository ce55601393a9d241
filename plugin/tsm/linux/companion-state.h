/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a companion says of its TDIs and DSMs. Pure. */
#pragma once

#include "core/bdf.h"
#include "core/digest.h"
#include "core/tdisp.h"
#include "core/uuid.h"
#include "rpc/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPANION_RECORDS_MAX 65536

typedef struct CompanionTdi {
	Bdf device;
	bool bound;
	Uuid tvm;	     /* if bound */
	uint64_t generation; /* if bound */
	TdispState state;
	bool accepted;
} CompanionTdi;

typedef struct CompanionDsm {
	Bdf dsm;
	char certificate[DIGEST_STRING_SIZE]; /* "": none */
} CompanionDsm;

typedef struct CompanionState {
	char *instance;
	CompanionTdi *tdis;
	size_t n_tdis;
	CompanionDsm *dsms;
	size_t n_dsms;
} CompanionState;

void companion_state_done(CompanionState *state);

/*
 * In place of all that was said before: an answer to Query, which the interface's definition has
 * been checked against. -EBADMSG, -ENOMEM: then nothing of it is taken.
 */
int companion_state_set(CompanionState *state, json_object *query);

/* One TdiStatus or DsmStatus. The same errors. */
int companion_state_take_tdi(CompanionState *state, json_object *tdi, Bdf *ret);
int companion_state_take_dsm(CompanionState *state, json_object *dsm, Bdf *ret);

/* NULL: it does not know the function. Valid until something else is said. */
const CompanionTdi *companion_state_tdi(const CompanionState *state, Bdf device);
/* NULL: not connected, as far as is known. */
const char *companion_state_certificate(const CompanionState *state, Bdf dsm);
