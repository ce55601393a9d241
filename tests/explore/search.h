/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Breadth-first through everything that can happen in a scenario. */
#pragma once

#include "model.h"

typedef struct SearchResult {
	uint32_t states;
	uint64_t transitions;
	double seconds;
	const char *broken; /* the property, or NULL when all hold */
} SearchResult;

/*
 * `check`: see also that states which are taken for the same have the same future; that takes many
 * times longer. `dropped` as in Model (EFFECT_N_TYPES: none). On a broken property the shortest
 * trace to it is written to `to`, unless that is NULL. -ENOMEM, also when it takes more than 2 GiB.
 */
int search(const Scenario *scenario, EngineEffectType dropped, bool check, FILE *to,
	   SearchResult *ret);
