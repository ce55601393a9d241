/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes wrong with answers on request (Fail of io.tdid.QeEmulated, where each is explained). */
#pragma once

#include "common/blob.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum MishapKind {
	MISHAP_NONE,
	/* what becomes of the connection */
	MISHAP_SILENT,
	MISHAP_CLOSE,
	MISHAP_REFUSE,
	MISHAP_SPLIT,
	MISHAP_CUT,
	/* what becomes of a framed answer's bytes */
	MISHAP_SHORT_FRAME,
	MISHAP_LONG_FRAME,
	MISHAP_HUGE_FRAME,
	MISHAP_WRONG_SIZE,
	MISHAP_WRONG_QUOTE_SIZE,
	MISHAP_WRONG_ID_SIZE,
	MISHAP_OLD_VERSION,
	MISHAP_WRONG_TYPE,
	MISHAP_TRAILING_BYTE,
	_MISHAP_MAX,
} MishapKind;

typedef struct Mishap {
	MishapKind kind;
	uint32_t value; /* REFUSE: the error; SPLIT: the pause in milliseconds */
} Mishap;

/* "short_frame", or NULL for MISHAP_NONE. */
const char *mishap_name(MishapKind kind);
/* -EINVAL when it is none. */
int mishap_from_name(MishapKind *ret, const char *name);

/* To a framed answer. Kinds that are the connection's leave it as it is. -ENOMEM. */
int mishap_spoil(MishapKind kind, Blob *answer);
