/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ways in which a scenario's objects can take each other's places, so that it is the same
 * scenario: TVMs that may have the same devices, TDIs of one DSM.
 */
#pragma once

#include "scenario.h"

#include <stddef.h>

/* Which object stands at each place, and at which place each object stands. */
typedef struct Arrangement {
	uint8_t tvm[MAX_TVMS], dsm[MAX_DSMS], tdi[MAX_TDIS], assignment[MAX_ASSIGNMENTS];
	uint8_t dsm_at[MAX_DSMS], assignment_at[MAX_ASSIGNMENTS];
} Arrangement;

/* All of MAX_TVMS and MAX_TDIS in every order. */
#define MAX_ARRANGEMENTS 12

typedef struct Symmetry {
	Arrangement arrangements[MAX_ARRANGEMENTS];
	size_t n;
} Symmetry;

/* The first is the scenario as it is. */
void symmetry_of(const Scenario *scenario, Symmetry *ret);
