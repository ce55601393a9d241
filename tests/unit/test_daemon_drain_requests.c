/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drain and Undrain: through all of tdid to a fake libvirt and a fake TSM, and back. */
#include "testing-assignments.h"
#include "testing-disk.h"

#include <errno.h>
#include <sys/stat.h>

#define TDI   "0000:41:00.1"
#define OTHER "0000:41:00.2"
#define DSM   "\"dsm\":\"" FAKE_TSM_DSM "\""

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

TestSuite(daemon_drain_requests, .init = set_up_callers, .fini = tear_down_callers);

static void ask(const char *method, const char *arguments)
{
	char text[512];

	snprintf(text, sizeof(text), "{%s}", arguments);
	testing_ask(&one, method, text, strcmp(method, "Drain") == 0);
}

static void expect(const char *method, const char *arguments, const char *answer)
{
	ask(method, arguments);
	testing_answered(&one, answer);
}

static void is_drained(bool drained)
{
	testing_call(&two, "Devices", NULL);
	UNTIL(d.event, two.answer);
	cr_assert_eq(strstr(two.answer, "\"drained\":true") != NULL, drained, "%s", two.answer);
	cr_assert_eq(testing_records(&d, "drain-" FAKE_TSM_DSM, NULL), drained);
}

static void attach_is_refused(bool refused)
{
	testing_ask(&two, "Attach",
		    "{\"domain\":\"tvm0\",\"device\":\"" OTHER "\",\"dry_run\":true}", false);
	testing_answered(
		&two, refused ? "its DSM " FAKE_TSM_DSM " is being drained, so that nobody "
				"gets a device of it. 'tdictl undrain " FAKE_TSM_DSM "' ends that"
			      : "ok {\"plan\":");
}

/* --- what is refused --- */

Test(daemon_drain_requests, addresses_that_are_none)
{
	static const char *const methods[] = { "Drain", "Undrain" };

	testing_daemon_start(&d);
	for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
		expect(methods[i], "", "InvalidParameter {\"parameter\":\"dsm\"}");
		expect(methods[i], "\"dsm\":\"41:00.0\"",
		       "InvalidParameter {\"parameter\":\"dsm\"}");
		expect(methods[i], "\"dsm\":\"0000:42:00.0\"", "NoSuchDevice ");
		expect(methods[i], "\"dsm\":\"" TDI "\"",
		       "it is a function of the DSM " FAKE_TSM_DSM ". Name that one");
	}
	expect("Drain", DSM ",\"timeout_ms\":0", "InvalidParameter {\"parameter\":\"timeout_ms\"}");
	is_drained(false);
}

/* That it is drained is on disk before it is so. */
Test(daemon_drain_requests, record_that_cannot_be_written)
{
	testing_daemon_start(&d);
	no_room_for = "drain-";
	expect("Drain", DSM, "drain: its record cannot be written");
	no_room_for = NULL;
	is_drained(false);
}

/* What its record says is so, now and after a restart; nothing new is begun upon such a record. */
Test(daemon_drain_requests, record_that_cannot_be_synced)
{
	testing_daemon_start(&d);
	expect("Drain", DSM, "ok {\"dsm\":");
	expect("Undrain", DSM, "ok {\"dsm\":");
	syncs_fail = true;
	testing_call(&two, "Connect", FAKE_TSM_DSM);
	testing_answered(&two, "its record may be lost");
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	cr_assert_eq(testing_records(&d, "dsm", NULL), 0);
	expect("Drain", DSM, "ok {\"dsm\":");
	is_drained(true);
	expect("Undrain", DSM, "ok {\"dsm\":");
	is_drained(false);
}

/* --- what comes of it --- */

Test(daemon_drain_requests, nothing_in_use)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	expect("Drain", DSM, "\"drained\":true");
	is_drained(true);
	attach_is_refused(true);
	testing_call(&two, "Connect", FAKE_TSM_DSM);
	testing_answered(&two, "it is being drained. 'tdictl undrain' ends that");
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	expect("Drain", DSM, "ok ");
	expect("Undrain", DSM, "ok {\"dsm\":{\"dsm\":\"" FAKE_TSM_DSM "\"");
	is_drained(false);
	attach_is_refused(false);
	expect("Undrain", DSM, "ok ");
}

Test(daemon_drain_requests, pinned)
{
	testing_daemon_start(&d);
	testing_call(&two, "Connect", FAKE_TSM_DSM);
	testing_answered(&two, "ok ");
	expect("Drain", DSM, "\"state\":\"idle\"");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
}

/* Each change is told; the last one out, then the DSM. */
Test(daemon_drain_requests, what_runs_is_detached_and_the_dsm_reclaimed)
{
	testing_daemon_start(&d);
	lock();
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_str_eq(fake_vmm.detached, TVM0 " " ALIAS " " TDI);
	is_drained(true);
	attach_is_refused(true);
	cr_assert_null(one.answer);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, ALIAS);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	detach();
	testing_answered(&one, "ok {\"dsm\":{\"dsm\":\"" FAKE_TSM_DSM "\"");
	cr_assert(strstr(one.answer, "\"state\":\"idle\",\"connected\":false"));
	cr_assert(strstr(one.told, "\"state\":\"unbinding\""));
	cr_assert(strstr(one.told, "\"state\":\"released\""));
	cr_assert_eq(fake_vmm.detaches, 1);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
}

/* By plain virsh too. */
Test(daemon_drain_requests, nobody_gets_one_of_it)
{
	testing_daemon_start(&d);
	expect("Drain", DSM, "ok ");
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "is being drained"));
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 0);
}

static void drain_within_an_attach(void)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	fake_vmm.hold_attaches = true;
	testing_ask(&two, "Attach",
		    "{\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"nic0\"}", false);
	UNTIL(d.event, fake_vmm.attaches == 1);
	ask("Drain", DSM);
	testing_idle(d.event);
	UNTIL(d.event, dsm()->state == DSM_CONNECTED);
	testing_idle(d.event);
	cr_assert_null(one.answer, "%s", one.answer);
}

/* libvirt has been asked before: what comes of that is waited for. */
Test(daemon_drain_requests, attach_that_libvirt_carries_out)
{
	drain_within_an_attach();
	fake_vmm.attach_xml = WITH;
	fake_vmm.attach_alias = ALIAS;
	fake_vmm_let_go();
	UNTIL(d.event, fake_vmm.detaches > 0);
	cr_assert_null(one.answer, "%s", one.answer);
	detach();
	testing_answered(&one, "ok {\"dsm\":");
	cr_assert_eq(dsm()->state, DSM_IDLE);
}

Test(daemon_drain_requests, attach_that_libvirt_refuses_at_last)
{
	drain_within_an_attach();
	fake_vmm.attach_result = VMM_ATTACH_REFUSED;
	fake_vmm_let_go();
	testing_answered(&one, "ok {\"dsm\":");
	testing_answered(&two, "Refused ");
	cr_assert_eq(dsm()->state, DSM_IDLE);
}

Test(daemon_drain_requests, attach_that_takes_longer_than_the_drain)
{
	drain_within_an_attach();
	expect("Drain", DSM ",\"timeout_ms\":50", "is being attached. It goes on");
}

Test(daemon_drain_requests, quarantined_device)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	expect("Drain", DSM,
	       "is quarantined: what the TSM holds of it is not known. 'tdictl clear " TDI
	       "' first, then drain it again");
	is_drained(true);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0);
}

Test(daemon_drain_requests, quarantined_dsm)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_BREAK_OFF;
	testing_call(&two, "Connect", FAKE_TSM_DSM);
	testing_answered(&two, "Refused");
	expect("Drain", DSM, "'tdictl reclaim' is the way out");
	is_drained(true);
}

Test(daemon_drain_requests, device_that_cannot_be_detached)
{
	testing_daemon_start(&d);
	lock();
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	fake_vmm.detach_message = "not hot-pluggable";
	expect("Drain", DSM,
	       "Refused {\"object\":\"" FAKE_TSM_DSM "\",\"message\":\"" FAKE_TSM_DSM
	       ": drain: tvm0/" ALIAS " cannot be detached: libvirt: not hot-pluggable");
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 1, "not for ever");
	is_drained(true);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	/* Once more by request. */
	fake_vmm.detach_result = 0;
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	testing_answered(&one, "ok ");
}

Test(daemon_drain_requests, libvirt_that_does_not_answer)
{
	testing_daemon_start(&d);
	lock();
	fake_vmm.detach_result = -ETIMEDOUT;
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	fake_vmm.detach_result = 0;
	while (fake_vmm.detaches < 2)
		cr_assert_gt(sd_event_run(d.event, 2000000), 0);
	detach();
	testing_answered(&one, "ok ");
}

/* The end of a Detach is not the drain's. */
Test(daemon_drain_requests, detach_whose_time_is_over_within_it)
{
	testing_daemon_start(&d);
	expect("Drain", DSM, "ok ");
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_ask(&two, "Detach",
		    "{\"domain\":\"tvm0\",\"name\":\"" ALIAS "\",\"timeout_ms\":50}", false);
	testing_answered(&two, "TimedOut ");
	UNTIL(d.event, fake_vmm.detaches == 3);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 3, "not for ever");
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
}

Test(daemon_drain_requests, dsm_that_cannot_be_reclaimed)
{
	testing_daemon_start(&d);
	testing_call(&two, "Connect", FAKE_TSM_DSM);
	testing_answered(&two, "ok ");
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_REFUSE;
	expect("Drain", DSM, "not so. It is still connected; look into that and drain it again");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1, "not for ever");
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_DONE;
	expect("Drain", DSM, "ok ");
}

Test(daemon_drain_requests, time_is_over_and_it_goes_on)
{
	testing_daemon_start(&d);
	lock();
	expect("Drain", DSM ",\"timeout_ms\":50", "TimedOut {\"assignment\":{");
	cr_assert(strstr(one.answer, FAKE_TSM_DSM ": drain: after 0.1 s tvm0/" ALIAS " is locked. "
						  "It goes on"));
	detach();
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
}

/* Also what the first has asked for already; a step of the drain alone does not. */
Test(daemon_drain_requests, once_more_asks_libvirt_again)
{
	testing_daemon_start(&d);
	lock();
	expect("Drain", DSM ",\"timeout_ms\":50", "TimedOut ");
	cr_assert_eq(fake_vmm.detaches, 1);
	fake_vmm_dirty(TVM0, VMM_DIRTY_STARTED, NULL);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 1);
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	testing_answered(&one, "ok ");
}

Test(daemon_drain_requests, after_a_detach_whose_time_is_over)
{
	testing_daemon_start(&d);
	lock();
	testing_ask(&two, "Detach",
		    "{\"domain\":\"tvm0\",\"name\":\"" ALIAS "\",\"timeout_ms\":50}", false);
	testing_answered(&two, "TimedOut ");
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	testing_answered(&one, "ok ");
}

/* Nothing is left in that moment, but it comes back. */
Test(daemon_drain_requests, guest_that_boots_anew)
{
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0, "it is still in the domain");
	fake_vmm_let_go();
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	testing_answered(&one, "ok ");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
}

Test(daemon_drain_requests, caller_that_goes_away_changes_nothing)
{
	testing_daemon_start(&d);
	lock();
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_caller_done(&one);
	testing_idle(d.event);
	detach();
	UNTIL(d.event, dsm()->state == DSM_IDLE);
}

Test(daemon_drain_requests, ended_by_undrain)
{
	testing_daemon_start(&d);
	lock();
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_ask(&two, "Undrain", "{" DSM "}", false);
	testing_answered(&two, "ok ");
	testing_answered(&one, "an Undrain has ended it");
	cr_assert_eq(testing_records(&d, "drain", NULL), 0);
}

/* What libvirt has not taken is asked for no more. */
Test(daemon_drain_requests, undrained_while_libvirt_is_busy)
{
	testing_daemon_start(&d);
	lock();
	fake_vmm.detach_result = VMM_DETACH_BUSY;
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	testing_ask(&two, "Undrain", "{" DSM "}", false);
	testing_answered(&two, "ok ");
	testing_answered(&one, "an Undrain has ended it");
	sd_event_run(d.event, 1500000);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 1);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
}

/* Busy is what it says after the Undrain. */
Test(daemon_drain_requests, undrained_before_libvirt_answers)
{
	testing_daemon_start(&d);
	lock();
	fake_vmm.detach_result = VMM_DETACH_BUSY;
	fake_vmm.hold = true;
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_ask(&two, "Undrain", "{" DSM "}", false);
	testing_answered(&two, "ok ");
	fake_vmm_let_go();
	testing_idle(d.event);
	sd_event_run(d.event, 1500000);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 1);
}

/* Who has called Detach as well gets it. */
Test(daemon_drain_requests, undrained_and_detached)
{
	testing_daemon_start(&d);
	lock();
	fake_vmm.detach_result = VMM_DETACH_BUSY;
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	testing_ask(&two, "Detach", "{\"domain\":\"tvm0\",\"name\":\"" ALIAS "\"}", false);
	testing_idle(d.event);
	expect("Undrain", DSM, "ok ");
	fake_vmm.detach_result = 0;
	while (fake_vmm.detaches < 2)
		cr_assert_gt(sd_event_run(d.event, 2000000), 0);
	detach();
	testing_answered(&two, "ok ");
}

/* --- restarts --- */

Test(daemon_drain_requests, drained_after_a_restart)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	testing_idle(d.event);
	expect("Drain", DSM, "ok ");
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_idle(d.event);
	is_drained(true);
	attach_is_refused(true);
	expect("Undrain", DSM, "ok ");
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_idle(d.event);
	is_drained(false);
	attach_is_refused(false);
}

Test(daemon_drain_requests, restart_within_a_drain)
{
	testing_daemon_start(&d);
	lock();
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_daemon_stop(&d);
	testing_answered(&one, "lost");
	testing_daemon_start(&d);
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	UNTIL(d.event,
	      engine_dsm(d.tdid.engine, testing_assignment(&d, 0, ALIAS)->dsm->id)->state ==
		      DSM_IDLE);
	is_drained(true);
}

/* The last has gone, and nothing tells of it any more. */
Test(daemon_drain_requests, restart_before_the_reclaim)
{
	testing_daemon_start(&d);
	lock();
	ask("Drain", DSM);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	fake_vmm_domain(TVM0, "tvm0", NONE);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, ALIAS);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0);
	cr_assert_eq(testing_records(&d, "dsm", "\"connected\""), 1);
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	UNTIL(d.event, d.tsm->calls[FAKE_DISCONNECT] == 1);
	UNTIL(d.event, testing_records(&d, "dsm", NULL) == 0);
	is_drained(true);
	cr_assert_eq(fake_vmm.detaches, 1);
}
