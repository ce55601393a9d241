/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/engine-private.h"
#include "core/engine-table.h"
#include "core/engine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* Assignment, TDI n; by default all in TVM 0 and of DSM 0. The last step's effects are kept. */
typedef struct Bench {
	Engine *engine;
	EngineEffect effects[128];
	size_t n;
} Bench;

static Bench bench;

static int try_step(EngineEvent event)
{
	const EngineEffect *effects;
	int r = engine_step(bench.engine, &event, &effects, &bench.n);

	cr_assert_leq(bench.n, ELEMENTSOF(bench.effects));
	if (bench.n)
		memcpy(bench.effects, effects, bench.n * sizeof(*effects));
	return r;
}

static void step(EngineEvent event)
{
	cr_assert_eq(try_step(event), 0, "%s", engine_event_name(event.type));
}

static void begin(void)
{
	cr_assert_eq(engine_new(&bench.engine, 100), 0);
	for (uint32_t tvm = 0; tvm < 2; tvm++)
		step((EngineEvent){ .type = EVENT_TVM_STARTED, .id = tvm });
}

static void end(void)
{
	bench.engine = engine_free(bench.engine);
}

TestSuite(engine, .init = begin, .fini = end);

static size_t count(EngineEffectType type)
{
	size_t n = 0;

	for (size_t i = 0; i < bench.n; i++)
		n += bench.effects[i].type == type;
	return n;
}

static const EngineEffect *effect(EngineEffectType type)
{
	cr_assert_eq(count(type), 1, "%zu times %s", count(type), engine_effect_name(type));
	for (size_t i = 0; i < bench.n; i++)
		if (bench.effects[i].type == type)
			return &bench.effects[i];
	return NULL;
}

static size_t position(EngineEffectType type)
{
	return (size_t)(effect(type) - bench.effects);
}

static const EngineAssignment *at(uint32_t id)
{
	const EngineAssignment *a = engine_assignment(bench.engine, id);

	cr_assert_not_null(a);
	return a;
}

static void is(uint32_t id, AssignmentState state, EngineFault fault)
{
	cr_assert_str_eq(assignment_state_name(at(id)->state), assignment_state_name(state));
	cr_assert_str_eq(engine_fault_name(at(id)->fault), engine_fault_name(fault));
}

static void dsm_is(DsmState state)
{
	cr_assert_str_eq(dsm_state_name(engine_dsm(bench.engine, 0)->state), dsm_state_name(state));
}

static void simple(EngineEventType type, uint32_t id)
{
	step((EngineEvent){ .type = type, .id = id });
}

static void appear_in(uint32_t id, uint32_t tvm, uint32_t tdi)
{
	step((EngineEvent){ .type = EVENT_APPEARED, .id = id, .tvm = tvm, .dsm = 0, .tdi = tdi });
}

static void appear(uint32_t id)
{
	appear_in(id, 0, id);
}

static void dsm_done(EngineEventType type, OperationOutcome outcome)
{
	step((EngineEvent){ .type = type,
			    .id = 0,
			    .operation = engine_dsm(bench.engine, 0)->operation,
			    .outcome = outcome });
}

static void bind_done(uint32_t id, OperationOutcome outcome, TdispState state)
{
	step((EngineEvent){ .type = EVENT_BIND_DONE,
			    .id = id,
			    .operation = at(id)->operation,
			    .outcome = outcome,
			    .tdi_state = state });
}

static void unbind_done(uint32_t id, OperationOutcome outcome, bool confirmed)
{
	step((EngineEvent){ .type = EVENT_UNBIND_DONE,
			    .id = id,
			    .operation = at(id)->operation,
			    .outcome = outcome,
			    .device_confirmed = confirmed });
}

static void tdi_changed(uint32_t tdi, TdispState state, bool accepted)
{
	step((EngineEvent){ .type = EVENT_TDI_CHANGED,
			    .id = tdi,
			    .generation = engine_tdi(bench.engine, tdi)->generation,
			    .tdi_state = state,
			    .accepted = accepted });
}

static void to_binding(uint32_t id)
{
	appear(id);
	if (engine_dsm(bench.engine, 0)->state == DSM_CONNECTING)
		dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	simple(EVENT_GUEST_READY, id);
	is(id, ASSIGNMENT_BINDING, FAULT_NONE);
}

static void to_locked(uint32_t id)
{
	to_binding(id);
	bind_done(id, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(id, ASSIGNMENT_LOCKED, FAULT_NONE);
}

static void to_running(uint32_t id)
{
	to_locked(id);
	tdi_changed(id, TDISP_RUN, true);
	is(id, ASSIGNMENT_RUNNING, FAULT_NONE);
}

/* What a fault leads to: withdrawn, unbound, detached, gone. */
static void ends_failed(uint32_t id, EngineFault fault)
{
	is(id, ASSIGNMENT_UNBINDING, fault);
	cr_assert_lt(position(EFFECT_TELL_WITHDRAWN), position(EFFECT_UNBIND));
	unbind_done(id, OUTCOME_DONE, true);
	is(id, ASSIGNMENT_DETACHING, fault);
	effect(EFFECT_DETACH);
	simple(EVENT_GONE, id);
	is(id, ASSIGNMENT_FAILED, fault);
	cr_assert_eq(engine_tdi(bench.engine, id)->owner, ENGINE_NONE);
}

static void changes_nothing(EngineEvent event)
{
	uint8_t before[2048], after[2048];
	size_t n = engine_serialize(bench.engine, before, sizeof(before));
	int r = try_step(event);

	cr_assert(r == 0 || r == -EINVAL, "%s", engine_event_name(event.type));
	cr_assert_eq(bench.n, 0, "%s: %s", engine_event_name(event.type),
		     engine_effect_name(bench.effects[0].type));
	cr_assert_gt(n, 0);
	cr_assert_eq(engine_serialize(bench.engine, after, sizeof(after)), n);
	cr_assert_arr_eq(before, after, n, "%s", engine_event_name(event.type));
}

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
		for (uint32_t id = 7; id != ENGINE_NONE; id = id == 7 ? ENGINE_NONE - 1 : ENGINE_NONE) {
			EngineEvent event = { .type = (EngineEventType)type, .id = id, .tvm = 9 };

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
	changes_nothing((EngineEvent){ .type = EVENT_GUEST_REJECTED,
				       .id = id,
				       .generation = generation + 1 });
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
	cr_assert_lt(position(EFFECT_PERSIST_TDI), position(EFFECT_PERSIST_ASSIGNMENT));
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

Test(engine, connect_refused)
{
	appear(0);
	appear(1);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_REFUSED);
	cr_assert_eq(count(EFFECT_DETACH), 2);
	is(0, ASSIGNMENT_DETACHING, FAULT_CONNECT);
	is(1, ASSIGNMENT_DETACHING, FAULT_CONNECT);
	dsm_is(DSM_IDLE);
	appear(2);
	effect(EFFECT_CONNECT);
}

Test(engine, connect_unknown)
{
	appear(0);
	appear(1);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_UNKNOWN);
	cr_assert_eq(count(EFFECT_DETACH), 2);
	dsm_is(DSM_QUARANTINED);
	appear(2);
	cr_assert_eq(count(EFFECT_CONNECT), 0);
	is(2, ASSIGNMENT_DETACHING, FAULT_CONNECT);
}

Test(engine, bind_refused)
{
	to_binding(0);
	bind_done(0, OUTCOME_REFUSED, TDISP_CONFIG_UNLOCKED);
	is(0, ASSIGNMENT_DETACHING, FAULT_BIND);
	effect(EFFECT_DETACH);
	effect(EFFECT_TIMER_IDLE);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_FAILED, FAULT_BIND);
}

Test(engine, bind_unknown)
{
	to_binding(0);
	bind_done(0, OUTCOME_UNKNOWN, TDISP_CONFIG_UNLOCKED);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_BIND);
	cr_assert(engine_tdi(bench.engine, 0)->quarantined);
	cr_assert_lt(position(EFFECT_PERSIST_TDI), position(EFFECT_PERSIST_ASSIGNMENT));
	cr_assert_eq(count(EFFECT_UNBIND) + count(EFFECT_DETACH), 0);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_QUARANTINED, FAULT_BIND);
	appear_in(1, 1, 0);
	is(1, ASSIGNMENT_DETACHING, FAULT_FOREIGN);
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
		cr_assert(engine_tdi(bench.engine, i)->quarantined);
	}
}

static void reject(uint32_t id)
{
	step((EngineEvent){ .type = EVENT_GUEST_REJECTED,
			    .id = id,
			    .generation = at(id)->generation });
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
	is(1, ASSIGNMENT_DETACHING, FAULT_NOT_READY);
	effect(EFFECT_DETACH);
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
	tdi_changed(2, TDISP_CONFIG_UNLOCKED, false);
	ends_failed(2, FAULT_UNLOCKED);
	to_running(3);
	tdi_changed(3, TDISP_CONFIG_UNLOCKED, false);
	ends_failed(3, FAULT_UNLOCKED);
	to_locked(4);
	tdi_changed(4, TDISP_RUN, false);
	ends_failed(4, FAULT_UNACCOUNTED);
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
	is(1, ASSIGNMENT_DETACHING, FAULT_FOREIGN);
	effect(EFFECT_DETACH);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	simple(EVENT_GONE, 1);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, 0);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
}

Test(engine, unserved)
{
	step((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .unserved = true });
	is(0, ASSIGNMENT_DETACHING, FAULT_FOREIGN);
	cr_assert_eq(count(EFFECT_CONNECT), 0);
	cr_assert_geq(count(EFFECT_PERSIST_TDI), 1);
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
		   outcome == OUTCOME_DONE	? ASSIGNMENT_CONNECTING :
		   outcome == OUTCOME_REFUSED	? ASSIGNMENT_WAITING :
						  ASSIGNMENT_DETACHING,
		   outcome == OUTCOME_UNKNOWN ? FAULT_CONNECT : FAULT_NONE);
	}
}

Test(engine, session_lost)
{
	to_running(0);
	appear(1);
	simple(EVENT_DSM_LOST, 0);
	is(1, ASSIGNMENT_CONNECTING, FAULT_NONE);
	effect(EFFECT_CONNECT);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	tdi_changed(0, TDISP_ERROR, false);
	ends_failed(0, FAULT_ERROR);
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
	} said[] = { { TDISP_RUN, FAULT_UNACCOUNTED },
		     { TDISP_ERROR, FAULT_ERROR },
		     { TDISP_CONFIG_UNLOCKED, FAULT_UNLOCKED } };

	for (uint32_t i = 0; i < ELEMENTSOF(said); i++) {
		to_binding(i);
		tdi_changed(i, TDISP_RUN, true);
		tdi_changed(i, said[i].state, false);
		bind_done(i, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
		ends_failed(i, said[i].fault);
	}
}

/* Records */

static const EngineAssignment record = { .state = ASSIGNMENT_RUNNING,
					 .generation = 3,
					 .present = true,
					 .guest_ready = true };

static void restore(AssignmentState state, DsmState dsm, uint64_t operation)
{
	EngineAssignment a = record;
	bool verb = dsm == DSM_CONNECTING || dsm == DSM_RECLAIMING;

	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	a.state = state;
	a.operation = operation;
	cr_assert_eq(engine_restore_tvm(bench.engine, 0), 0);
	cr_assert_eq(engine_restore_dsm(bench.engine, 0, dsm, verb ? 7 : 0), 0);
	cr_assert_eq(engine_restore_tdi(bench.engine, 0, 3, false), 0);
	cr_assert_eq(engine_restore_assignment(bench.engine, 0, &a), 0);
}

Test(engine, contradictory_records)
{
	EngineAssignment a = record;

	restore(ASSIGNMENT_RUNNING, DSM_CONNECTED, 0);
	cr_assert_eq(engine_restore_tvm(bench.engine, 0), -EINVAL);
	cr_assert_eq(engine_restore_dsm(bench.engine, 0, DSM_IDLE, 0), -EINVAL);
	cr_assert_eq(engine_restore_dsm(bench.engine, 1, DSM_N_STATES, 0), -EINVAL);
	cr_assert_eq(engine_restore_tdi(bench.engine, 0, 3, false), -EINVAL);
	cr_assert_eq(engine_restore_tdi(bench.engine, ENGINE_MAX_ID, 3, false), -EINVAL);
	cr_assert_eq(engine_restore_assignment(bench.engine, 0, &a), -EINVAL, "taken");
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), -EINVAL, "two owners");
	cr_assert_eq(engine_restore_tdi(bench.engine, 1, 2, false), 0);
	a.tdi = 1;
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), -EINVAL, "generation");
	a.generation = 2;
	a.tvm = 1;
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), -EINVAL, "no such TVM");
	a.tvm = 0;
	a.state = ASSIGNMENT_N_STATES;
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), -EINVAL, "no such state");
	a.state = ASSIGNMENT_RUNNING;
	cr_assert_eq(engine_restore_assignment(bench.engine, ENGINE_MAX_ID, &a), -EINVAL);
	cr_assert_eq(engine_restore_assignment(bench.engine, 1, &a), 0);
}

Test(engine, restored_in_every_state)
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

Test(engine, restored_while_binding)
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

Test(engine, restored_while_unbinding)
{
	restore(ASSIGNMENT_UNBINDING, DSM_CONNECTED, 50);
	simple(EVENT_GONE, 0);
	unbind_done(0, OUTCOME_DONE, true);
	is(0, ASSIGNMENT_RELEASED, FAULT_NONE);
	effect(EFFECT_TIMER_IDLE);
}

Test(engine, restored_while_its_dsm_connects)
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

Test(engine, restored_quarantine)
{
	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	cr_assert_eq(engine_restore_tvm(bench.engine, 1), 0);
	cr_assert_eq(engine_restore_tdi(bench.engine, 0, 3, true), 0);
	appear_in(0, 1, 0);
	is(0, ASSIGNMENT_DETACHING, FAULT_FOREIGN);
}

/* The table and the copies */

Test(engine, no_row_hides_another)
{
	for (size_t i = 0; i < engine_n_transitions; i++)
		for (size_t k = 0; k < i; k++) {
			const EngineTransition *row = &engine_transitions[i],
					       *former = &engine_transitions[k];

			if (row->from != former->from || row->input != former->input)
				continue;
			cr_assert_neq(former->guard, GUARD_NONE, "row %zu hides row %zu", k, i);
			cr_assert_neq(former->guard, row->guard, "row %zu hides row %zu", k, i);
			cr_assert(!(former->guard == GUARD_PRESENT || former->guard == GUARD_FAULT) ||
					  row->guard != GUARD_PRESENT_FAULT,
				  "row %zu hides row %zu", k, i);
		}
}

Test(engine, every_bind_ends_through_unbinding)
{
	for (size_t i = 0; i < engine_n_transitions; i++) {
		const EngineTransition *row = &engine_transitions[i];
		bool bound = row->from >= ASSIGNMENT_BOUND && row->from <= ASSIGNMENT_RUNNING;

		cr_assert_lt(row->from, ASSIGNMENT_N_STATES);
		cr_assert_lt(row->to, ASSIGNMENT_N_STATES);
		cr_assert_lt(row->input, IN_N);
		cr_assert_eq(row->to == ASSIGNMENT_BINDING, (row->actions & ACT_BIND) != 0);
		cr_assert_eq(row->to == ASSIGNMENT_UNBINDING, (row->actions & ACT_UNBIND) != 0);
		cr_assert_eq(row->to == ASSIGNMENT_DETACHING, (row->actions & ACT_DETACH) != 0);
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

Test(engine, copy_is_equal_and_apart)
{
	uint8_t one[1024], two[1024];
	Engine *copy, *original = bench.engine;
	size_t n;

	to_running(0);
	to_locked(1);
	cr_assert_eq(engine_copy(&copy, bench.engine), 0);
	n = engine_serialize(original, one, sizeof(one));
	cr_assert_gt(n, 0);
	cr_assert_eq(engine_serialize(copy, two, sizeof(two)), n);
	cr_assert_arr_eq(one, two, n);
	cr_assert_eq(engine_serialize(original, one, n - 1), 0);
	bench.engine = copy;
	simple(EVENT_GONE, 0);
	bench.engine = original;
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	engine_free(copy);
}
