/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is put back after a restart. */
#include "core/engine.h"
#include "core/engine-private.h"
#include "engine-bench.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(engine_records, .init = begin, .fini = end);

static const EngineAssignment record = {
	.state = ASSIGNMENT_RUNNING, .generation = 3, .present = true, .guest_ready = true
};

static int restore_tdi(uint32_t id, TdiState state, uint64_t operation, uint64_t generation)
{
	return engine_restore_tdi(
		bench.engine, id,
		&(EngineTdi){ .state = state, .operation = operation, .generation = generation });
}

static void restore(AssignmentState state, DsmState dsm, uint64_t operation)
{
	EngineAssignment a = record;
	bool verb = dsm == DSM_CONNECTING || dsm == DSM_RECLAIMING;

	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	a.state = state;
	a.operation = operation;
	cr_assert_eq(engine_restore_tvm(bench.engine, 0), 0);
	cr_assert_eq(engine_restore_dsm(bench.engine, 0,
					&(EngineDsm){ .state = dsm, .operation = verb ? 7 : 0 }),
		     0);
	cr_assert_eq(restore_tdi(0, TDI_KNOWN, 0, 3), 0);
	cr_assert_eq(engine_restore_assignment(bench.engine, 0, &a), 0);
}

Test(engine_records, contradictory_records)
{
	EngineAssignment a = record;

	restore(ASSIGNMENT_RUNNING, DSM_CONNECTED, 0);
	cr_assert_eq(engine_restore_tvm(bench.engine, 0), -EINVAL);
	cr_assert_eq(engine_restore_dsm(bench.engine, 0, &(EngineDsm){}), -EINVAL);
	cr_assert_eq(engine_restore_dsm(bench.engine, 1, &(EngineDsm){ .state = DSM_N_STATES }),
		     -EINVAL);
	cr_assert_eq(restore_tdi(0, TDI_KNOWN, 0, 3), -EINVAL);
	cr_assert_eq(restore_tdi(ENGINE_MAX_ID, TDI_KNOWN, 0, 3), -EINVAL);
	cr_assert_eq(engine_restore_assignment(bench.engine, 0, &a), -EINVAL, "taken");
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), -EINVAL, "two owners");
	cr_assert_eq(restore_tdi(1, TDI_N_STATES, 0, 2), -EINVAL);
	cr_assert_eq(restore_tdi(1, TDI_KNOWN, 0, 2), 0);
	a.tdi = 1;
	a.tvm = 1;
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), -EINVAL, "no such TVM");
	a.tvm = 0;
	a.state = ASSIGNMENT_N_STATES;
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), -EINVAL, "no such state");
	a.state = ASSIGNMENT_RUNNING;
	cr_assert_eq(engine_restore_assignment(bench.engine, ENGINE_MAX_ID, &a), -EINVAL);
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), 0);
}

/* The records of who was bound before them could not be written, or read. */
Test(engine_records, that_nothing_moves_any_more)
{
	EngineAssignment a = record;

	restore(ASSIGNMENT_CONNECTING, DSM_CONNECTED, 0);
	cr_assert_eq(restore_tdi(1, TDI_KNOWN, 0, 0), 0);
	a.tdi = 1;
	a.generation = 0;
	a.guest_ready = false;
	a.state = ASSIGNMENT_CONNECTING;
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), 0);
	simple(EVENT_CONNECT_AHEAD, 0);
	is(0, ASSIGNMENT_BINDING, FAULT_NONE);
	is(1, ASSIGNMENT_WAITING, FAULT_NONE);
	changes_nothing((EngineEvent){ .type = EVENT_CONNECT_AHEAD, .id = 0 });
}

/* A bind is on record with its assignment; the TDI's record tells it before that is over. */
Test(engine_records, of_a_tdi_before_its_last_bind)
{
	EngineAssignment a = record;

	restore(ASSIGNMENT_RUNNING, DSM_CONNECTED, 0);
	cr_assert_eq(restore_tdi(1, TDI_KNOWN, 0, 2), 0);
	a.tdi = 1;
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), 0);
	cr_assert_eq(engine_tdi(bench.engine, 1)->generation, 3);
	simple(EVENT_GONE, 1);
	unbind_done(1, OUTCOME_DONE, true);
	cr_assert_lt(position(EFFECT_PERSIST_TDI), position(EFFECT_PERSIST_ASSIGNMENT));
	appear(1);
	simple(EVENT_GUEST_READY, 1);
	cr_assert_eq(effect(EFFECT_BIND)->generation, 4);
	cr_assert_eq(count(EFFECT_PERSIST_TDI), 0);
}

Test(engine_records, restored_in_every_state)
{
	for (int state = 0; state < ASSIGNMENT_N_STATES; state++) {
		bool final = state == ASSIGNMENT_RELEASED || state == ASSIGNMENT_FAILED;

		restore((AssignmentState)state, DSM_CONNECTED, 0);
		cr_assert_eq(at(0)->state, (AssignmentState)state);
		cr_assert_eq(engine_tdi(bench.engine, 0)->owner, final ? ENGINE_NONE : 0);
		cr_assert_eq(engine_dsm(bench.engine, 0)->idle_timer,
			     engine_dsm(bench.engine, 0)->users == 0);
		cr_assert_eq(at(0)->generation, 3);
		/* It leaves no state through a crash of the engine. */
		simple(EVENT_TVM_ENDED, 0);
	}
}

Test(engine_records, restored_while_binding)
{
	restore(ASSIGNMENT_BINDING, DSM_CONNECTED, 50);
	changes_nothing((EngineEvent){ .type = EVENT_BIND_DONE, .operation = 51 });
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	tdi_changed(0, TDISP_RUN, true);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	simple(EVENT_GONE, 0);
	cr_assert_geq(effect(EFFECT_UNBIND)->operation, 1000);
}

Test(engine_records, restored_while_unbinding)
{
	restore(ASSIGNMENT_UNBINDING, DSM_CONNECTED, 50);
	simple(EVENT_GONE, 0);
	unbind_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_RELEASED, FAULT_NONE);
	effect(EFFECT_TIMER_IDLE);
}

Test(engine_records, restored_while_its_dsm_connects)
{
	static const AssignmentState states[] = { ASSIGNMENT_CONNECTING, ASSIGNMENT_WAITING };

	for (size_t i = 0; i < ELEMENTSOF(states); i++) {
		restore(states[i], DSM_CONNECTING, 0);
		changes_nothing((EngineEvent){ .type = EVENT_GUEST_READY, .id = 0 });
		dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
		is(0, ASSIGNMENT_BINDING, FAULT_NONE);
		cr_assert_eq(effect(EFFECT_BIND)->generation, 4);
	}
}

static void restore_dsm(DsmState state, uint64_t operation, bool pinned, bool doubtful)
{
	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	cr_assert_eq(engine_restore_tvm(bench.engine, 0), 0);
	cr_assert_eq(engine_restore_dsm(bench.engine, 0,
					&(EngineDsm){ .state = state,
						      .operation = operation,
						      .pinned = pinned,
						      .doubtful = doubtful }),
		     0);
}

/* A quarantine is kept whatever else its record says. */
Test(engine_records, pin_and_doubt_where_none_can_be)
{
	restore_dsm(DSM_QUARANTINED, 0, true, true);
	dsm_is(DSM_QUARANTINED);
	cr_assert(!engine_dsm(bench.engine, 0)->pinned);
	cr_assert(!engine_dsm(bench.engine, 0)->doubtful);
	restore_dsm(DSM_IDLE, 0, true, false);
	cr_assert(!engine_dsm(bench.engine, 0)->pinned);
	restore_dsm(DSM_CONNECTED, 0, false, true);
	cr_assert(!engine_dsm(bench.engine, 0)->doubtful);
}

Test(engine_records, restored_pin)
{
	restore_dsm(DSM_CONNECTED, 0, true, false);
	cr_assert(!engine_dsm(bench.engine, 0)->idle_timer);
	changes_nothing((EngineEvent){ .type = EVENT_IDLE_TIMEOUT });
	appear(0);
	simple(EVENT_GONE, 0);
	cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);

	restore_dsm(DSM_CONNECTING, 7, true, false);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	cr_assert(engine_dsm(bench.engine, 0)->pinned);
	cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);

	restore_dsm(DSM_RECLAIMING, 7, true, false);
	dsm_done(EVENT_RECLAIM_DONE, OUTCOME_DONE);
	dsm_is(DSM_CONNECTING);
}

Test(engine_records, restored_reclaim_from_quarantine)
{
	for (int outcome = OUTCOME_DONE; outcome <= OUTCOME_UNKNOWN; outcome++) {
		restore_dsm(DSM_RECLAIMING, 7, false, true);
		appear(0);
		is(0, ASSIGNMENT_CONNECTING, FAULT_NONE);
		dsm_done(EVENT_RECLAIM_DONE, (OperationOutcome)outcome);
		dsm_is(outcome == OUTCOME_DONE ? DSM_CONNECTING : DSM_QUARANTINED);
		cr_assert(!engine_dsm(bench.engine, 0)->doubtful);
	}
}

Test(engine_records, restored_quarantine)
{
	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	cr_assert_eq(engine_restore_tvm(bench.engine, 1), 0);
	cr_assert_eq(restore_tdi(0, TDI_QUARANTINED, 0, 3), 0);
	appear_in(0, 1, 0);
	taken_out(0, FAULT_FOREIGN);
}

/* The TVM and its assignment may be forgotten meanwhile. */
Test(engine_records, restored_clear)
{
	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	cr_assert_eq(restore_tdi(0, TDI_CLEARING, 50, 3), 0);
	cr_assert_eq(restore_tdi(1, TDI_CLEARING, 0, 3), 0, "none in flight: no clear");
	cr_assert_eq(restore_tdi(2, TDI_KNOWN, 50, 3), 0);
	cr_assert_eq(engine_tdi(bench.engine, 1)->state, TDI_QUARANTINED);
	cr_assert_eq(engine_tdi(bench.engine, 2)->operation, 0);
	changes_nothing((EngineEvent){
		.type = EVENT_CLEAR_DONE, .operation = 51, .device_confirmed = true });
	step((EngineEvent){ .type = EVENT_CLEAR_DONE, .operation = 50, .device_confirmed = true });
	cr_assert_eq(engine_tdi(bench.engine, 0)->state, TDI_KNOWN);
	simple(EVENT_CLEAR_REQUESTED, 1);
	cr_assert_geq(effect(EFFECT_CLEAR)->operation, 1000);
}

/* The one with the doubt counts. */
Test(engine_records, quarantined_assignment_of_a_tdi_that_is_not)
{
	restore(ASSIGNMENT_QUARANTINED, DSM_CONNECTED, 0);
	cr_assert_eq(engine_tdi(bench.engine, 0)->state, TDI_QUARANTINED);
	simple(EVENT_CLEAR_REQUESTED, 0);
	effect(EFFECT_CLEAR);
}
