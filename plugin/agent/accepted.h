/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What this boot's agents have accepted, in /run/tdi-agent/accepted: one line per function,
 * "boot id, TVM, address, generation" between single spaces. It only ever says which bind in RUN is
 * known to us; whether it is in RUN, the TSM says.
 */
#pragma once

#include "agent/tree.h"
#include "core/bdf.h"
#include "core/uuid.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCEPTED_FOLDER	  "/run/tdi-agent"
#define ACCEPTED_PATH	  ACCEPTED_FOLDER "/accepted"
#define ACCEPTED_MAX_SIZE (64 * 1024)

typedef struct AcceptedBind {
	Uuid tvm;
	Bdf address;
	uint64_t generation;
} AcceptedBind;

/* A record that is missing, damaged or of another boot knows nothing. */
bool accepted_knows(const Tree *tree, const AcceptedBind *bind);
/* The same for any TVM id and generation. */
bool accepted_knows_address(const Tree *tree, Bdf address);

/* Replaces the line of that address. Negative errno. */
int accepted_add(const Tree *tree, const AcceptedBind *bind);
int accepted_remove(const Tree *tree, Bdf address);
