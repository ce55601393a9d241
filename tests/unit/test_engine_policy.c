/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of a device with a fault: DESIGN section 4, 7. */
#include "core/engine-private.h"
#include "core/engine.h"
#include "engine-bench.h"

TestSuite(engine_policy, .init = begin, .fini = end);

static const Policy rebinding = { .on_reject = POLICY_HOLD,
				  .on_timeout = POLICY_REBIND,
				  .on_error = POLICY_REBIND,
				  .rebinds = 2 };

static void appear_under(uint32_t id, Policy policy)
{
	step((EngineEvent){ .type = EVENT_APPEARED, .id = id, .tdi = id, .policy = policy });
}

static void under(uint32_t id, Policy policy)
{
	appear_under(id, policy);
	if (engine_dsm(bench.engine, 0)->state == DSM_CONNECTING)
		dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	simple(EVENT_GUEST_READY, id);
	bind_done(id, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(id, ASSIGNMENT_LOCKED, FAULT_NONE);
}

static void reject(uint32_t id)
{
	step((EngineEvent){
		.type = EVENT_GUEST_REJECTED, .id = id, .generation = at(id)->generation });
}

/* A fault under a policy that binds it again: the wait begins. */
static void waits_for_rebind(uint32_t id, EngineFault fault, uint32_t so_far)
{
	is(id, ASSIGNMENT_UNBINDING, fault);
	unbind_done(id, OUTCOME_DONE, true);
	is(id, ASSIGNMENT_ATTACHED, fault);
	effect(EFFECT_LOOK);
	cr_assert_eq(count(EFFECT_TIMER_RETRY), 0);
	simple(EVENT_LOOKED, id);
	is(id, ASSIGNMENT_ATTACHED, fault);
	effect(EFFECT_TIMER_RETRY);
	cr_assert_lt(position(EFFECT_PERSIST_ASSIGNMENT), position(EFFECT_TIMER_RETRY));
	cr_assert_eq(count(EFFECT_DETACH), 0);
	cr_assert_eq(at(id)->rebinds, so_far);
	cr_assert(at(id)->retry_timer);
}

static void rebinds(uint32_t id)
{
	simple(EVENT_RETRY_TIMEOUT, id);
	is(id, ASSIGNMENT_BINDING, FAULT_NONE);
	cr_assert_not(at(id)->retry_timer);
	bind_done(id, OUTCOME_DONE, TDISP_CONFIG_LOCKED);
	is(id, ASSIGNMENT_LOCKED, FAULT_NONE);
}

/* Bad input first */

Test(engine_policy, events_out_of_place)
{
	changes_nothing((EngineEvent){ .type = EVENT_LOOKED, .id = 0 });
	changes_nothing((EngineEvent){ .type = EVENT_RETRY_TIMEOUT, .id = 0 });
	changes_nothing((EngineEvent){ .type = EVENT_POLICY_CHANGED, .id = 0 });
	under(0, rebinding);
	changes_nothing((EngineEvent){ .type = EVENT_LOOKED, .id = 0 });
	changes_nothing((EngineEvent){ .type = EVENT_RETRY_TIMEOUT, .id = 0 });
	changes_nothing(
		(EngineEvent){ .type = EVENT_POLICY_CHANGED, .id = 0, .policy = rebinding });
	simple(EVENT_GUEST_TIMEOUT, 0);
	changes_nothing((EngineEvent){ .type = EVENT_LOOKED, .id = 0 });
	waits_for_rebind(0, FAULT_NO_VERDICT, 1);
	changes_nothing((EngineEvent){ .type = EVENT_LOOKED, .id = 0 });
	simple(EVENT_GONE, 0);
	changes_nothing((EngineEvent){ .type = EVENT_LOOKED, .id = 0 });
	changes_nothing((EngineEvent){ .type = EVENT_RETRY_TIMEOUT, .id = 0 });
}

Test(engine_policy, held)
{
	under(0, rebinding);
	reject(0);
	unbind_done(0, OUTCOME_DONE, true);
	simple(EVENT_LOOKED, 0);
	is(0, ASSIGNMENT_HELD, FAULT_REJECTED);
	cr_assert_eq(count(EFFECT_DETACH), 0);
	changes_nothing((EngineEvent){ .type = EVENT_LOOKED, .id = 0 });
	/* Nobody else gets it meanwhile. */
	appear_in(1, 1, 0);
	is(1, ASSIGNMENT_ATTACHED, FAULT_FOREIGN);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_FAILED, FAULT_REJECTED);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, ENGINE_NONE);
}

Test(engine_policy, bound_again_so_often_and_then_held)
{
	under(0, rebinding);
	tdi_changed(0, TDISP_ERROR, false);
	waits_for_rebind(0, FAULT_ERROR, 1);
	rebinds(0);
	cr_assert_eq(at(0)->generation, 2);
	simple(EVENT_GUEST_TIMEOUT, 0);
	waits_for_rebind(0, FAULT_NO_VERDICT, 2);
	rebinds(0);
	tdi_changed(0, TDISP_ERROR, false);
	unbind_done(0, OUTCOME_DONE, true);
	simple(EVENT_LOOKED, 0);
	is(0, ASSIGNMENT_HELD, FAULT_ERROR);
	/* Whoever attaches it anew, or boots its guest anew, begins anew. */
	simple(EVENT_GONE, 0);
	appear_under(0, rebinding);
	cr_assert_eq(at(0)->rebinds, 0);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
}

Test(engine_policy, steady_run_forgets_what_was_before)
{
	under(0, rebinding);
	tdi_changed(0, TDISP_RUN, true);
	cr_assert_eq(count(EFFECT_TIMER_RETRY), 0, "it was never bound again");
	tdi_changed(0, TDISP_ERROR, false);
	waits_for_rebind(0, FAULT_ERROR, 1);
	rebinds(0);
	tdi_changed(0, TDISP_RUN, true);
	effect(EFFECT_TIMER_RETRY);
	simple(EVENT_RETRY_TIMEOUT, 0);
	is(0, ASSIGNMENT_RUNNING, FAULT_NONE);
	effect(EFFECT_PERSIST_ASSIGNMENT);
	cr_assert_eq(at(0)->rebinds, 0);
	cr_assert_eq(count(EFFECT_CHANGED), 0);
	tdi_changed(0, TDISP_ERROR, false);
	waits_for_rebind(0, FAULT_ERROR, 1);
}

Test(engine_policy, run_that_ends_before_it_was_steady)
{
	under(0, rebinding);
	tdi_changed(0, TDISP_ERROR, false);
	waits_for_rebind(0, FAULT_ERROR, 1);
	rebinds(0);
	tdi_changed(0, TDISP_RUN, true);
	tdi_changed(0, TDISP_ERROR, false);
	effect(EFFECT_TIMER_RETRY_OFF);
	waits_for_rebind(0, FAULT_ERROR, 2);
}

/* QEMU resets the function before anybody hears of the reset. */
Test(engine_policy, guest_that_is_reset_is_not_judged)
{
	to_running(0);
	tdi_changed(0, TDISP_ERROR, false);
	unbind_done(0, OUTCOME_DONE, true);
	effect(EFFECT_LOOK);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_FAILED, FAULT_ERROR);
	appear(0);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	cr_assert_eq(count(EFFECT_DETACH), 0);
}

/* The guest lets it go first, then libvirt takes it out. */
Test(engine_policy, let_go_while_the_domain_is_read)
{
	to_running(0);
	tdi_changed(0, TDISP_CONFIG_UNLOCKED, false);
	unbind_done(0, OUTCOME_DONE, true);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_RELEASED, FAULT_NONE);
	under(1, rebinding);
	tdi_changed(1, TDISP_CONFIG_UNLOCKED, false);
	waits_for_rebind(1, FAULT_UNLOCKED, 1);
	simple(EVENT_GONE, 1);
	effect(EFFECT_TIMER_RETRY_OFF);
	is(1, ASSIGNMENT_RELEASED, FAULT_NONE);
	cr_assert_eq(engine_tdi(bench.engine, 1)->owner, ENGINE_NONE);
}

/* What is said last counts, also for the policy. */
Test(engine_policy, unlocked_because_it_was_rejected)
{
	under(0, rebinding);
	tdi_changed(0, TDISP_CONFIG_UNLOCKED, false);
	waits_for_rebind(0, FAULT_UNLOCKED, 1);
	reject(0);
	effect(EFFECT_LOOK);
	effect(EFFECT_TIMER_RETRY_OFF);
	simple(EVENT_LOOKED, 0);
	is(0, ASSIGNMENT_HELD, FAULT_REJECTED);

	/* Held by one policy, not so by the other. */
	under(1, (Policy){ .on_error = POLICY_HOLD });
	tdi_changed(1, TDISP_CONFIG_UNLOCKED, false);
	unbind_done(1, OUTCOME_DONE, true);
	simple(EVENT_LOOKED, 1);
	is(1, ASSIGNMENT_HELD, FAULT_UNLOCKED);
	reject(1);
	taken_out(1, FAULT_REJECTED);
}

Test(engine_policy, before_there_is_a_bind)
{
	appear_under(0, rebinding);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_REFUSED);
	is(0, ASSIGNMENT_ATTACHED, FAULT_CONNECT);
	simple(EVENT_LOOKED, 0);
	effect(EFFECT_TIMER_RETRY);
	simple(EVENT_RETRY_TIMEOUT, 0);
	effect(EFFECT_CONNECT);
	is(0, ASSIGNMENT_CONNECTING, FAULT_NONE);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	simple(EVENT_GUEST_TIMEOUT, 0);
	is(0, ASSIGNMENT_ATTACHED, FAULT_NOT_READY);
	effect(EFFECT_TIMER_IDLE);
	simple(EVENT_LOOKED, 0);
	cr_assert_eq(at(0)->rebinds, 2);
}

/* What others of its DSM hear is not for one that has a fault. */
Test(engine_policy, session_for_another)
{
	under(0, rebinding);
	reject(0);
	unbind_done(0, OUTCOME_DONE, true);
	simple(EVENT_IDLE_TIMEOUT, 0);
	dsm_done(EVENT_RECLAIM_DONE, OUTCOME_DONE);
	appear(1);
	dsm_done(EVENT_CONNECT_DONE, OUTCOME_DONE);
	is(0, ASSIGNMENT_ATTACHED, FAULT_REJECTED);
	simple(EVENT_IDLE_TIMEOUT, 0);
	is(1, ASSIGNMENT_WAITING, FAULT_NONE);
}

Test(engine_policy, foreign_is_never_bound_again)
{
	to_running(0);
	step((EngineEvent){ .type = EVENT_APPEARED, .id = 1, .tvm = 1, .policy = rebinding });
	is(1, ASSIGNMENT_ATTACHED, FAULT_FOREIGN);
	simple(EVENT_LOOKED, 1);
	is(1, ASSIGNMENT_HELD, FAULT_FOREIGN);
	cr_assert_eq(engine_tdi(bench.engine, 0)->owner, 0);
}

Test(engine_policy, what_no_policy_can_keep)
{
	under(0, policy_lenient);
	tdi_changed(0, TDISP_RUN, false);
	unbind_done(0, OUTCOME_DONE, true);
	taken_out(0, FAULT_UNACCOUNTED);
}

Test(engine_policy, tightened_while_it_waits)
{
	EngineEvent tightened = { .type = EVENT_POLICY_CHANGED, .policy = { .rebinds = 2 } };

	under(0, rebinding);
	tdi_changed(0, TDISP_ERROR, false);
	waits_for_rebind(0, FAULT_ERROR, 1);
	step(tightened);
	effect(EFFECT_PERSIST_ASSIGNMENT);
	simple(EVENT_RETRY_TIMEOUT, 0);
	effect(EFFECT_LOOK);
	taken_out(0, FAULT_ERROR);

	under(1, rebinding);
	tdi_changed(1, TDISP_ERROR, false);
	waits_for_rebind(1, FAULT_ERROR, 1);
	tightened.id = 1;
	tightened.policy = rebinding;
	tightened.policy.rebinds = 0;
	step(tightened);
	simple(EVENT_RETRY_TIMEOUT, 1);
	simple(EVENT_LOOKED, 1);
	is(1, ASSIGNMENT_HELD, FAULT_ERROR);
}

Test(engine_policy, end_of_the_tvm)
{
	under(0, rebinding);
	tdi_changed(0, TDISP_ERROR, false);
	waits_for_rebind(0, FAULT_ERROR, 1);
	simple(EVENT_TVM_STOPPING, 0);
	effect(EFFECT_TIMER_RETRY_OFF);
	effect(EFFECT_TVM_QUIET);
	is(0, ASSIGNMENT_FAILED, FAULT_ERROR);
	simple(EVENT_TVM_ENDED, 0);
	cr_assert_null(engine_tvm(bench.engine, 0));
}

/* Refused by a TSM that the reset of its guest has overtaken. */
Test(engine_policy, bind_refused_of_a_device_that_was_gone_meanwhile)
{
	to_binding(0);
	simple(EVENT_GONE, 0);
	appear(0);
	bind_done(0, OUTCOME_REFUSED, TDISP_CONFIG_UNLOCKED);
	is(0, ASSIGNMENT_WAITING, FAULT_NONE);
	cr_assert_eq(count(EFFECT_LOOK), 0);
}

/* What admission says of it when it comes back holds also when its end is still under way. */
Test(engine_policy, back_and_not_to_be_had_any_more)
{
	to_running(0);
	simple(EVENT_GONE, 0);
	is(0, ASSIGNMENT_UNBINDING, FAULT_NONE);
	step((EngineEvent){ .type = EVENT_APPEARED, .id = 0, .unserved = true });
	unbind_done(0, OUTCOME_DONE, true);
	taken_out(0, FAULT_FOREIGN);
}

static void restore(const EngineAssignment *record)
{
	EngineTdi tdi = { .generation = record->generation };

	end();
	cr_assert_eq(engine_new(&bench.engine, 1000), 0);
	cr_assert_eq(engine_restore_tvm(bench.engine, 0), 0);
	cr_assert_eq(engine_restore_dsm(bench.engine, 0, &(EngineDsm){}), 0);
	cr_assert_eq(engine_restore_tdi(bench.engine, 0, &tdi), 0);
	cr_assert_eq(engine_restore_assignment(bench.engine, 0, record), 0);
}

Test(engine_policy, restored)
{
	EngineAssignment record;

	under(0, rebinding);
	tdi_changed(0, TDISP_ERROR, false);
	waits_for_rebind(0, FAULT_ERROR, 1);
	record = *at(0);
	restore(&record);
	is(0, ASSIGNMENT_ATTACHED, FAULT_ERROR);
	changes_nothing((EngineEvent){ .type = EVENT_LOOKED, .id = 0 });
	simple(EVENT_RETRY_TIMEOUT, 0);
	is(0, ASSIGNMENT_CONNECTING, FAULT_NONE);
	cr_assert_eq(at(0)->rebinds, 1);

	/* Not decided yet. */
	record.retry_timer = false;
	restore(&record);
	simple(EVENT_LOOKED, 0);
	effect(EFFECT_TIMER_RETRY);
	cr_assert_eq(at(0)->rebinds, 2);

	/* A timer where none can be. */
	record.retry_timer = true;
	record.state = ASSIGNMENT_HELD;
	restore(&record);
	changes_nothing((EngineEvent){ .type = EVENT_RETRY_TIMEOUT, .id = 0 });
}
