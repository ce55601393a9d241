/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The states that were reached, each with the move that reached it first. A state is kept as a
 * 128-bit fingerprint: with 10 million states two different ones share one with a probability below
 * 1e-24, and then what follows the later of them is missed.
 */
#pragma once

#include "model.h"

#define STATE_NONE UINT32_MAX

typedef struct State {
	uint64_t fingerprint[2];
	uint32_t parent;
	uint32_t completion; /* where its completing move leads, STATE_NONE at rest */
	Move move;
} State;

typedef struct StateSet StateSet;

int state_set_new(StateSet **ret);
StateSet *state_set_free(StateSet *set);

/* 1 and its index when it is new, 0 and its index when it was there, -ENOMEM. */
int state_set_add(StateSet *set, const uint8_t *bytes, size_t n, uint32_t parent, Move move,
		  uint32_t *ret);

/* Equal bytes, equal fingerprints. */
void state_fingerprint(const uint8_t *bytes, size_t n, uint64_t ret[2]);

/* Valid until the next addition. */
State *state_set_at(StateSet *set, uint32_t index);
uint32_t state_set_size(const StateSet *set);
/* Bytes of memory. */
size_t state_set_memory(const StateSet *set);
