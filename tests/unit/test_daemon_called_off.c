/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Binds and connects that nobody needs any more while they are queued at the TSM. */
#include "testing-tdi.h"

#include "daemon/director.h"

TestSuite(daemon_called_off, .init = set_up, .fini = tear_down);

static void bind_in(FakeAnswer answer)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = answer;
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_BINDING);
}

Test(daemon_called_off, bind_of_a_device_that_leaves)
{
	bind_in(FAKE_QUEUE_HOLD);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(d.tsm->cancels, 1);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0, "there is nothing to unbind");
	cr_assert_null(testing_assignment(&d, 0, ALIAS)->reason);
	cr_assert_eq(dsm()->users, 0);
}

/* Its outcome is the TSM's to tell, and what it has bound is unbound. */
Test(daemon_called_off, bind_that_has_started)
{
	bind_in(FAKE_START_HOLD);
	detach();
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_BINDING);
	cr_assert_eq(d.tsm->cancels, 0);
	fake_tsm_let_go(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
}

Test(daemon_called_off, bind_that_the_provider_does_not_take_back)
{
	d.tsm->cancel_fails = true;
	bind_in(FAKE_QUEUE_HOLD);
	detach();
	UNTIL(d.event, d.tsm->cancels == 1);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_BINDING);
	fake_tsm_let_go(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
}

Test(daemon_called_off, bind_of_a_tvm_that_ends)
{
	bind_in(FAKE_QUEUE_HOLD);
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	cr_assert_eq(d.tsm->cancels, 1);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0);
}

/* For the new place in the guest another bind is needed. */
Test(daemon_called_off, bind_of_a_device_that_is_back)
{
	d.tsm->cancel_fails = true;
	bind_in(FAKE_QUEUE_HOLD);
	detach();
	UNTIL(d.event, d.tsm->cancels == 1);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	testing_idle(d.event);
	d.tsm->cancel_fails = false;
	d.tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	fake_tsm_start(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	d.tsm->answers[FAKE_BIND] = FAKE_DONE;
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(tdi()->generation, 2);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0);
}

/* It left before tdid ended, which could not say so any more. */
Test(daemon_called_off, bind_that_was_queued_when_tdid_ended)
{
	d.tsm->cancel_fails = true;
	bind_in(FAKE_QUEUE_HOLD);
	detach();
	UNTIL(d.event, d.tsm->cancels == 1);
	testing_daemon_stop(&d);
	d.tsm->cancel_fails = false;
	testing_daemon_start(&d);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_BINDING);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0);
}

static void connect_in(FakeAnswer answer)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = answer;
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_CONNECTING);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_idle(d.event);
}

Test(daemon_called_off, connect_for_a_device_that_leaves)
{
	connect_in(FAKE_QUEUE_HOLD);
	detach();
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	cr_assert_eq(d.tsm->cancels, 1);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	cr_assert_null(registry_dsm_at(d.tdid.registry, 0)->reason);
	cr_assert_eq(testing_records(&d, "dsm", NULL), 0);
}

Test(daemon_called_off, connect_that_has_started)
{
	connect_in(FAKE_START_HOLD);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->cancels, 0);
	cr_assert_eq(dsm()->state, DSM_CONNECTING);
	fake_tsm_let_go(d.tsm);
	UNTIL(d.event, dsm()->state == DSM_CONNECTED);
}

Test(daemon_called_off, connect_that_is_pinned)
{
	connect_in(FAKE_QUEUE_HOLD);
	director_event(&d.tdid, &(EngineEvent){ .type = EVENT_CONNECT_REQUESTED, .id = 0 }, NULL);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->cancels, 0);
	cr_assert_eq(dsm()->state, DSM_CONNECTING);
}

/* It has been called off, and its device comes back before that is known. */
Test(daemon_called_off, connect_that_is_needed_again)
{
	connect_in(FAKE_QUEUE_HOLD);
	d.tsm->answers[FAKE_CONNECT] = FAKE_DONE;
	fake_vmm_domain(TVM0, "tvm0", NONE);
	director_event(&d.tdid, &(EngineEvent){ .type = EVENT_GONE, .id = 0 }, NULL);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	director_event(&d.tdid,
		       &(EngineEvent){ .type = EVENT_APPEARED, .policy = d.tdid.config->policy },
		       NULL);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_CONNECTING);
	cr_assert_eq(d.tsm->cancels, 0, "on its way");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->cancels, 1);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 2);
}
