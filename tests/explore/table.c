/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shipped source is compiled here with its table under another name. What engine.c finds under
 * the shipped name is a copy in an object of no constant type, so changing it is defined.
 */
#define engine_transitions   shipped_transitions
#define engine_n_transitions shipped_n_transitions
#include "core/engine-table.c"
#undef engine_transitions
#undef engine_n_transitions

#include "table.h"

#include "core/cleanup.h"

#include <string.h>

extern EngineTransition engine_transitions[ELEMENTSOF(shipped_transitions)];
extern const size_t engine_n_transitions;

EngineTransition engine_transitions[ELEMENTSOF(shipped_transitions)];
const size_t engine_n_transitions = ELEMENTSOF(shipped_transitions);

void table_restore(void)
{
	memcpy(engine_transitions, shipped_transitions, sizeof(shipped_transitions));
}

EngineTransition *table_row(AssignmentState from, EngineInput input, EngineGuard guard)
{
	for (size_t i = 0; i < engine_n_transitions; i++)
		if (engine_transitions[i].from == from && engine_transitions[i].input == input &&
		    engine_transitions[i].guard == guard)
			return &engine_transitions[i];
	return NULL;
}
