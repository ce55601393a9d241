/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Detach: through all of tdid to a fake libvirt, and back. */
#include "daemon/assignments-service.h"
#include "testing-assignments.h"
#include "testing-disk.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define TDI   "0000:41:00.1"
#define ARGS  "\"domain\":\"tvm0\",\"name\":\"" ALIAS "\""
#define TOKEN "\"client_token\":\"token-1\""

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

TestSuite(daemon_detach_requests, .init = set_up_callers, .fini = tear_down_callers);

static void ask(TestingCaller *caller, const char *arguments, bool more)
{
	char text[512];

	snprintf(text, sizeof(text), "{%s}", arguments);
	testing_ask(caller, "Detach", text, more);
}

static void expect(const char *arguments, const char *answer)
{
	ask(&one, arguments, false);
	testing_answered(&one, answer);
}

static void start(void)
{
	testing_daemon_start(&d);
	lock();
}

/* The guest has let it go: QEMU tells before libvirt does. */
static void let_go(void)
{
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_DELETED, ALIAS);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	detach();
	testing_idle(d.event);
}

static bool is_detaching(void)
{
	return assignments_service_is_detaching(d.tdid.assignments,
						testing_assignment(&d, 0, ALIAS));
}

/* --- what is refused --- */

Test(daemon_detach_requests, parameters_that_are_none)
{
	start();
	expect("\"name\":\"" ALIAS "\"", "InvalidParameter {\"parameter\":\"domain\"}");
	expect("\"domain\":\"tvm0\"", "InvalidParameter {\"parameter\":\"name\"}");
	expect(ARGS ",\"client_token\":\"a\\u007f\"",
	       "InvalidParameter {\"parameter\":\"client_token");
	expect(ARGS ",\"timeout_ms\":0", "InvalidParameter {\"parameter\":\"timeout_ms\"}");
	expect("\"domain\":\"tvm1\",\"name\":\"" ALIAS "\"", "NoSuchAssignment {");
	expect("\"domain\":\"tvm0\",\"name\":\"nic0\"", "NoSuchAssignment {");
	cr_assert_eq(fake_vmm.detaches, 0);
}

Test(daemon_detach_requests, quarantined)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	expect(ARGS, "NotReached {\"assignment\":{");
	cr_assert(strstr(one.answer, "'tdictl clear " TDI "' is the way out"));
	cr_assert_eq(fake_vmm.detaches, 0);
}

Test(daemon_detach_requests, libvirt_refuses)
{
	start();
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	fake_vmm.detach_message = "domain x: cannot detach: not hot-pluggable";
	expect(ARGS "," TOKEN,
	       "Refused {\"object\":\"tvm0/" ALIAS "\",\"message\":\"tvm0/" ALIAS
	       ": detach: libvirt: domain x: cannot detach: not hot-pluggable. Look "
	       "into that and ask again");
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	/* Nothing was done under that token. */
	fake_vmm.detach_result = 0;
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 2);
	let_go();
	testing_answered(&one, "ok ");
}

Test(daemon_detach_requests, alias_is_another_devices_by_now)
{
	start();
	fake_vmm.detach_result = VMM_DETACH_MISMATCH;
	expect(ARGS, "Refused ");
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
}

/* As with what the engine asks for: no refusal, and asked again until the time is over. */
Test(daemon_detach_requests, libvirt_that_is_away)
{
	start();
	fake_vmm_disconnect();
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	fake_vmm_connect();
	while (fake_vmm.detaches < 2)
		cr_assert_gt(sd_event_run(d.event, 2000000), 0);
	let_go();
	testing_answered(&one, "ok ");
}

Test(daemon_detach_requests, libvirt_that_does_not_answer)
{
	static const int results[] = { VMM_DETACH_BUSY, -ENOTCONN, -ETIMEDOUT, -EHOSTUNREACH };

	start();
	fake_vmm.detach_message = "no answer";
	for (size_t i = 0; i < ELEMENTSOF(results); i++) {
		fake_vmm.detach_result = results[i];
		expect(ARGS ",\"timeout_ms\":50", "TimedOut ");
		cr_assert(strstr(one.answer,
				 "tvm0/" ALIAS ": detach: after 0.1 s it is locked, and "
				 "libvirt has not taken it: no answer. Ask again"),
			  "%s", one.answer);
		cr_assert_eq(fake_vmm.detaches, i + 1);
		UNTIL(d.event, !is_detaching());
	}
	fake_vmm.detach_result = -EREMOTEIO;
	expect(ARGS, "Refused ");
}

Test(daemon_detach_requests, guest_refuses)
{
	start();
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_REMOVAL_FAILED, "ua-tdi-other");
	testing_idle(d.event);
	cr_assert_null(one.answer);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_REMOVAL_FAILED, ALIAS);
	testing_answered(&one, "the guest refuses to let it go");
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
}

/* --- what comes of it --- */

Test(daemon_detach_requests, released_with_each_change_told)
{
	start();
	ask(&one, ARGS, true);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_str_eq(fake_vmm.detached, TVM0 " " ALIAS " " TDI);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	let_go();
	testing_answered(&one, "\"state\":\"released\"");
	cr_assert(strstr(one.told, "\"state\":\"unbinding\""));
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
	/* And once more. */
	expect(ARGS, "ok {\"assignment\":");
	expect("\"domain\":\"" TVM0 "\",\"name\":\"" TDI "\"", "\"state\":\"released\"");
	cr_assert_eq(fake_vmm.detaches, 1);
}

Test(daemon_detach_requests, two_that_wait)
{
	start();
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	ask(&two, ARGS, false);
	testing_idle(d.event);
	let_go();
	testing_answered(&one, "ok ");
	testing_answered(&two, "ok ");
}

Test(daemon_detach_requests, gone_already)
{
	start();
	fake_vmm.detach_result = VMM_DETACH_GONE;
	fake_vmm_domain(TVM0, "tvm0", NONE);
	expect(ARGS, "\"state\":\"released\"");
}

/* A second between: nothing tells when the guest's slot has stopped blinking. */
Test(daemon_detach_requests, busy_is_no_refusal)
{
	start();
	fake_vmm.detach_result = VMM_DETACH_BUSY;
	fake_vmm.detach_message = "power indicator blinking";
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	fake_vmm.detach_result = 0;
	while (fake_vmm.detaches < 2)
		sd_event_run(d.event, 2000000);
	let_go();
	testing_answered(&one, "ok ");
}

Test(daemon_detach_requests, guest_that_never_lets_it_go)
{
	start();
	expect(ARGS "," TOKEN ",\"timeout_ms\":50", "TimedOut {\"assignment\":{");
	cr_assert(strstr(one.answer, "\"state\":\"locked\""));
	cr_assert(strstr(one.answer,
			 "tvm0/" ALIAS ": detach: after 0.1 s it is locked, and the guest has not "
			 "let it go. What was asked for stands"));
	/* The same once more: libvirt is asked again. */
	expect(ARGS "," TOKEN ",\"timeout_ms\":50", "TimedOut ");
	cr_assert_eq(fake_vmm.detaches, 2);
	/* It comes late. */
	let_go();
	expect(ARGS "," TOKEN, "\"state\":\"released\"");
}

/* Asked for, and not done: it is nobody's business any more. */
Test(daemon_detach_requests, ends_with_its_time)
{
	unsigned int reads;

	start();
	ask(&one, ARGS ",\"timeout_ms\":50", false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	cr_assert(is_detaching());
	reads = fake_vmm.reads;
	testing_answered(&one, "TimedOut ");
	UNTIL(d.event, !is_detaching());
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.reads, reads + 1, "its own policy counts again");
	testing_ask(&two, "Attach", "{\"domain\":\"tvm0\",\"device\":\"" TDI "\"}", false);
	testing_idle(d.event);
	cr_assert(!two.answer || !strstr(two.answer, "being detached"), "%s", two.answer);
}

Test(daemon_detach_requests, ends_while_libvirt_is_asked)
{
	start();
	fake_vmm.hold = true;
	expect(ARGS ",\"timeout_ms\":50", "TimedOut ");
	UNTIL(d.event, !is_detaching());
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	fake_vmm_let_go();
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 1);
}

Test(daemon_detach_requests, busy_until_its_time_is_over)
{
	start();
	fake_vmm.detach_result = VMM_DETACH_BUSY;
	expect(ARGS ",\"timeout_ms\":50", "TimedOut ");
	sd_event_run(d.event, 2000000);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 1);
}

Test(daemon_detach_requests, caller_that_goes_away_changes_nothing)
{
	start();
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_caller_done(&one);
	testing_idle(d.event);
	let_go();
}

Test(daemon_detach_requests, domain_that_ends_meanwhile)
{
	start();
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_daemon_kill(&d, 0);
	testing_answered(&one, "\"state\":\"released\"");
}

Test(daemon_detach_requests, held_after_a_failure)
{
	start();
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	fake_tsm_set(d.tsm, tdi(), "error", false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_HELD);
	fake_vmm.detach_result = 0;
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	testing_answered(&one, "\"state\":\"failed\"");
}

/* --- a guest that boots anew --- */

/* The device is still there, so it is asked for once more. */
Test(daemon_detach_requests, reset_is_not_the_end)
{
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	ask(&one, ARGS, true);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RELEASED);
	UNTIL(d.event, fake_vmm.detaches == 2);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	detach();
	testing_answered(&one, "\"state\":\"released\"");
}

Test(daemon_detach_requests, reset_of_a_bind)
{
	start();
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	UNTIL(d.event, fake_vmm.detaches == 2);
	testing_idle(d.event);
	cr_assert_null(one.answer);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
	detach();
	testing_answered(&one, "\"state\":\"released\"");
}

Test(daemon_detach_requests, reset_and_not_there_any_more)
{
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	fake_vmm_domain(TVM0, "tvm0", NONE);
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_answered(&one, "ok {\"assignment\":");
	cr_assert(!is_detaching());
	cr_assert_eq(fake_vmm.detaches, 1);
}

Test(daemon_detach_requests, reset_and_the_domain_ends)
{
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_daemon_kill(&d, 0);
	testing_answered(&one, "ok {\"assignment\":");
	fake_vmm_let_go();
	testing_idle(d.event);
}

/* --- a guest that is asked --- */

static void running(void)
{
	testing_daemon_start(&d);
	run();
	testing_guest_received(&d);
}

/* Its agent lets the driver go and revokes; what the TSM says of it is all that counts. */
Test(daemon_detach_requests, guest_releases_it_first)
{
	running();
	ask(&one, ARGS, true);
	cr_assert(testing_guest_gets(&d,
				     "\"event\":\"Withdrawn\",\"parameters\":{\"name\":\"" ALIAS
				     "\",\"generation\":1,\"reason\":\"it is to be detached\"}"));
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 0);
	fake_tsm_set(d.tsm, tdi(), "config_unlocked", false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1, "unbound before it is taken out");
	detach();
	testing_answered(&one, "\"state\":\"released\"");
	cr_assert(strstr(one.answer, "\"name\":\"guest asked to release it\""));
	cr_assert_null(strstr(one.answer, "\"reason\""));
	cr_assert_eq(fake_vmm.detaches, 1);
}

Test(daemon_detach_requests, guest_that_does_not_release_it)
{
	running();
	ask(&one, ARGS ",\"timeout_ms\":3000", false);
	while (fake_vmm.detaches < 1)
		cr_assert_gt(sd_event_run(d.event, 4000000), 0);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	let_go();
	testing_answered(&one, "ok ");
}

Test(daemon_detach_requests, guest_without_an_agent)
{
	running();
	shutdown(fake_vmm.guest_fd, SHUT_RDWR);
	testing_idle(d.event);
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	let_go();
	testing_answered(&one, "ok ");
}

Test(daemon_detach_requests, released_and_not_taken_out)
{
	running();
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	ask(&one, ARGS, false);
	cr_assert(testing_guest_gets(&d, "\"Withdrawn\""));
	fake_tsm_set(d.tsm, tdi(), "config_unlocked", false);
	testing_answered(&one, "Refused ");
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_HELD);
	cr_assert_eq(fake_vmm.detaches, 2);
}

/* libvirt was busy when the engine asked, and no event of the domain follows. */
Test(daemon_detach_requests, released_and_busy)
{
	running();
	fake_vmm.detach_result = VMM_DETACH_BUSY;
	ask(&one, ARGS, false);
	cr_assert(testing_guest_gets(&d, "\"Withdrawn\""));
	fake_tsm_set(d.tsm, tdi(), "config_unlocked", false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	fake_vmm.detach_result = 0;
	while (fake_vmm.detaches < 2)
		cr_assert_gt(sd_event_run(d.event, 2000000), 0);
	detach();
	testing_answered(&one, "\"state\":\"released\"");
}

/* --- tokens --- */

/* Somebody has attached it again before a lost answer is asked for once more. */
Test(daemon_detach_requests, token_does_not_detach_twice)
{
	start();
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	let_go();
	testing_answered(&one, "ok ");
	cr_assert_eq(testing_records(&d, "assignment", "\"detach_token\":\"token-1\""), 1);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	expect(ARGS "," TOKEN, "\"state\":\"waiting\"");
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	expect(ARGS "," TOKEN, "\"state\":\"waiting\"");
	cr_assert_eq(fake_vmm.detaches, 1);
	ask(&one, ARGS ",\"client_token\":\"token-2\"", false);
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	testing_answered(&one, "\"state\":\"released\"");
}

Test(daemon_detach_requests, restart_within_it)
{
	start();
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_daemon_stop(&d);
	testing_answered(&one, "lost");
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 2);
	let_go();
	testing_answered(&one, "ok ");
}

/* It has gone, and somebody has attached it again, before tdid gets to write anything more. */
Test(daemon_detach_requests, token_of_before_a_restart)
{
	start();
	fake_vmm.hold = true;
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_eq(testing_records(&d, "assignment", "\"detach_token\":\"token-1\""), 1,
		     "on disk while libvirt is asked");
	cr_assert_eq(testing_records(&d, "assignment", "\"detach_pending\":true"), 1);
	testing_daemon_stop(&d);
	fake_vmm.hold = false;
	testing_daemon_start(&d);
	testing_idle(d.event);
	/* By what libvirt was asked for before. */
	let_go();
	cr_assert_eq(testing_records(&d, "assignment", "\"detach_pending\":false"), 1);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	expect(ARGS "," TOKEN, "\"state\":\"waiting\"");
	cr_assert_eq(fake_vmm.detaches, 1);
}

/* It has been told that it is out: another time is not what it asked for. */
Test(daemon_detach_requests, token_of_what_was_gone_already)
{
	start();
	let_go();
	expect(ARGS "," TOKEN, "\"state\":\"released\"");
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_idle(d.event);
	expect(ARGS "," TOKEN, "\"state\":\"waiting\"");
	cr_assert_eq(fake_vmm.detaches, 0);
}

/* A late one of somebody else's does not make the first one new. */
Test(daemon_detach_requests, tokens_of_what_was_gone_already)
{
	start();
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	let_go();
	testing_answered(&one, "ok ");
	expect(ARGS ",\"client_token\":\"token-2\"", "\"state\":\"released\"");
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	expect(ARGS "," TOKEN, "\"state\":\"waiting\"");
	cr_assert_eq(fake_vmm.detaches, 1);
}

/* It is gone, whatever can be written. */
Test(daemon_detach_requests, token_of_what_was_gone_already_that_cannot_be_written)
{
	start();
	let_go();
	no_room_for = "assignment-" TVM0;
	expect(ARGS "," TOKEN, "\"state\":\"released\"");
}

/* What was refused is nothing that was done under it, also when others do it later. */
Test(daemon_detach_requests, token_of_what_was_refused)
{
	start();
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	expect(ARGS "," TOKEN, "Refused ");
	cr_assert_eq(testing_records(&d, "assignment", "token-1"), 0);
	let_go();
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	fake_vmm.detach_result = 0;
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 2);
	detach();
	testing_answered(&one, "\"state\":\"released\"");
}

Test(daemon_detach_requests, token_that_cannot_be_written)
{
	start();
	no_room_for = "assignment-" TVM0;
	expect(ARGS "," TOKEN, "detach: its record cannot be written");
	cr_assert_eq(fake_vmm.detaches, 0);
	no_room_for = NULL;
	ask(&one, ARGS "," TOKEN, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	let_go();
	testing_answered(&one, "ok ");
}

/* What a control plane is told that asks for both at once. */
Test(daemon_detach_requests, attach_meanwhile)
{
	start();
	ask(&one, ARGS, false);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_ask(&two, "Attach", "{\"domain\":\"tvm0\",\"device\":\"" TDI "\"}", false);
	testing_answered(&two, "it is there as " ALIAS ", and being detached");
	let_go();
	testing_answered(&one, "ok ");
	fake_vmm.attach_xml = WITH;
	fake_vmm.attach_alias = ALIAS;
	testing_ask(&two, "Attach",
		    "{\"domain\":\"tvm0\",\"device\":\"" TDI "\",\"name\":\"" ALIAS "\"}", false);
	testing_answered(&two, "ok ");
}
