/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shipped source is compiled here with its tables under other names. What engine.c finds under
 * the shipped names are copies in objects of no constant type, so changing them is defined.
 */
#define engine_transitions   shipped_transitions
#define engine_n_transitions shipped_n_transitions
#define dsm_transitions	     shipped_dsm_transitions
#define dsm_n_transitions    shipped_dsm_n_transitions
#define tdi_transitions	     shipped_tdi_transitions
#define tdi_n_transitions    shipped_tdi_n_transitions
#include "core/engine-table.c"
#undef engine_transitions
#undef engine_n_transitions
#undef dsm_transitions
#undef dsm_n_transitions
#undef tdi_transitions
#undef tdi_n_transitions

#include "table.h"

#include "core/cleanup.h"

#include <string.h>

extern EngineTransition engine_transitions[ELEMENTSOF(shipped_transitions)];
extern const size_t engine_n_transitions;
extern DsmTransition dsm_transitions[ELEMENTSOF(shipped_dsm_transitions)];
extern const size_t dsm_n_transitions;
extern TdiTransition tdi_transitions[ELEMENTSOF(shipped_tdi_transitions)];
extern const size_t tdi_n_transitions;

EngineTransition engine_transitions[ELEMENTSOF(shipped_transitions)];
const size_t engine_n_transitions = ELEMENTSOF(shipped_transitions);
DsmTransition dsm_transitions[ELEMENTSOF(shipped_dsm_transitions)];
const size_t dsm_n_transitions = ELEMENTSOF(shipped_dsm_transitions);
TdiTransition tdi_transitions[ELEMENTSOF(shipped_tdi_transitions)];
const size_t tdi_n_transitions = ELEMENTSOF(shipped_tdi_transitions);

void table_restore(void)
{
	memcpy(engine_transitions, shipped_transitions, sizeof(shipped_transitions));
	memcpy(tdi_transitions, shipped_tdi_transitions, sizeof(shipped_tdi_transitions));
	memcpy(dsm_transitions, shipped_dsm_transitions, sizeof(shipped_dsm_transitions));
}

EngineTransition *table_row(AssignmentState from, EngineInput input, EngineGuard guard)
{
	for (size_t i = 0; i < engine_n_transitions; i++)
		if (engine_transitions[i].from == from && engine_transitions[i].input == input &&
		    engine_transitions[i].guard == guard)
			return &engine_transitions[i];
	return NULL;
}

DsmTransition *table_dsm_row(DsmState from, DsmInput input, DsmGuard guard)
{
	for (size_t i = 0; i < dsm_n_transitions; i++)
		if (dsm_transitions[i].from == from && dsm_transitions[i].input == input &&
		    dsm_transitions[i].guard == guard)
			return &dsm_transitions[i];
	return NULL;
}

TdiTransition *table_tdi_row(TdiState from, TdiInput input)
{
	for (size_t i = 0; i < tdi_n_transitions; i++)
		if (tdi_transitions[i].from == from && tdi_transitions[i].input == input)
			return &tdi_transitions[i];
	return NULL;
}
