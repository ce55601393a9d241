/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a provider's verb answers when it does not succeed: an error of io.tdid.Tsm, and why. */
#pragma once

#include "core/bdf.h"
#include "core/uuid.h"

#include <stdbool.h>
#include <stddef.h>

/* The errors of io.tdid.Tsm. */
typedef enum TsmOutcome {
	TSM_UNKNOWN_DEVICE = 1,
	TSM_NOT_TEE_IO,
	TSM_UNKNOWN_TVM,
	TSM_TVM_BUSY,
	TSM_DEVICE_BUSY,
	TSM_INVALID_STATE,
	TSM_REFUSED,
	TSM_OUTCOME_UNKNOWN,
	TSM_GUEST_MESSAGE_REJECTED,
} TsmOutcome;

/* What goes with such an error; which members say something depends on it. */
typedef struct TsmRefusal {
	char *object; /* device or operation, as text */
	bool has_tvm;
	Uuid tvm;
	const char *state; /* constant */
	char *reason;
	Bdf *devices; /* of TSM_TVM_BUSY */
	size_t n_devices;
} TsmRefusal;

void tsm_refusal_done(TsmRefusal *refusal);

/* Fills *refusal (the first reason wins) and returns `outcome`. */
int tsm_refuse(TsmRefusal *refusal, TsmOutcome outcome, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same about a device, whose address goes before the reason. */
int tsm_refuse_device(TsmRefusal *refusal, TsmOutcome outcome, Bdf device, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
