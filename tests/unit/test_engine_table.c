/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/engine-table.h"
#include "core/engine-private.h"

#include <criterion/criterion.h>

static bool fits(EngineGuard guard, unsigned int flags, EngineFault fault)
{
	bool ready = flags & 1, left = flags & 2, present = flags & 4;
	bool detach = flags & 8, rebind = flags & 16, spent = flags & 32;

	switch (guard) {
	case GUARD_NONE: return true;
	case GUARD_READY: return ready;
	case GUARD_LEFT: return left;
	case GUARD_PRESENT: return present;
	case GUARD_BACK: return present && left;
	case GUARD_FAULT: return fault != FAULT_NONE;
	case GUARD_LET_GO: return fault == FAULT_UNLOCKED;
	case GUARD_ENDED: return fault == FAULT_UNLOCKED || fault == FAULT_VOIDED;
	case GUARD_PRESENT_FAULT: return present && fault != FAULT_NONE;
	case GUARD_REBIND: return rebind && !detach && !spent;
	case GUARD_RETRY: return rebind && !detach;
	case GUARD_HOLD: return !detach;
	case GUARD_ASKS: return true;
	}
	return false;
}

/* Of the rows for one state and input the first that fits counts. */
static const EngineTransition *first(const EngineTransition *like, unsigned int flags,
				     EngineFault fault)
{
	for (size_t i = 0; i < engine_n_transitions; i++) {
		const EngineTransition *row = &engine_transitions[i];

		if (row->from == like->from && row->input == like->input &&
		    fits(row->guard, flags, fault))
			return row;
	}
	return NULL;
}

Test(engine_table, no_row_hides_another)
{
	for (size_t i = 0; i < engine_n_transitions; i++) {
		bool counts = false;

		for (unsigned int flags = 0; flags < 64; flags++)
			for (int fault = FAULT_NONE; fault < FAULT_N; fault++)
				counts |= first(&engine_transitions[i], flags,
						(EngineFault)fault) == &engine_transitions[i];
		cr_assert(counts, "row %zu: %s, %s", i,
			  assignment_state_name(engine_transitions[i].from),
			  engine_input_name(engine_transitions[i].input));
	}
}

Test(engine_table, every_bind_ends_through_unbinding)
{
	for (size_t i = 0; i < engine_n_transitions; i++) {
		const EngineTransition *row = &engine_transitions[i];
		bool moves = row->to != row->from;
		bool bound = row->from >= ASSIGNMENT_BOUND && row->from <= ASSIGNMENT_RUNNING;

		cr_assert_lt(row->from, ASSIGNMENT_N_STATES);
		cr_assert_lt(row->to, ASSIGNMENT_N_STATES);
		cr_assert_lt(row->input, IN_N);
		cr_assert_eq(row->to == ASSIGNMENT_BINDING, (row->actions & ACT_BIND) != 0);
		cr_assert_eq(moves && row->to == ASSIGNMENT_UNBINDING,
			     (row->actions & ACT_UNBIND) != 0);
		cr_assert_eq(moves && row->to == ASSIGNMENT_DETACHING,
			     (row->actions & ACT_DETACH) != 0);
		cr_assert_eq(row->to == ASSIGNMENT_QUARANTINED,
			     (row->actions & ACT_QUARANTINE) != 0);
		cr_assert_eq(row->to == ASSIGNMENT_RELEASED || row->to == ASSIGNMENT_FAILED,
			     (row->actions & ACT_DISOWN) != 0);
		if (row->to == ASSIGNMENT_RUNNING)
			cr_assert_eq(row->input, IN_RUN);
		if (bound)
			cr_assert(engine_state_is_bound(row->to), "row %zu", i);
	}
}

/* LOCK and START are issued for what the TVM has asked, and for nothing else. */
Test(engine_table, every_request_is_the_tvms)
{
	for (size_t i = 0; i < engine_n_transitions; i++) {
		const EngineTransition *row = &engine_transitions[i];

		cr_assert_eq((row->actions & ACT_LOCK) != 0, row->input == IN_LOCK_ASKED);
		cr_assert_eq((row->actions & ACT_START) != 0, row->input == IN_START_ASKED);
		cr_assert_eq((row->actions & (ACT_LOCK | ACT_START)) != 0,
			     row->guard == GUARD_ASKS);
		if (row->guard == GUARD_ASKS)
			cr_assert_eq(row->to, row->from, "where it leads the TSM says");
	}
}

static bool dsm_fits(DsmGuard guard, bool used, bool pinned, bool waited, bool doubtful)
{
	switch (guard) {
	case DSM_GUARD_NONE: return true;
	case DSM_GUARD_UNUSED: return !used;
	case DSM_GUARD_FREE: return !used && !pinned;
	case DSM_GUARD_WANTED: return used || pinned;
	case DSM_GUARD_WAITED: return waited;
	case DSM_GUARD_DOUBTFUL: return doubtful;
	}
	return false;
}

static const DsmTransition *dsm_first(const DsmTransition *like, unsigned int flags)
{
	for (size_t i = 0; i < dsm_n_transitions; i++) {
		const DsmTransition *row = &dsm_transitions[i];

		if (row->from == like->from && row->input == like->input &&
		    dsm_fits(row->guard, flags & 1, flags & 2, flags & 4, flags & 8))
			return row;
	}
	return NULL;
}

Test(engine_table, no_row_of_a_dsm_hides_another)
{
	for (size_t i = 0; i < dsm_n_transitions; i++) {
		bool counts = false;

		for (unsigned int flags = 0; flags < 16; flags++)
			counts |= dsm_first(&dsm_transitions[i], flags) == &dsm_transitions[i];
		cr_assert(counts, "row %zu: %s, %s", i, dsm_state_name(dsm_transitions[i].from),
			  dsm_input_name(dsm_transitions[i].input));
	}
}

Test(engine_table, a_quarantine_is_left_through_a_clear_only)
{
	for (size_t i = 0; i < tdi_n_transitions; i++) {
		const TdiTransition *row = &tdi_transitions[i];

		cr_assert_lt(row->from, TDI_N_STATES);
		cr_assert_lt(row->to, TDI_N_STATES);
		cr_assert_lt(row->input, TDI_IN_N);
		cr_assert_eq(row->to == TDI_CLEARING, (row->actions & TDI_ACT_CLEAR) != 0);
		if (row->to == TDI_KNOWN)
			cr_assert(row->from == TDI_CLEARING && row->input == TDI_IN_CLEARED, "%s",
				  tdi_input_name(row->input));
	}
	for (size_t i = 0; i < engine_n_transitions; i++)
		if (engine_transitions[i].from == ASSIGNMENT_QUARANTINED &&
		    engine_transitions[i].to != ASSIGNMENT_QUARANTINED)
			cr_assert_eq(engine_transitions[i].input, IN_CLEARED);
}

Test(engine_table, every_verb_of_a_dsm_has_its_state)
{
	for (size_t i = 0; i < dsm_n_transitions; i++) {
		const DsmTransition *row = &dsm_transitions[i];
		bool moves = row->to != row->from;

		cr_assert_lt(row->from, DSM_N_STATES);
		cr_assert_lt(row->to, DSM_N_STATES);
		cr_assert_lt(row->input, DSM_IN_N);
		cr_assert_eq(moves && row->to == DSM_CONNECTING,
			     (row->actions & DSM_ACT_CONNECT) != 0, "row %zu", i);
		cr_assert_eq(moves && row->to == DSM_RECLAIMING,
			     (row->actions & DSM_ACT_RECLAIM) != 0, "row %zu", i);
		cr_assert_eq(row->from == DSM_QUARANTINED, (row->actions & DSM_ACT_DOUBT) != 0);
		if (moves && (row->to == DSM_QUARANTINED || row->to == DSM_IDLE))
			cr_assert((row->actions & DSM_ACT_UNPIN) ||
					  row->input == DSM_IN_RECLAIM_DONE,
				  "row %zu", i);
	}
}
