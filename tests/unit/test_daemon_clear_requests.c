/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clear: through all of tdid to a fake TSM and back. */
#include "testing-assignments.h"
#include "testing-records.h"

#define TDI "0000:41:00.1"

static TestingCaller one, two;

static void set_up_callers(void)
{
	set_up();
}

static void tear_down_callers(void)
{
	testing_caller_done(&one);
	testing_caller_done(&two);
	tear_down();
}

TestSuite(daemon_clear_requests, .init = set_up_callers, .fini = tear_down_callers);

static void expect(const char *device, const char *text)
{
	testing_call_with(&one, "Clear", "device", device);
	testing_answered(&one, text);
}

static TdiState tdi_state(void)
{
	Bdf bdf;

	cr_assert_eq(bdf_parse(&bdf, TDI), 0);
	return engine_tdi(d.tdid.engine, registry_find_tdi(d.tdid.registry, bdf)->id)->state;
}

static void quarantine(void)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	d.tsm->answers[FAKE_BIND] = FAKE_DONE;
}

/* --- what is refused --- */

Test(daemon_clear_requests, addresses_that_are_none)
{
	testing_daemon_start(&d);
	expect(NULL, "InvalidParameter");
	expect("", "InvalidParameter {\"parameter\":\"device\"}");
	expect("tvm0/" ALIAS, "InvalidParameter");
	expect("0000:42:00.1", "NoSuchDevice {\"device\":\"0000:42:00.1\"}");
	expect(FAKE_TSM_DSM, "it is no TDI but a DSM. 'tdictl reclaim " FAKE_TSM_DSM "' ends");
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0);
}

Test(daemon_clear_requests, provider_that_has_never_answered)
{
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	expect(TDI, "Refused {\"object\":\"" TDI "\",\"message\":\"" TDI ": tdi_unbind: tsm fake");
	cr_assert(strstr(one.answer, "is not ready: "), "%s", one.answer);
}

Test(daemon_clear_requests, provider_that_is_away)
{
	quarantine();
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	expect(TDI, "is not ready: ");
	cr_assert_eq(tdi_state(), TDI_QUARANTINED);
}

/* Nothing is done to it. */
Test(daemon_clear_requests, device_that_is_not_quarantined)
{
	testing_daemon_start(&d);
	expect(TDI, "ok {\"device\":{\"device\":\"" TDI "\"");
	run();
	expect(TDI, "\"name\":\"" ALIAS "\",\"quarantined\":false");
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
}

/* --- what comes of it --- */

Test(daemon_clear_requests, confirmed)
{
	quarantine();
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason,
			 "'tdictl clear " TDI "' is the way out"));
	expect(TDI, "\"quarantined\":false");
	cr_assert(d.tsm->forced);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_eq(testing_records(&d, "tdi", "\"quarantined\":true"), 0);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
}

/* Whatever became of the records: the TSM holds it, and this is the way out. */
Test(daemon_clear_requests, bind_of_which_there_is_no_record)
{
	testing_daemon_start(&d);
	run();
	testing_daemon_stop(&d);
	testing_records_remove(d.records, "assignment");
	testing_records_remove(d.records, "tdi");
	/* As another bind of this TDI is. */
	d.tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	expect(TDI, "tvm0/" ALIAS " has it and is waiting. Detach it first");
	testing_guest_hello(SESSION_A);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason,
			 "in a bind of which there is no record here: 'tdictl clear " TDI "'"));
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	cr_assert_eq(d.tsm->tdis[0].generation, 1);
	expect(TDI, "\"tdi_state\":\"config_unlocked\"");
	cr_assert(d.tsm->forced);
	cr_assert_eq(d.tsm->tdis[0].generation, 0);
	fake_tsm_set(d.tsm, tdi(), "config_unlocked", false);
	testing_idle(d.event);
	expect(TDI, "\"quarantined\":false");
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1, "there is nothing to be cleared any more");
}

/* A kernel without a record of its own says no more than the state. */
Test(daemon_clear_requests, bind_for_nobody_knows_whom)
{
	testing_daemon_start(&d);
	UNTIL(d.event, provider_is_ready(d.tdid.providers[0]));
	fake_tsm_set(d.tsm, tdi(), "config_locked", false);
	testing_idle(d.event);
	expect(TDI, "\"quarantined\":false");
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
}

Test(daemon_clear_requests, bind_of_which_there_is_no_record_and_that_does_not_end)
{
	testing_daemon_start(&d);
	run();
	testing_daemon_stop(&d);
	testing_records_remove(d.records, "assignment");
	testing_records_remove(d.records, "tdi");
	testing_records_remove(d.records, "tvm");
	fake_vmm_domain(TVM0, "tvm0", NULL);
	d.tsm->unconfirmed = true;
	testing_daemon_start(&d);
	UNTIL(d.event, provider_is_ready(d.tdid.providers[0]));
	expect(TDI, "It stays quarantined");
	cr_assert_eq(tdi_state(), TDI_QUARANTINED);
	cr_assert_eq(testing_records(&d, "tdi", "\"quarantined\":true"), 1);
}

Test(daemon_clear_requests, not_confirmed)
{
	quarantine();
	d.tsm->answers[FAKE_UNBIND] = FAKE_REFUSE;
	expect(TDI, "tdi_unbind " TDI ": tsm fake (emulated, no protection): Refused: not so. It "
		    "stays quarantined: when nothing else of that device is in use, end its "
		    "session");
	cr_assert(strstr(one.answer, "a reboot of this host ends it in any case"));
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_QUARANTINED);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "not so. It stays"));
	cr_assert_eq(testing_records(&d, "assignment", "not so. It stays"), 1);

	d.tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	d.tsm->unconfirmed = true;
	expect(TDI, "the device has not confirmed STOP. It stays quarantined");
	d.tsm->unbind_reason = "its reset failed";
	expect(TDI, "the device has not confirmed STOP: its reset failed. It stays quarantined");
	d.tsm->answers[FAKE_UNBIND] = FAKE_BREAK_OFF;
	expect(TDI, "OutcomeUnknown: it broke off. It stays quarantined");
	cr_assert_eq(tdi_state(), TDI_QUARANTINED);

	d.tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	d.tsm->unconfirmed = false;
	d.tsm->unbind_reason = "by a reset";
	expect(TDI, "ok ");
}

/* Its DSM is free again with it. */
Test(daemon_clear_requests, reclaim_after_it)
{
	d.idle_grace_ms = 1;
	quarantine();
	testing_call(&two, "Reclaim", FAKE_TSM_DSM);
	testing_answered(&two, "'tdictl clear " TDI "' first");
	expect(TDI, "ok ");
	UNTIL(d.event, dsm()->state == DSM_IDLE);
}

Test(daemon_clear_requests, all_that_wait_are_answered)
{
	quarantine();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	testing_call_with(&one, "Clear", "device", TDI);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_call_with(&two, "Clear", "device", TDI);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	cr_assert_null(two.answer);
	/* Nobody gets it before. */
	testing_daemon_run(&d, 1, WITH1);
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 1, ALIAS)->reason,
			 "'tdictl clear " TDI "' is the way out"));
	fake_tsm_let_go(d.tsm);
	testing_answered(&one, "ok ");
	testing_answered(&two, "ok ");
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
}

Test(daemon_clear_requests, caller_that_goes_away_loses_nothing)
{
	quarantine();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	testing_call_with(&one, "Clear", "device", TDI);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_caller_done(&one);
	testing_idle(d.event);
	fake_tsm_let_go(d.tsm);
	UNTIL(d.event, tdi_state() == TDI_KNOWN);
}

Test(daemon_clear_requests, after_the_tvm_has_ended)
{
	quarantine();
	testing_daemon_kill(&d, 0);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_QUARANTINED);
	expect(TDI, "ok ");
	cr_assert_null(strstr(one.answer, "\"domain\""));
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	cr_assert_eq(testing_records(&d, "assignment", NULL), 0);
	cr_assert_eq(testing_records(&d, "tvm", NULL), 0);
}

/* --- restarts --- */

/* Of its TVM and assignment nothing is left. */
Test(daemon_clear_requests, tdi_record_alone)
{
	quarantine();
	testing_daemon_stop(&d);
	testing_daemon_kill(&d, 0);
	testing_records_remove(d.records, "assignment");
	testing_records_remove(d.records, "tvm");
	testing_daemon_start(&d);
	cr_assert_eq(tdi_state(), TDI_QUARANTINED);
	testing_call(&two, "Devices", NULL);
	testing_answered(&two, "\"quarantined\":true,\"reason\":\"tdi_bind " TDI);
	d.tsm->answers[FAKE_UNBIND] = FAKE_REFUSE;
	expect(TDI, "not so. It stays quarantined");
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_call(&two, "Devices", NULL);
	testing_answered(&two, "not so. It stays quarantined");
	d.tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	expect(TDI, "\"quarantined\":false");
	testing_daemon_run(&d, 1, WITH1);
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_WAITING);
}

Test(daemon_clear_requests, restart_within_a_clear)
{
	char operation[20];
	Bdf bdf;

	quarantine();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	testing_call_with(&one, "Clear", "device", TDI);
	UNTIL(d.event, d.tsm->n_held == 1);
	bdf_parse(&bdf, TDI);
	snprintf(operation, sizeof(operation), "%016llx",
		 (unsigned long long)engine_tdi(d.tdid.engine,
						registry_find_tdi(d.tdid.registry, bdf)->id)
			 ->operation);
	testing_daemon_stop(&d);
	testing_answered(&one, "lost");
	d.tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 2, "sent again");
	cr_assert_str_eq(d.tsm->operation[FAKE_UNBIND], operation);
	cr_assert(d.tsm->forced);
	cr_assert_eq(tdi_state(), TDI_KNOWN);
}
