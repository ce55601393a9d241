/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LOCK and START where the host issues them, for what the TVM has asked. */
#include "core/engine.h"
#include "core/engine-private.h"
#include "engine-bench.h"

#include <criterion/criterion.h>

TestSuite(engine_requests, .init = begin, .fini = end);

static void to_bound(uint32_t id)
{
	to_binding(id);
	bind_done(id, OUTCOME_DONE, TDISP_CONFIG_UNLOCKED);
	is(id, ASSIGNMENT_BOUND, FAULT_NONE);
}

static void carries(EngineEffectType type, uint32_t id, uint64_t request)
{
	const EngineEffect *e = effect(type);

	cr_assert_eq(e->id, id);
	cr_assert_eq(e->request, request);
	cr_assert_eq(e->generation, at(id)->generation);
	cr_assert_eq(e->operation, at(id)->operation);
	cr_assert_eq(at(id)->request, request);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(type));
	cr_assert_eq(count(EFFECT_CHANGED), 0, "it is where it was");
}

static EngineEvent started_of(uint64_t generation)
{
	return (EngineEvent){ .type = EVENT_TDI_CHANGED,
			      .id = 0,
			      .generation = generation,
			      .tdi_state = TDISP_CONFIG_LOCKED,
			      .asks = REQUEST_START,
			      .request = 9 };
}

Test(engine_requests, what_is_no_request_of_this_bind)
{
	to_locked(0);
	changes_nothing(started_of(2));
	changes_nothing(started_of(0));
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 0);
	cr_assert_eq(bench.n, 0, "no number");
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_NONE, 9);
	cr_assert_eq(bench.n, 0, "nothing asked");
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_N, 9);
	cr_assert_eq(bench.n, 0, "no request");
}

Test(engine_requests, lock_is_not_for_what_is_locked_and_start_not_for_what_is_not)
{
	to_locked(0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_LOCK, 3);
	cr_assert_eq(bench.n, 0);
	to_bound(1);
	asks(1, TDISP_CONFIG_UNLOCKED, REQUEST_START, 4);
	cr_assert_eq(bench.n, 0);
}

Test(engine_requests, to_run)
{
	to_bound(0);
	asks(0, TDISP_CONFIG_UNLOCKED, REQUEST_LOCK, 7);
	carries(EFFECT_LOCK, 0, 7);
	request_done(0, OUTCOME_DONE);
	is(0, ASSIGNMENT_BOUND, FAULT_NONE);
	tdi_changed(0, TDISP_CONFIG_LOCKED, false);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	carries(EFFECT_START, 0, 8);
	request_done(0, OUTCOME_DONE);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	tdi_changed(0, TDISP_RUN, true);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
}

/* The TSM tells where it is before it answers, as a rule. */
Test(engine_requests, the_answer_comes_last)
{
	uint64_t operation;

	to_locked(0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	operation = at(0)->operation;
	tdi_changed(0, TDISP_RUN, true);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	for (int outcome = OUTCOME_DONE; outcome <= OUTCOME_UNKNOWN; outcome++)
		changes_nothing((EngineEvent){ .type = EVENT_REQUEST_DONE,
					       .id = 0,
					       .operation = operation,
					       .outcome = (OperationOutcome)outcome });
}

Test(engine_requests, seen_twice_is_carried_once)
{
	to_locked(0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	carries(EFFECT_START, 0, 8);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	cr_assert_eq(bench.n, 0);
	request_done(0, OUTCOME_REFUSED);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	cr_assert_eq(count(EFFECT_START), 0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	cr_assert_eq(bench.n, 0, "refused is refused");
	simple(EVENT_GUEST_TIMEOUT, 0);
	ends_failed(0, FAULT_NO_VERDICT);
}

Test(engine_requests, another_one_meanwhile_is_carried_after_it)
{
	to_locked(0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_NONE, 0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 9);
	cr_assert_eq(bench.n, 0);
	request_done(0, OUTCOME_REFUSED);
	carries(EFFECT_START, 0, 9);
}

Test(engine_requests, one_that_is_over_meanwhile_is_not)
{
	to_locked(0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 9);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_NONE, 0);
	request_done(0, OUTCOME_REFUSED);
	cr_assert_eq(count(EFFECT_START), 0);
}

Test(engine_requests, heard_before_the_binds_answer)
{
	to_binding(0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 5);
	cr_assert_eq(bench.n, 0);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_UNLOCKED);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	cr_assert_eq(effect(EFFECT_START)->request, 5);
}

Test(engine_requests, an_unknown_outcome_ends_the_bind)
{
	to_bound(0);
	asks(0, TDISP_CONFIG_UNLOCKED, REQUEST_LOCK, 7);
	request_done(0, OUTCOME_UNKNOWN);
	ends_failed(0, FAULT_REQUEST);
	to_locked(1);
	asks(1, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	request_done(1, OUTCOME_UNKNOWN);
	ends_failed(1, FAULT_REQUEST);
}

/* It need not wait for the answer, which is nobody's then. */
Test(engine_requests, a_bind_that_ends_while_it_is_carried)
{
	uint64_t operation;

	to_locked(0);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	operation = at(0)->operation;
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_UNBINDING, FAULT_NONE);
	cr_assert_neq(effect(EFFECT_UNBIND)->operation, operation);
	changes_nothing((EngineEvent){ .type = EVENT_REQUEST_DONE,
				       .id = 0,
				       .operation = operation,
				       .outcome = OUTCOME_UNKNOWN });
	changes_nothing(started_of(1));
}

static void restore(AssignmentState state, uint64_t operation, uint64_t request)
{
	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	cr_assert_eq(engine_restore_tvm(bench.engine, 0), 0);
	cr_assert_eq(engine_restore_dsm(bench.engine, 0, &(EngineDsm){ .state = DSM_CONNECTED }),
		     0);
	cr_assert_eq(engine_restore_tdi(bench.engine, 0, &(EngineTdi){ .generation = 1 }), 0);
	cr_assert_eq(engine_restore_assignment(bench.engine, 0,
					       &(EngineAssignment){ .state = state,
								    .generation = 1,
								    .operation = operation,
								    .request = request,
								    .present = true,
								    .guest_ready = true }),
		     0);
}

Test(engine_requests, in_flight_over_a_restart)
{
	restore(ASSIGNMENT_LOCKED, 50, 8);
	cr_assert_eq(at(0)->operation, 50, "to be sent again");
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	cr_assert_eq(bench.n, 0);
	request_done(0, OUTCOME_REFUSED);
	asks(0, TDISP_CONFIG_LOCKED, REQUEST_START, 8);
	cr_assert_eq(bench.n, 0);
	restore(ASSIGNMENT_BOUND, 0, 8);
	asks(0, TDISP_CONFIG_UNLOCKED, REQUEST_LOCK, 8);
	cr_assert_eq(bench.n, 0, "it was answered before");
	restore(ASSIGNMENT_BOUND, 50, 0);
	cr_assert_eq(at(0)->operation, 0, "of no request");
	asks(0, TDISP_CONFIG_UNLOCKED, REQUEST_LOCK, 8);
	carries(EFFECT_LOCK, 0, 8);
}
