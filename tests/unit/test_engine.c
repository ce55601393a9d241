/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/engine.h"
#include "core/engine-private.h"
#include "engine-bench.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(engine, .init = begin, .fini = end);

/* Bad input */

Test(engine, no_operation_0)
{
	Engine *engine = NULL;

	cr_assert_eq(engine_new(&engine, 0), -EINVAL);
	cr_assert_null(engine);
}

Test(engine, unknown_objects)
{
	for (int type = EVENT_TVM_STOPPING; type < EVENT_N_TYPES; type++)
		for (uint32_t id = 7; id != ENGINE_NONE;
		     id = id == 7 ? ENGINE_NONE - 1 : ENGINE_NONE) {
			EngineEvent event = { .type = (EngineEventType)type, .id = id, .tvm = 9 };

			if (type == EVENT_CONNECT_REQUESTED || type == EVENT_CONNECT_AHEAD ||
			    type == EVENT_CLEAR_REQUESTED)
				continue; /* may name a new DSM, or TDI */
			cr_assert_eq(try_step(event), -EINVAL, "%s", engine_event_name(event.type));
			changes_nothing(event);
		}
	cr_assert_eq(try_step((EngineEvent){ .type = EVENT_N_TYPES }), -EINVAL);
}

Test(engine, ids_too_large)
{
	changes_nothing((EngineEvent){ .type = EVENT_TVM_STARTED, .id = ENGINE_MAX_ID });
	changes_nothing((EngineEvent){ .type = EVENT_APPEARED, .id = ENGINE_MAX_ID });
	changes_nothing((EngineEvent){ .type = EVENT_APPEARED, .dsm = ENGINE_MAX_ID });
	changes_nothing((EngineEvent){ .type = EVENT_APPEARED, .tdi = ENGINE_NONE });
	cr_assert_null(engine_assignment(bench.engine, 0));
	cr_assert_null(engine_dsm(bench.engine, 0));
}

Test(engine, another_object_under_the_same_id)
{
	to_running(0);
	changes_nothing((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .tvm = 1 });
	changes_nothing((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .tdi = 1 });
	changes_nothing((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .dsm = 1 });
}

/* A TSM came or went since it was here before. */
Test(engine, another_dsm_serves_a_device_that_comes_back)
{
	step((EngineEvent){ .type = EVENT_TVM_STARTED, .id = 0 });
	step((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .dsm = 1, .unserved = true });
	taken_out(0, FAULT_FOREIGN);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_FAILED, FAULT_FOREIGN);
	step((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .dsm = 0 });
	is(0, ASSIGNMENT_CONNECTING, FAULT_NONE);
	cr_assert_eq(engine_dsm(bench.engine, 0)->users, 1);
	cr_assert_eq(engine_dsm(bench.engine, 1)->users, 0);
	cr_assert_eq(engine_dsm(bench.engine, 1)->first, ENGINE_NONE);
}

/* Where nothing has to be waited for, one step leads to the bind. */
Test(engine, ready_as_it_appears)
{
	EngineEvent event = { .type = EVENT_APPEARED, .id = 0, .guest_ready = true };

	step(event);
	is(0, ASSIGNMENT_CONNECTING, FAULT_NONE);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	is(0, ASSIGNMENT_BINDING, FAULT_NONE);
	event.id = event.tdi = 1;
	step(event);
	is(1, ASSIGNMENT_BINDING, FAULT_NONE);
	cr_assert_eq(effect(EFFECT_BIND)->generation, 1);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(EFFECT_BIND));
	cr_assert_eq(bench.effects[0].type, EFFECT_PERSIST_TDI);
	changes_nothing((EngineEvent){ .type = EVENT_GUEST_READY, .id = 1 });
}

static void late_and_wrong(uint32_t id)
{
	static const EngineEventType of_assignment[] = { EVENT_BIND_DONE, EVENT_UNBIND_DONE },
				     of_dsm[] = { EVENT_CONNECT_DONE, EVENT_RECLAIM_DONE };
	uint64_t generation = at(id)->generation;

	for (size_t i = 0; i < 2; i++)
		for (int outcome = OUTCOME_DONE; outcome <= OUTCOME_UNKNOWN; outcome++) {
			uint64_t numbers[] = { 1, 99, 1000, at(id)->operation + 1 };

			for (size_t k = 0; k < ELEMENTSOF(numbers); k++) {
				EngineEvent event = { .type = of_assignment[i],
						      .id = id,
						      .operation = numbers[k],
						      .outcome = (OperationOutcome)outcome,
						      .device_confirmed = true };

				changes_nothing(event);
				event.type = of_dsm[i];
				event.id = 0;
				changes_nothing(event);
			}
		}
	for (int state = TDISP_CONFIG_UNLOCKED; state < TDISP_N_STATES; state++) {
		EngineEvent event = { .type = EVENT_TDI_CHANGED,
				      .id = at(id)->tdi,
				      .tdi_state = (TdispState)state,
				      .accepted = true };

		for (uint64_t g = 0; g < 5; g++) {
			event.generation = g;
			if (g != generation)
				changes_nothing(event);
		}
	}
	changes_nothing((EngineEvent){
		.type = EVENT_GUEST_REJECTED, .id = id, .generation = generation + 1 });
	changes_nothing((EngineEvent){ .type = EVENT_APPEARED, .id = id, .tdi = at(id)->tdi });
	changes_nothing((EngineEvent){ .type = EVENT_DETACH_FAILED, .id = id });
}

Test(engine, late_and_wrong_events)
{
	appear(0);
	late_and_wrong(0);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	late_and_wrong(0);
	simple(EVENT_GUEST_READY, 0);
	late_and_wrong(0);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	late_and_wrong(0);
	tdi_changed(0, TDISP_RUN, true);
	late_and_wrong(0);
	changes_nothing((EngineEvent){ .type = EVENT_GUEST_TIMEOUT, .id = 0 });
	changes_nothing((EngineEvent){ .type = EVENT_IDLE_TIMEOUT, .id = 0 });
}

Test(engine, repeated_completions)
{
	EngineEvent connect = { .type = EVENT_CONNECT_DONE }, bind = { .type = EVENT_BIND_DONE },
		    unbind = { .type = EVENT_UNBIND_DONE, .device_confirmed = true };

	appear(0);
	connect.operation = engine_dsm(bench.engine, 0)->operation;
	step(connect);
	changes_nothing(connect);
	simple(EVENT_GUEST_READY, 0);
	bind.operation = at(0)->operation;
	bind.tdi_state = TDISP_CONFIG_LOCKED;
	step(bind);
	changes_nothing(bind);
	bind.outcome = OUTCOME_UNKNOWN;
	changes_nothing(bind);
	simple(EVENT_GONE, 0);
	unbind.operation = at(0)->operation;
	changes_nothing((EngineEvent){ .type = EVENT_GONE, .id = 0 });
	step(unbind);
	changes_nothing(unbind);
	unbind.outcome = OUTCOME_UNKNOWN;
	changes_nothing(unbind);
}

Test(engine, guest_ready_after_the_device_has_gone)
{
	to_binding(0);
	simple(EVENT_GONE, 0);
	changes_nothing((EngineEvent){ .type = EVENT_GUEST_READY, .id = 0 });
}

/* The way there and back */

Test(engine, hot_plug_to_running_and_release)
{
	appear(0);
	is(0, ASSIGNMENT_CONNECTING, FAULT_NONE);
	cr_assert_eq(effect(EFFECT_CONNECT)->operation, 100);
	cr_assert_lt(position(EFFECT_PERSIST_TDI), position(EFFECT_PERSIST_ASSIGNMENT));
	cr_assert_lt(position(EFFECT_PERSIST_DSM), position(EFFECT_CONNECT));
	cr_assert_lt(position(EFFECT_PERSIST_DSM), position(EFFECT_PERSIST_ASSIGNMENT));
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	effect(EFFECT_TIMER_GUEST);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(EFFECT_PERSIST_DSM));
	simple(EVENT_GUEST_READY, 0);
	is(0, ASSIGNMENT_BINDING, FAULT_NONE);
	effect(EFFECT_TIMER_GUEST_OFF);
	cr_assert_eq(effect(EFFECT_BIND)->generation, 1);
	cr_assert_eq(effect(EFFECT_BIND)->operation, 101);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(EFFECT_BIND));
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	cr_assert_eq(effect(EFFECT_TELL_LOCKED)->generation, 1);
	effect(EFFECT_TIMER_GUEST);
	tdi_changed(0, TDISP_RUN, true);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	effect(EFFECT_TIMER_GUEST_OFF);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_UNBINDING, FAULT_NONE);
	cr_assert_eq(effect(EFFECT_UNBIND)->operation, 102);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(EFFECT_UNBIND));
	unbind_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_RELEASED, FAULT_NONE);
	effect(EFFECT_TIMER_IDLE);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, ENGINE_NONE);
	simple(EVENT_IDLE_TIMEOUT, 0);
	effect(EFFECT_RECLAIM);
	dsm_done(EVENT_RECLAIM_DONE, OUTCOME_DONE);
	dsm_is(DSM_IDLE);
}

Test(engine, where_the_guest_locks)
{
	to_binding(0);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_UNLOCKED);
	is(0, ASSIGNMENT_BOUND, FAULT_NONE);
	tdi_changed(0, TDISP_CONFIG_LOCKED, false);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	tdi_changed(0, TDISP_RUN, true);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
}

Test(engine, one_connect_for_all_tdis_of_a_dsm)
{
	appear(0);
	appear(1);
	cr_assert_eq(count(EFFECT_CONNECT), 0);
	is(1, ASSIGNMENT_CONNECTING, FAULT_NONE);
	simple(EVENT_GUEST_READY, 1);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	is(1, ASSIGNMENT_BINDING, FAULT_NONE);
	appear(2);
	cr_assert_eq(count(EFFECT_CONNECT), 0);
	is(2, ASSIGNMENT_WAITING, FAULT_NONE);
}

static void three_in_turn(void)
{
	for (uint32_t id = 0; id < 3; id++) {
		appear(id);
		simple(EVENT_GUEST_READY, id);
	}
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	cr_assert_eq(effect(EFFECT_BIND)->id, 0);
	cr_assert_eq(count(EFFECT_PERSIST_ASSIGNMENT), 1);
	is(1, ASSIGNMENT_CONNECTING, FAULT_NONE);
	is(2, ASSIGNMENT_CONNECTING, FAULT_NONE);
}

/* The next is on record before the one that is done: one of them is always sent again. */
Test(engine, bound_in_turn)
{
	three_in_turn();
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(0, ASSIGNMENT_LOCKED, FAULT_NONE);
	cr_assert_eq(effect(EFFECT_BIND)->id, 1);
	cr_assert_eq(bench.effects[0].type, EFFECT_PERSIST_ASSIGNMENT);
	cr_assert_eq(bench.effects[0].id, 1);
	cr_assert_eq(bench.effects[1].type, EFFECT_PERSIST_ASSIGNMENT);
	cr_assert_eq(bench.effects[1].id, 0);
	bind_done(1, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	bind_done(2, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(2, ASSIGNMENT_LOCKED, FAULT_NONE);
	cr_assert_eq(count(EFFECT_BIND), 0);
}

/* Nobody waits for ever. */
Test(engine, bound_in_turn_whatever_becomes_of_others)
{
	three_in_turn();
	bind_done(0, OUTCOME_REFUSED, TDISP_CONFIG_UNLOCKED);
	is(1, ASSIGNMENT_BINDING, FAULT_NONE);
	bind_done(1, OUTCOME_UNKNOWN, TDISP_CONFIG_UNLOCKED);
	is(2, ASSIGNMENT_BINDING, FAULT_NONE);
}

Test(engine, gone_before_its_turn)
{
	three_in_turn();
	simple(EVENT_GONE, 1);
	is(1, ASSIGNMENT_RELEASED, FAULT_NONE);
	cr_assert_eq(count(EFFECT_UNBIND), 0);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	cr_assert_eq(effect(EFFECT_BIND)->id, 2);
}

Test(engine, session_lost_before_its_turn)
{
	three_in_turn();
	simple(EVENT_DSM_LOST, 0);
	dsm_is(DSM_CONNECTING);
	bind_done(0, OUTCOME_REFUSED, TDISP_CONFIG_UNLOCKED);
	cr_assert_eq(count(EFFECT_BIND), 0);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	cr_assert_eq(effect(EFFECT_BIND)->id, 1);
}

/* What becomes ready later does not wait, and takes nobody's turn. */
Test(engine, ready_beside_those_in_turn)
{
	three_in_turn();
	appear(3);
	simple(EVENT_GUEST_READY, 3);
	is(3, ASSIGNMENT_BINDING, FAULT_NONE);
	bind_done(3, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	cr_assert_eq(effect(EFFECT_BIND)->id, 1);
}

Test(engine, connect_refused)
{
	appear(0);
	appear(1);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_REFUSED);
	cr_assert_eq(count(EFFECT_LOOK), 2);
	taken_out(0, FAULT_CONNECT);
	taken_out(1, FAULT_CONNECT);
	dsm_is(DSM_IDLE);
	appear(2);
	effect(EFFECT_CONNECT);
}

Test(engine, connect_unknown)
{
	appear(0);
	appear(1);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_UNKNOWN);
	cr_assert_eq(count(EFFECT_LOOK), 2);
	dsm_is(DSM_QUARANTINED);
	appear(2);
	cr_assert_eq(count(EFFECT_CONNECT), 0);
	taken_out(2, FAULT_CONNECT);
}

Test(engine, bind_refused)
{
	to_binding(0);
	bind_done(0, OUTCOME_REFUSED, TDISP_CONFIG_UNLOCKED);
	effect(EFFECT_TIMER_IDLE);
	taken_out(0, FAULT_BIND);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_FAILED, FAULT_BIND);
}

Test(engine, bind_unknown)
{
	to_binding(0);
	bind_done(0, OUTCOME_UNKNOWN, TDISP_CONFIG_UNLOCKED);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_BIND);
	cr_assert_eq(engine_tdi(bench.engine, 0)->state, TDI_QUARANTINED);
	cr_assert_lt(position(EFFECT_PERSIST_TDI), position(EFFECT_PERSIST_ASSIGNMENT));
	cr_assert_eq(count(EFFECT_UNBIND) + count(EFFECT_DETACH), 0);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_BIND);
	appear_in(1, 1, 0);
	taken_out(1, FAULT_FOREIGN);
}

Test(engine, nothing_is_reclaimed_under_a_quarantined_tdi)
{
	to_binding(0);
	bind_done(0, OUTCOME_UNKNOWN, TDISP_CONFIG_UNLOCKED);
	cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);
	simple(EVENT_TVM_ENDED, 0);
	cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);
	changes_nothing((EngineEvent){ .type = EVENT_IDLE_TIMEOUT, .id = 0 });
	dsm_is(DSM_CONNECTED);
}

Test(engine, unbind_failed)
{
	static const struct {
		OperationOutcome outcome;
		bool confirmed;
	} bad[] = { { OUTCOME_REFUSED, true }, { OUTCOME_UNKNOWN, true }, { OUTCOME_DONE, false } };

	for (uint32_t i = 0; i < ELEMENTSOF(bad); i++) {
		to_running(i);
		simple(EVENT_GONE, i);
		unbind_done(i, bad[i].outcome, bad[i].confirmed);
		is(i, ASSIGNMENT_QUARANTINED, FAULT_UNBIND);
		cr_assert_eq(engine_tdi(bench.engine, i)->state, TDI_QUARANTINED);
	}
}

static void quarantine(uint32_t id)
{
	to_binding(id);
	bind_done(id, OUTCOME_UNKNOWN, TDISP_CONFIG_UNLOCKED);
	is(id, ASSIGNMENT_QUARANTINED, FAULT_BIND);
}

static void clear_done(uint32_t tdi, OperationOutcome outcome, bool confirmed)
{
	step((EngineEvent){ .type = EVENT_CLEAR_DONE,
			    .id = tdi,
			    .operation = engine_tdi(bench.engine, tdi)->operation,
			    .outcome = outcome,
			    .device_confirmed = confirmed });
}

Test(engine, clear_of_what_is_not_quarantined)
{
	to_running(0);
	changes_nothing((EngineEvent){ .type = EVENT_CLEAR_REQUESTED, .id = 0 });
	changes_nothing((EngineEvent){ .type = EVENT_CLEAR_DONE, .device_confirmed = true });
	simple(EVENT_GONE, 0);
	changes_nothing((EngineEvent){ .type = EVENT_CLEAR_REQUESTED, .id = 0 });
}

Test(engine, clear_that_is_not_confirmed)
{
	static const struct {
		OperationOutcome outcome;
		bool confirmed;
	} bad[] = { { OUTCOME_REFUSED, true }, { OUTCOME_UNKNOWN, true }, { OUTCOME_DONE, false } };

	quarantine(0);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		simple(EVENT_CLEAR_REQUESTED, 0);
		cr_assert_eq(engine_tdi(bench.engine, 0)->state, TDI_CLEARING);
		cr_assert_lt(position(EFFECT_PERSIST_TDI), position(EFFECT_CLEAR));
		cr_assert_eq(effect(EFFECT_CLEAR)->operation,
			     engine_tdi(bench.engine, 0)->operation);
		changes_nothing((EngineEvent){ .type = EVENT_CLEAR_REQUESTED, .id = 0 });
		changes_nothing((EngineEvent){
			.type = EVENT_CLEAR_DONE, .operation = 1, .device_confirmed = true });
		clear_done(0, bad[i].outcome, bad[i].confirmed);
		is(0, ASSIGNMENT_QUARANTINED, FAULT_BIND);
		/* With it the new reason is written and told. */
		effect(EFFECT_PERSIST_ASSIGNMENT);
		effect(EFFECT_CHANGED);
		cr_assert_eq(engine_tdi(bench.engine, 0)->state, TDI_QUARANTINED);
		appear_in(1, 1, 0);
		taken_out(1, FAULT_FOREIGN);
		simple(EVENT_GONE, 1);
	}
}

Test(engine, clear_of_a_device_that_is_still_there)
{
	quarantine(0);
	simple(EVENT_CLEAR_REQUESTED, 0);
	appear_in(1, 1, 0);
	taken_out(1, FAULT_FOREIGN);
	clear_done(0, OUTCOME_DONE, true);
	effect(EFFECT_TIMER_IDLE);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(EFFECT_PERSIST_TDI));
	taken_out(0, FAULT_BIND);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, 0, "until it is gone");
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_FAILED, FAULT_BIND);
	appear(0);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	simple(EVENT_GUEST_READY, 0);
	cr_assert_eq(effect(EFFECT_BIND)->generation, 2);
}

Test(engine, clear_after_the_device_has_left)
{
	quarantine(0);
	simple(EVENT_GONE, 0);
	simple(EVENT_CLEAR_REQUESTED, 0);
	clear_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_FAILED, FAULT_BIND);
	cr_assert_eq(count(EFFECT_DETACH), 0);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, ENGINE_NONE);
	appear_in(1, 1, 0);
	is(1, ASSIGNMENT_WAITING, FAULT_NONE);
}

Test(engine, clear_after_the_tvm_has_ended)
{
	quarantine(0);
	simple(EVENT_TVM_ENDED, 0);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_BIND);
	simple(EVENT_CLEAR_REQUESTED, 0);
	clear_done(0, OUTCOME_DONE, true);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(EFFECT_PERSIST_TDI),
		     "its record goes first");
	cr_assert_eq(count(EFFECT_FORGET_ASSIGNMENT), 1);
	cr_assert_null(engine_assignment(bench.engine, 0));
	cr_assert_null(engine_tvm(bench.engine, 0));
}

/* Attached again by somebody who does not know: what is wrong with it stays known. */
Test(engine, quarantined_device_that_comes_back)
{
	quarantine(0);
	simple(EVENT_GONE, 0);
	appear(0);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_BIND);
	simple(EVENT_CLEAR_REQUESTED, 0);
	clear_done(0, OUTCOME_DONE, true);
	taken_out(0, FAULT_BIND);
}

static void reject(uint32_t id)
{
	step((EngineEvent){
		.type = EVENT_GUEST_REJECTED, .id = id, .generation = at(id)->generation });
}

Test(engine, reject)
{
	to_locked(0);
	reject(0);
	effect(EFFECT_TIMER_GUEST_OFF);
	ends_failed(0, FAULT_REJECTED);
	to_running(1);
	reject(1);
	ends_failed(1, FAULT_REJECTED);
}

Test(engine, timeouts)
{
	to_locked(0);
	simple(EVENT_GUEST_TIMEOUT, 0);
	ends_failed(0, FAULT_NO_VERDICT);
	appear(1);
	simple(EVENT_GUEST_TIMEOUT, 1);
	taken_out(1, FAULT_NOT_READY);
	simple(EVENT_DETACH_FAILED, 1);
	is(1, ASSIGNMENT_HELD, FAULT_NOT_READY);
	simple(EVENT_GONE, 1);
	is(1, ASSIGNMENT_FAILED, FAULT_NOT_READY);
}

Test(engine, faults_of_the_tdi)
{
	to_locked(0);
	tdi_changed(0, TDISP_ERROR, false);
	ends_failed(0, FAULT_ERROR);
	to_running(1);
	tdi_changed(1, TDISP_ERROR, false);
	ends_failed(1, FAULT_ERROR);
	to_locked(2);
	tdi_changed(2, TDISP_RUN, false);
	ends_failed(2, FAULT_UNACCOUNTED);
	to_running(3);
	tdi_changed(3, TDISP_RUN, false);
	ends_failed(3, FAULT_UNACCOUNTED);
}

/* By itself or because its TVM let it go: what comes next tells. */
Test(engine, falls_to_unlocked)
{
	to_locked(0);
	tdi_changed(0, TDISP_CONFIG_UNLOCKED, false);
	ends_let_go(0);
	to_running(1);
	tdi_changed(1, TDISP_CONFIG_UNLOCKED, false);
	ends_let_go(1);
	to_running(2);
	tdi_changed(2, TDISP_CONFIG_LOCKED, false);
	ends_let_go(2);
	to_running(3);
	tdi_changed(3, TDISP_CONFIG_UNLOCKED, false);
	simple(EVENT_GONE, 3);
	unbind_done(3, OUTCOME_DONE, true);
	is(3, ASSIGNMENT_RELEASED, FAULT_NONE);
}

static void bind_lost(uint32_t tdi, uint64_t generation)
{
	step((EngineEvent){ .type = EVENT_BIND_LOST, .id = tdi, .generation = generation });
}

Test(engine, bind_that_others_end)
{
	to_running(0);
	bind_lost(0, engine_tdi(bench.engine, 0)->generation + 1);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	bind_lost(0, engine_tdi(bench.engine, 0)->generation);
	ends_failed(0, FAULT_VOIDED);
	to_locked(1);
	bind_lost(1, engine_tdi(bench.engine, 1)->generation);
	is(1, ASSIGNMENT_UNBINDING, FAULT_VOIDED);
	bind_lost(1, engine_tdi(bench.engine, 1)->generation);
	/* That it left the domain was the cause. */
	simple(EVENT_GONE, 1);
	unbind_done(1, OUTCOME_DONE, true);
	is(1, ASSIGNMENT_RELEASED, FAULT_NONE);
}

Test(engine, falls_to_unlocked_because_it_was_rejected)
{
	to_running(0);
	tdi_changed(0, TDISP_CONFIG_UNLOCKED, false);
	reject(0);
	is(0, ASSIGNMENT_UNBINDING, FAULT_REJECTED);
	cr_assert_eq(count(EFFECT_UNBIND), 0);
	unbind_done(0, OUTCOME_DONE, true);
	taken_out(0, FAULT_REJECTED);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_FAILED, FAULT_REJECTED);
}

Test(engine, the_first_cause_stays)
{
	to_locked(0);
	tdi_changed(0, TDISP_ERROR, false);
	reject(0);
	unbind_done(0, OUTCOME_UNKNOWN, false);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_ERROR);
}

Test(engine, gone_while_binding)
{
	to_binding(0);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_BINDING, FAULT_NONE);
	effect(EFFECT_PERSIST_ASSIGNMENT);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(0, ASSIGNMENT_UNBINDING, FAULT_NONE);
	effect(EFFECT_UNBIND);
	cr_assert_eq(count(EFFECT_TELL_LOCKED), 0);
	unbind_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_RELEASED, FAULT_NONE);
}

Test(engine, gone_and_back_while_binding)
{
	to_binding(0);
	simple(EVENT_GONE, 0);
	appear(0);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(0, ASSIGNMENT_UNBINDING, FAULT_NONE);
	unbind_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	simple(EVENT_GUEST_READY, 0);
	cr_assert_eq(effect(EFFECT_BIND)->generation, 2);
}

Test(engine, gone_and_back_while_unbinding)
{
	to_running(0);
	tdi_changed(0, TDISP_ERROR, false);
	simple(EVENT_GONE, 0);
	appear(0);
	is(0, ASSIGNMENT_UNBINDING, FAULT_NONE);
	unbind_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	cr_assert_eq(count(EFFECT_DETACH), 0);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, 0);
}

Test(engine, foreign_tdi)
{
	to_running(0);
	appear_in(1, 1, 0);
	taken_out(1, FAULT_FOREIGN);
	effect(EFFECT_DETACH);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	simple(EVENT_GONE, 1);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, 0);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
}

Test(engine, unserved)
{
	step((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .unserved = true });
	cr_assert_eq(count(EFFECT_CONNECT), 0);
	cr_assert_geq(count(EFFECT_PERSIST_TDI), 1);
	taken_out(0, FAULT_FOREIGN);
}

/* The end of a TVM */

Test(engine, quiet_once_and_when_nothing_is_bound)
{
	to_running(0);
	to_binding(1);
	simple(EVENT_TVM_STOPPING, 0);
	cr_assert_eq(count(EFFECT_TVM_QUIET), 0);
	cr_assert_eq(try_step((EngineEvent){ .type = EVENT_APPEARED, .id = 5, .tdi = 5 }), -EINVAL);
	unbind_done(0, OUTCOME_DONE, true);
	cr_assert_eq(count(EFFECT_TVM_QUIET), 0);
	bind_done(1, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	cr_assert_eq(count(EFFECT_TVM_QUIET), 0);
	unbind_done(1, OUTCOME_DONE, true);
	effect(EFFECT_TVM_QUIET);
	simple(EVENT_TVM_STOPPING, 0);
	cr_assert_eq(count(EFFECT_TVM_QUIET), 0);
	simple(EVENT_TVM_ENDED, 0);
	cr_assert_eq(count(EFFECT_TVM_QUIET), 0);
	cr_assert_eq(count(EFFECT_FORGET_ASSIGNMENT), 2);
	cr_assert_null(engine_tvm(bench.engine, 0));
}

Test(engine, quiet_at_once_when_nothing_is_bound)
{
	appear(0);
	simple(EVENT_TVM_STOPPING, 0);
	effect(EFFECT_TVM_QUIET);
	is(0, ASSIGNMENT_RELEASED, FAULT_NONE);
}

Test(engine, quarantine_does_not_hold_up_a_stop)
{
	to_running(0);
	simple(EVENT_TVM_STOPPING, 0);
	unbind_done(0, OUTCOME_UNKNOWN, false);
	effect(EFFECT_TVM_QUIET);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_UNBIND);
}

Test(engine, ended_tvm_is_forgotten_after_its_last_unbind)
{
	to_running(0);
	to_locked(1);
	simple(EVENT_TVM_ENDED, 0);
	cr_assert_eq(count(EFFECT_UNBIND), 2);
	cr_assert_eq(count(EFFECT_FORGET_ASSIGNMENT), 0);
	unbind_done(0, OUTCOME_DONE, true);
	cr_assert_eq(effect(EFFECT_FORGET_ASSIGNMENT)->id, 0);
	cr_assert_null(engine_assignment(bench.engine, 0));
	cr_assert_not_null(engine_tvm(bench.engine, 0));
	unbind_done(1, OUTCOME_DONE, true);
	cr_assert_eq(effect(EFFECT_FORGET_ASSIGNMENT)->id, 1);
	cr_assert_null(engine_tvm(bench.engine, 0));
	effect(EFFECT_TIMER_IDLE);
}

/* The DSM */

Test(engine, idle_timer_exactly_while_without_users)
{
	to_running(0);
	cr_assert(!engine_dsm(bench.engine, 0)->idle_timer);
	simple(EVENT_GONE, 0);
	cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);
	unbind_done(0, OUTCOME_DONE, true);
	effect(EFFECT_TIMER_IDLE);
	appear(1);
	effect(EFFECT_TIMER_IDLE_OFF);
	simple(EVENT_GONE, 1);
	effect(EFFECT_TIMER_IDLE);
	simple(EVENT_DSM_LOST, 0);
	effect(EFFECT_TIMER_IDLE_OFF);
	dsm_is(DSM_IDLE);
}

Test(engine, needed_again_while_reclaiming)
{
	for (int outcome = OUTCOME_DONE; outcome <= OUTCOME_UNKNOWN; outcome++) {
		end();
		begin();
		appear(0);
		dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
		simple(EVENT_GONE, 0);
		simple(EVENT_IDLE_TIMEOUT, 0);
		dsm_is(DSM_RECLAIMING);
		appear(1);
		is(1, ASSIGNMENT_CONNECTING, FAULT_NONE);
		cr_assert_eq(count(EFFECT_CONNECT), 0);
		dsm_done(EVENT_RECLAIM_DONE, (OperationOutcome)outcome);
		cr_assert_eq(count(EFFECT_CONNECT), outcome == OUTCOME_DONE);
		is(1,
		   outcome == OUTCOME_DONE	? ASSIGNMENT_CONNECTING
		   : outcome == OUTCOME_REFUSED ? ASSIGNMENT_WAITING
						: ASSIGNMENT_ATTACHED,
		   outcome == OUTCOME_UNKNOWN ? FAULT_CONNECT : FAULT_NONE);
	}
}

/* A DSM by request */

static const EngineEvent connect = { .type = EVENT_CONNECT_REQUESTED },
			 reclaim = { .type = EVENT_RECLAIM_REQUESTED };

static bool pinned(void)
{
	return engine_dsm(bench.engine, 0)->pinned;
}

static void to_pinned(void)
{
	step(connect);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	dsm_is(DSM_CONNECTED);
}

Test(engine, requests_that_change_nothing)
{
	changes_nothing((EngineEvent){ .type = EVENT_CONNECT_REQUESTED, .id = ENGINE_MAX_ID });
	changes_nothing(reclaim);
	to_pinned();
	changes_nothing(connect);
	changes_nothing((EngineEvent){ .type = EVENT_IDLE_TIMEOUT });
	step(reclaim);
	changes_nothing(reclaim);
	dsm_done(EVENT_RECLAIM_DONE, OUTCOME_DONE);
	changes_nothing(reclaim);
	/* In use by a request of nobody's. */
	to_running(0);
	changes_nothing(reclaim);
}

Test(engine, connected_by_request_and_reclaimed)
{
	step(connect);
	dsm_is(DSM_CONNECTING);
	cr_assert(pinned());
	cr_assert_lt(position(EFFECT_PERSIST_DSM), position(EFFECT_CONNECT));
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	dsm_is(DSM_CONNECTED);
	cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);
	step(reclaim);
	dsm_is(DSM_RECLAIMING);
	cr_assert(!pinned());
	cr_assert_lt(position(EFFECT_PERSIST_DSM), position(EFFECT_RECLAIM));
	dsm_done(EVENT_RECLAIM_DONE, OUTCOME_DONE);
	dsm_is(DSM_IDLE);
}

Test(engine, pin_outlives_the_last_user)
{
	to_running(0);
	step(connect);
	cr_assert_eq(bench.n, 1);
	effect(EFFECT_PERSIST_DSM);
	simple(EVENT_GONE, 0);
	unbind_done(0, OUTCOME_DONE, true);
	cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);
	/* Taken back under a user: only the pin goes. */
	appear(1);
	step(reclaim);
	cr_assert_eq(bench.n, 1);
	cr_assert(!pinned());
	simple(EVENT_GONE, 1);
	effect(EFFECT_TIMER_IDLE);
	/* And pinned once more, while the grace runs. */
	step(connect);
	effect(EFFECT_TIMER_IDLE_OFF);
	step(reclaim);
	cr_assert_eq(count(EFFECT_TIMER_IDLE_OFF), 0);
	dsm_is(DSM_RECLAIMING);
}

Test(engine, reclaim_by_request_ends_the_grace)
{
	appear(0);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	simple(EVENT_GONE, 0);
	effect(EFFECT_TIMER_IDLE);
	step(reclaim);
	effect(EFFECT_TIMER_IDLE_OFF);
	effect(EFFECT_RECLAIM);
}

Test(engine, pin_goes_with_what_it_was_for)
{
	step(connect);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_REFUSED);
	dsm_is(DSM_IDLE);
	cr_assert(!pinned());
	to_pinned();
	appear(0);
	simple(EVENT_DSM_LOST, 0);
	cr_assert(!pinned());
	dsm_is(DSM_CONNECTING);
	step(connect);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_UNKNOWN);
	dsm_is(DSM_QUARANTINED);
	cr_assert(!pinned());
	taken_out(0, FAULT_CONNECT);
	changes_nothing(connect);
}

Test(engine, lost_session_of_a_pinned_dsm_is_not_fought)
{
	to_pinned();
	simple(EVENT_DSM_LOST, 0);
	dsm_is(DSM_IDLE);
	cr_assert(!pinned());
	cr_assert_eq(count(EFFECT_CONNECT), 0);
}

Test(engine, request_while_connecting_is_taken_back)
{
	step(connect);
	step(reclaim);
	cr_assert(!pinned());
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	effect(EFFECT_TIMER_IDLE);
}

Test(engine, request_while_reclaiming)
{
	for (int outcome = OUTCOME_DONE; outcome <= OUTCOME_UNKNOWN; outcome++) {
		end();
		begin();
		to_pinned();
		step(reclaim);
		step(connect);
		cr_assert_eq(count(EFFECT_CONNECT), 0);
		dsm_done(EVENT_RECLAIM_DONE, (OperationOutcome)outcome);
		cr_assert_eq(count(EFFECT_CONNECT), outcome == OUTCOME_DONE);
		cr_assert_eq(count(EFFECT_TIMER_IDLE), 0);
		dsm_is(outcome == OUTCOME_DONE	    ? DSM_CONNECTING
		       : outcome == OUTCOME_REFUSED ? DSM_CONNECTED
						    : DSM_QUARANTINED);
		cr_assert_eq(pinned(), outcome != OUTCOME_UNKNOWN);
	}
}

Test(engine, quarantined_dsm_is_left_by_a_confirmed_reclaim)
{
	step(connect);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_UNKNOWN);
	for (int outcome = OUTCOME_UNKNOWN; outcome >= OUTCOME_DONE; outcome--) {
		dsm_is(DSM_QUARANTINED);
		step(reclaim);
		cr_assert_lt(position(EFFECT_PERSIST_DSM), position(EFFECT_RECLAIM));
		dsm_done(EVENT_RECLAIM_DONE, (OperationOutcome)outcome);
	}
	dsm_is(DSM_IDLE);
	to_pinned();
}

/* Its session is gone, its unbind has not been confirmed yet; meanwhile the DSM is quarantined. */
Test(engine, quarantined_dsm_with_something_bound_is_not_reclaimed)
{
	to_running(0);
	simple(EVENT_DSM_LOST, 0);
	step(connect);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_UNKNOWN);
	changes_nothing(reclaim);
	simple(EVENT_GONE, 0);
	changes_nothing(reclaim);
	unbind_done(0, OUTCOME_UNKNOWN, false);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_ERROR);
	changes_nothing(reclaim);
}

Test(engine, session_lost)
{
	to_running(0);
	appear(1);
	simple(EVENT_DSM_LOST, 0);
	is(1, ASSIGNMENT_CONNECTING, FAULT_NONE);
	effect(EFFECT_CONNECT);
	ends_failed(0, FAULT_ERROR);
}

/* The answer to its bind is older than the news. */
Test(engine, session_lost_under_a_bind)
{
	to_binding(0);
	simple(EVENT_DSM_LOST, 0);
	is(0, ASSIGNMENT_BINDING, FAULT_NONE);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	ends_failed(0, FAULT_ERROR);
}

/* Nothing of that is unknown: what is bound is unbound, and the policy has its say. */
Test(engine, bound_and_in_error)
{
	to_binding(0);
	bind_done(0, OUTCOME_DONE, TDISP_ERROR);
	is(0, ASSIGNMENT_UNBINDING, FAULT_ERROR);
	cr_assert_eq(count(EFFECT_UNBIND), 1);
	cr_assert_eq(count(EFFECT_TELL_LOCKED), 0);
	unbind_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_ATTACHED, FAULT_ERROR);
	effect(EFFECT_LOOK);
	to_binding(1);
	simple(EVENT_GONE, 1);
	bind_done(1, OUTCOME_DONE, TDISP_ERROR);
	is(1, ASSIGNMENT_UNBINDING, FAULT_NONE);
}

/* Whether the TSM reports ERROR of each of them or not. */
Test(engine, session_lost_takes_every_tdi_in_one_step)
{
	to_running(0);
	to_locked(1);
	simple(EVENT_DSM_LOST, 0);
	is(0, ASSIGNMENT_UNBINDING, FAULT_ERROR);
	is(1, ASSIGNMENT_UNBINDING, FAULT_ERROR);
	cr_assert_eq(count(EFFECT_UNBIND), 2);
	cr_assert_eq(count(EFFECT_TELL_WITHDRAWN), 2);
	changes_nothing((EngineEvent){ .type = EVENT_TDI_CHANGED,
				       .id = 0,
				       .generation = at(0)->generation,
				       .tdi_state = TDISP_ERROR });
}

/* The TSM's watch overtakes the bind's answer: what it said last counts. */
Test(engine, run_overtakes_the_answer)
{
	to_binding(0);
	tdi_changed(0, TDISP_RUN, true);
	is(0, ASSIGNMENT_BINDING, FAULT_NONE);
	bind_done(0, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
}

Test(engine, others_overtake_the_answer)
{
	static const struct {
		TdispState state;
		EngineFault fault;
	} said[] = { { TDISP_RUN, FAULT_UNACCOUNTED }, { TDISP_ERROR, FAULT_ERROR } };

	for (uint32_t i = 0; i < ELEMENTSOF(said); i++) {
		to_binding(i);
		tdi_changed(i, TDISP_RUN, true);
		tdi_changed(i, said[i].state, false);
		bind_done(i, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
		ends_failed(i, said[i].fault);
	}
	to_binding(7);
	tdi_changed(7, TDISP_RUN, true);
	tdi_changed(7, TDISP_CONFIG_UNLOCKED, false);
	bind_done(7, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	ends_let_go(7);
}
