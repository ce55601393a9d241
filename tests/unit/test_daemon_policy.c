/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of a device with a fault, through all of tdid. */
#include "testing-tdi.h"

#include "rpc/event-loop.h"

#include <errno.h>
#include <string.h>

TestSuite(daemon_policy, .init = set_up, .fini = tear_down);

#define METADATA(policy)                                                                           \
	"<metadata><tdi:policy xmlns:tdi='urn:tdid:domain:1' " policy "/></metadata>"
#define UNDER(policy)                                                                              \
	"<domain type='kvm'><name>tvm</name><uuid>" TVM0                                           \
	"</uuid>" METADATA(policy) "<devices>" TESTING_PORT                                        \
	TESTING_HOSTDEV(ALIAS, "1") "</devices></domain>"

static bool is_marked(const char *mark)
{
	const Timeline *timeline = &testing_assignment(&d, 0, ALIAS)->timeline;
	_cleanup_(json_unrefp) json_object *marks = NULL;

	cr_assert_eq(timeline_to_json(timeline, &marks), 0);
	return strstr(json_object_to_json_string(marks), mark);
}

static void reject(void)
{
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"rejected\","
			    "\"step\":\"report\",\"reason\":\"no\"");
}

Test(daemon_policy, held)
{
	d.config = "\"on_reject\":\"hold\",";
	testing_daemon_start(&d);
	lock();
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_HELD);
	cr_assert_eq(fake_vmm.detaches, 0);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "detach it, or restart"));
	cr_assert_eq(testing_records(&d, "assignment", "\"state\":\"held\""), 1);
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_HELD);
	cr_assert_eq(fake_vmm.detaches, 0);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
}

/* Ids are used again, and every TDI counts its generations from 1. */
Test(daemon_policy, detach_of_another_one_that_is_answered_late)
{
	uint32_t id;

	testing_daemon_start(&d);
	lock();
	id = testing_assignment(&d, 0, ALIAS)->id;
	fake_vmm.hold_detaches = true;
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = -1;
	testing_daemon_run(&d, 1, TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")));
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_WAITING);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	cr_assert(testing_guest_gets(&d, "\"Offer\""));
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_LOCKED);
	reject();
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_DETACHING);
	UNTIL(d.event, fake_vmm.detaches == 2);
	cr_assert_eq(testing_assignment(&d, 1, ALIAS)->id, id);
	cr_assert_eq(engine_assignment(d.tdid.engine, id)->generation, 1);
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	fake_vmm_answer_one();
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 1, ALIAS), ASSIGNMENT_DETACHING);
	/* That is its own. */
	fake_vmm_answer_one();
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_HELD);
}

Test(daemon_policy, bound_again)
{
	d.config = "\"on_error\":\"rebind\",\"rebind_backoff_ms\":1,\"rebinds\":1,";
	testing_daemon_start(&d);
	run();
	fake_tsm_set(d.tsm, tdi(), "error", true);
	UNTIL(d.event, tdi()->generation == 2);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert(is_marked("1 of 1"));
	cr_assert_null(testing_assignment(&d, 0, ALIAS)->reason);
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_HELD);
	cr_assert_eq(fake_vmm.detaches, 0);
}

Test(daemon_policy, restart_while_it_waits)
{
	d.config = "\"on_error\":\"rebind\",\"rebind_backoff_ms\":3600000,";
	testing_daemon_start(&d);
	run();
	fake_tsm_set(d.tsm, tdi(), "error", true);
	UNTIL(d.event, testing_records(&d, "assignment", "\"retry_timer\":true") == 1);
	testing_daemon_stop(&d);
	d.config = "\"on_error\":\"rebind\",\"rebind_backoff_ms\":1,";
	testing_daemon_start(&d);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_B);
	UNTIL(d.event, tdi()->generation == 2);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(engine_assignment(d.tdid.engine, 0)->rebinds, 1);
}

/* It may only tighten, and it may do so at any time. */
Test(daemon_policy, of_the_metadata)
{
	d.config = "\"on_reject\":\"hold\",\"on_error\":\"rebind\",\"rebind_backoff_ms\":1,";
	testing_daemon_start(&d);
	run();
	testing_daemon_change(&d, 0, VMM_DIRTY_METADATA, NULL,
			      UNDER("on-reject='rebind' on-error='hold'"));
	UNTIL(d.event, testing_records(&d, "assignment", "\"on_error\":\"hold\"") == 1);
	cr_assert_eq(testing_records(&d, "assignment", "\"on_reject\":\"hold\""), 1);
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_HELD);
}

Test(daemon_policy, of_the_metadata_that_makes_no_sense)
{
	d.config = "\"on_error\":\"hold\",";
	testing_daemon_start(&d);
	run();
	testing_daemon_change(&d, 0, VMM_DIRTY_METADATA, NULL, UNDER("on-error='stay'"));
	UNTIL(d.event, testing_records(&d, "assignment", "\"on_error\":\"detach\"") == 1);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

Test(daemon_policy, shorter_wait_of_the_metadata)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, UNDER("accept-timeout='1'"));
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(testing_records(&d, "assignment", "\"guest_timeout_usec\":1000000"), 1);
	for (int turns = 0; testing_state(&d, 0, ALIAS) == ASSIGNMENT_WAITING; turns++) {
		cr_assert_lt(turns, 10);
		testing_turn(d.event);
	}
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "did not get ready"));
}

/* The read that would decide is lost, at once or later; the next one that comes decides. */
static void decided_after_all(int refused, int result, VmmDirtyReason reason)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.read_refused = refused;
	fake_vmm.read_result = result;
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_ATTACHED);
	fake_vmm.read_refused = fake_vmm.read_result = 0;
	fake_vmm_dirty(TVM0, reason, NULL);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

Test(daemon_policy, libvirt_cannot_be_asked)
{
	decided_after_all(-EHOSTUNREACH, 0, VMM_DIRTY_REACHABLE);
}

Test(daemon_policy, libvirt_goes_before_it_has_answered)
{
	decided_after_all(0, -ENOTCONN, VMM_DIRTY_LIFECYCLE);
}

static void is_asked(unsigned int times)
{
	while (fake_vmm.detaches < times)
		cr_assert_gt(sd_event_run(d.event, 3000000), 0);
}

/* It is asked for again, though nothing tells that libvirt can do it now. */
static void taken_out_after_all(int refused, int result)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.detach_refused = refused;
	fake_vmm.detach_result = result;
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_DETACHING);
	cr_assert_eq(fake_vmm.detaches, refused ? 0 : 1);
	fake_vmm.detach_refused = fake_vmm.detach_result = 0;
	is_asked(refused ? 1 : 2);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
}

Test(daemon_policy, libvirt_is_away_when_it_is_to_be_taken_out)
{
	taken_out_after_all(-ENOTCONN, 0);
}

Test(daemon_policy, libvirt_is_busy_when_it_is_to_be_taken_out)
{
	taken_out_after_all(0, VMM_DETACH_BUSY);
}

Test(daemon_policy, guest_that_refuses_to_let_it_go)
{
	testing_daemon_start(&d);
	run();
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	UNTIL(d.event, fake_vmm.detaches == 1);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_REMOVAL_FAILED, ALIAS);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 1, "not at once: it could go on so");
	is_asked(2);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_DETACHING);
}

/* Its slot may have been blinking from the attach: nothing tells that it has taken no notice. */
Test(daemon_policy, guest_that_takes_no_notice)
{
	uint64_t at, wait = 0;
	Assignment *a;

	testing_daemon_start(&d);
	run();
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	a = testing_assignment(&d, 0, ALIAS);
	for (unsigned int times = 1; times < 5; times++) {
		UNTIL(d.event, fake_vmm.detaches == times);
		testing_idle(d.event);
		cr_assert_eq(fake_vmm.detaches, times, "not at once");
		cr_assert_not_null(a->detach_timer);
		cr_assert_geq(sd_event_source_get_time(a->detach_timer, &at), 0);
		cr_assert_geq(at, boottime_usec() + 10000000);
		cr_assert(a->detach_guest_usec > wait || wait == 60000000);
		wait = a->detach_guest_usec;
		sd_event_source_set_time(a->detach_timer, boottime_usec());
	}
	UNTIL(d.event, fake_vmm.detaches == 5);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
}

Test(daemon_policy, restart_before_it_is_decided)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.hold = true;
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	testing_daemon_stop(&d);
	cr_assert_eq(testing_records(&d, "assignment", "\"state\":\"attached\""), 1);
	fake_vmm.hold = false;
	testing_daemon_start(&d);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_B);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

/* It is opened anew after a while. */
static void await_port(void)
{
	for (int turns = 0; fake_vmm.guest_fd < 0; turns++) {
		cr_assert_lt(turns, 40);
		testing_turn(d.event);
	}
	testing_idle(d.event);
}

/* The device fails, and libvirt, which would tell of a reset of its guest, is away. */
static void fail_without_libvirt(void)
{
	testing_daemon_start(&d);
	run();
	fake_vmm_disconnect();
	testing_idle(d.event);
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	fake_vmm_connect();
	await_port();
	if (d.boot_timeout_ms == 0)
		cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_ATTACHED);
}

Test(daemon_policy, guest_that_is_reset_while_libvirt_is_away)
{
	fail_without_libvirt();
	testing_guest_send(
		"|{\"session\":\"" SESSION_B "\",\"id\":1,\"call\":\"Hello\","
		"\"parameters\":{\"protocol\":1,\"agent\":\"fake\",\"boot_id\":\"c\"}}|");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_B, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(fake_vmm.detaches, 0);
}

Test(daemon_policy, guest_that_is_not_reset_while_libvirt_is_away)
{
	fail_without_libvirt();
	testing_guest_hello(SESSION_B);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

Test(daemon_policy, guest_that_does_not_say_whether_it_was_reset)
{
	d.boot_timeout_ms = 10;
	fail_without_libvirt();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

/* It waits to be bound again, and may have been reset when it is time. */
static void wait_without_libvirt(void)
{
	d.config = "\"on_error\":\"rebind\",\"rebind_backoff_ms\":500,";
	testing_daemon_start(&d);
	run();
	fake_tsm_set(d.tsm, tdi(), "error", true);
	UNTIL(d.event, testing_records(&d, "assignment", "\"retry_timer\":true") == 1);
	fake_vmm_disconnect();
	fake_vmm_connect();
	await_port();
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS)->retry_timer);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_ATTACHED);
	cr_assert_eq(tdi()->generation, 0);
}

Test(daemon_policy, rebind_of_a_guest_that_is_not_reset_while_libvirt_is_away)
{
	wait_without_libvirt();
	testing_guest_hello(SESSION_B);
	UNTIL(d.event, tdi()->generation == 2);
	cr_assert_eq(engine_assignment(d.tdid.engine, 0)->rebinds, 1);
}

Test(daemon_policy, rebind_of_a_guest_that_is_reset_while_libvirt_is_away)
{
	wait_without_libvirt();
	testing_guest_send(
		"|{\"session\":\"" SESSION_B "\",\"id\":1,\"call\":\"Hello\","
		"\"parameters\":{\"protocol\":1,\"agent\":\"fake\",\"boot_id\":\"c\"}}|");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 1);
	cr_assert_eq(engine_assignment(d.tdid.engine, 0)->rebinds, 0);
}

/* Each connection is a doubt, but there is one end of them. */
Test(daemon_policy, guest_that_does_not_say_it_while_libvirt_comes_and_goes)
{
	uint64_t first, at;
	const Tvm *tvm;

	fail_without_libvirt();
	tvm = testing_assignment(&d, 0, ALIAS)->tvm;
	cr_assert_geq(sd_event_source_get_time(tvm->boot_doubt, &first), 0);
	fake_vmm_disconnect();
	testing_idle(d.event);
	fake_vmm_connect();
	testing_idle(d.event);
	cr_assert_geq(sd_event_source_get_time(tvm->boot_doubt, &at), 0);
	cr_assert_eq(at, first);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_ATTACHED);
}

/* The device fails because QEMU resets it; libvirt's word comes after the TSM's. */
Test(daemon_policy, guest_that_is_reset)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.hold = true;
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	fake_vmm.hold = false;
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(fake_vmm.detaches, 0);
	cr_assert(is_marked("guest reset"));
	/* The agent of before is no more: its port is opened anew. */
	for (int turns = 0; fake_vmm.opens < 2; turns++) {
		cr_assert_lt(turns, 10);
		testing_turn(d.event);
	}
	testing_idle(d.event);
	testing_guest_hello(SESSION_B);
	cr_assert(testing_guest_gets(&d, "\"Offer\""));
	testing_guest_event(SESSION_B, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(tdi()->generation, 2);
}

/* A read that was under way when it failed says nothing of what has happened since. */
Test(daemon_policy, read_of_before)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_PAUSED, NULL);
	testing_idle(d.event);
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	fake_vmm_answer_one();
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_ATTACHED);
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

/* What libvirt refuses to tell is asked again, and decided then. */
Test(daemon_policy, libvirt_that_does_not_tell)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.read_result = -EREMOTEIO;
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_ATTACHED);
	fake_vmm.read_result = 0;
	for (int turns = 0; testing_state(&d, 0, ALIAS) != ASSIGNMENT_DETACHING; turns++) {
		cr_assert_lt(turns, 20);
		testing_turn(d.event);
	}
}

/* libvirt's word of the reset may come after its answer: the guest has the device nowhere then. */
Test(daemon_policy, guest_that_is_reset_and_libvirt_is_late)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.hold = true;
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	fake_vmm_place(ALIAS, 0, 0, 0);
	fake_vmm.hold = false;
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(fake_vmm.detaches, 0);
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	cr_assert_eq(fake_vmm.detaches, 0);
}

/* A failed read waits to be tried again, and the one that decides joins it. */
Test(daemon_policy, read_that_joins_a_failed_one)
{
	testing_daemon_start(&d);
	run();
	fake_vmm.read_result = -EREMOTEIO;
	fake_vmm_dirty(TVM0, VMM_DIRTY_PAUSED, NULL);
	testing_idle(d.event);
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	testing_idle(d.event);
	fake_vmm.read_result = 0;
	for (int turns = 0; testing_state(&d, 0, ALIAS) != ASSIGNMENT_DETACHING; turns++) {
		cr_assert_lt(turns, 20);
		testing_turn(d.event);
	}
}

static void error_under(const char *xml)
{
	testing_daemon_start(&d);
	run();
	testing_daemon_change(&d, 0, VMM_DIRTY_METADATA, NULL, xml);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

/* What cannot be read is no reason to wait for ever. */
Test(daemon_policy, xml_that_cannot_be_read)
{
	error_under("<domain type='kvm'><name>tvm</name><uuid>" TVM0 "</uuid><metadata>");
}

Test(daemon_policy, malformed_declaration)
{
	error_under("<domain type='kvm'><name>tvm</name><uuid>" TVM0
		    "</uuid><metadata><tdi:device xmlns:tdi='urn:tdid:domain:1'/>"
		    "</metadata><devices>" TESTING_PORT TESTING_HOSTDEV(ALIAS, "1") "</devices>"
										    "</domain>");
}
