/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/held-timers.c: timers that are under way when tdid is restarted: they go on, and go off
 * when it is time. */
#include "testing-tdi.h"

#include "daemon/records.h"
#include "rpc/event-loop.h"

#define HOUR_MS	    3600000
#define HOUR	    (HOUR_MS * UINT64_C(1000))
#define MOMENT	    (5 * UINT64_C(1000000)) /* guest-timer.c */
#define OVERDUE	    1
#define FAR	    ((uint64_t)INT64_MAX)
#define NEGATIVE    ((uint64_t)INT64_MIN)
#define NOT_WRITTEN 0

TestSuite(daemon_held_timers, .init = set_up, .fini = tear_down);

static Assignment *assignment(void)
{
	return testing_assignment(&d, 0, ALIAS);
}

static Dsm *the_dsm(void)
{
	return registry_dsm_at(d.tdid.registry, 0);
}

static void restart(void)
{
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	UNTIL(d.event, !assignment()->timers_held);
}

/* libvirt lists its domains, and shows none of them yet. */
static void restart_unseen(void)
{
	testing_daemon_stop(&d);
	fake_vmm.hold = true;
	testing_daemon_start(&d);
	testing_idle(d.event);
}

/* What the record is to say when tdid starts the next time. */
static void record_guest(uint64_t until, uint64_t left)
{
	assignment()->guest_until_usec = until;
	assignment()->guest_timer_left = left;
	cr_assert_eq(records_write_assignment(&d.tdid, assignment()), 0);
}

static void expect_armed(uint64_t earliest, uint64_t latest)
{
	uint64_t usec;

	cr_assert_not_null(assignment()->guest_timer);
	cr_assert_geq(sd_event_source_get_time(assignment()->guest_timer, &usec), 0);
	cr_assert_eq(usec, assignment()->guest_until_usec);
	cr_assert_geq(usec, earliest);
	cr_assert_leq(usec, latest);
}

/* --- the wait for the guest --- */

Test(daemon_held_timers, wait_for_the_agent_goes_on)
{
	uint64_t until;

	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	until = assignment()->guest_until_usec;
	cr_assert_eq(testing_records(&d, "assignment", "\"guest_until_usec\":"), 1);
	restart();
	expect_armed(until, until);
	restart();
	expect_armed(until, until);
}

Test(daemon_held_timers, wait_for_a_verdict_goes_on)
{
	uint64_t until;

	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	until = assignment()->guest_until_usec;
	restart();
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	expect_armed(until, until);
	/* Which ends with the verdict. */
	tdi()->state = "run";
	tdi()->accepted = true;
	provider_ask_again(d.tdid.providers[0]);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	cr_assert_eq(testing_records(&d, "assignment", "\"guest_until_usec\":"), 0);
}

/* It has a moment for what it could not say while tdid was away. */
Test(daemon_held_timers, overdue_wait_is_over_a_moment_after_domain_and_tsm_are_seen)
{
	uint64_t now;

	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	record_guest(OVERDUE, 0);
	restart_unseen();
	cr_assert(provider_is_ready(d.tdid.providers[0]));
	cr_assert_null(assignment()->guest_timer, "libvirt has not shown it yet");
	fake_vmm_let_go();
	now = boottime_usec();
	UNTIL(d.event, !assignment()->timers_held);
	expect_armed(now + MOMENT, boottime_usec() + MOMENT);
	cr_assert_geq(sd_event_source_set_time(assignment()->guest_timer, OVERDUE), 0);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

Test(daemon_held_timers, wait_is_held_while_the_tsm_is_away)
{
	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	record_guest(OVERDUE, 0);
	testing_daemon_stop(&d);
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_gt(assignment()->tvm->domain->reads_ended, 0);
	cr_assert_null(assignment()->guest_timer);
	/* It was accepted meanwhile. */
	tdi()->state = "run";
	tdi()->accepted = true;
	fake_tsm_start(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	UNTIL(d.event, !assignment()->timers_held);
	cr_assert_null(assignment()->guest_timer);
}

/* What keeps libvirt's XML from being read keeps no guest waiting without end. */
Test(daemon_held_timers, domain_whose_xml_cannot_be_read)
{
	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	testing_daemon_stop(&d);
	fake_vmm_domain(TVM0, "tvm0", "<domain>");
	testing_daemon_start(&d);
	UNTIL(d.event, !assignment()->timers_held);
	cr_assert_not_null(assignment()->guest_timer);
}

Test(daemon_held_timers, domain_that_was_paused_meanwhile)
{
	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	record_guest(OVERDUE, 0);
	testing_daemon_stop(&d);
	fake_vmm.paused = true;
	testing_daemon_start(&d);
	UNTIL(d.event, !assignment()->timers_held);
	cr_assert_null(assignment()->guest_timer);
	cr_assert_eq(assignment()->guest_timer_left, MOMENT);
	cr_assert_eq(testing_records(&d, "assignment", "\"guest_left_usec\":"), 1);
	cr_assert_eq(testing_records(&d, "assignment", "\"guest_until_usec\":"), 0);
}

Test(daemon_held_timers, domain_that_stays_paused)
{
	uint64_t left;

	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	fake_vmm.paused = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_PAUSED, NULL);
	UNTIL(d.event, assignment()->guest_timer_left > 0);
	left = assignment()->guest_timer_left;
	cr_assert_lt(left, HOUR);
	restart();
	cr_assert_eq(assignment()->guest_timer_left, left);
	cr_assert_null(assignment()->guest_timer);
}

Test(daemon_held_timers, domain_that_goes_on_meanwhile)
{
	uint64_t until;

	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	record_guest(0, HOUR / 2);
	restart();
	expect_armed(boottime_usec() + HOUR / 3, boottime_usec() + HOUR / 2);
	cr_assert_eq(testing_records(&d, "assignment", "\"guest_left_usec\":"), 0);
	until = assignment()->guest_until_usec;
	restart();
	expect_armed(until, until);
}

/* Its agent answers: from there on it has as long as any. */
Test(daemon_held_timers, guest_that_has_booted_waits_anew_on_record)
{
	uint64_t until;

	d.boot_timeout_ms = 2 * HOUR_MS;
	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	until = assignment()->guest_until_usec;
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	UNTIL(d.event, assignment()->guest_until_usec != until);
	until = assignment()->guest_until_usec;
	restart();
	expect_armed(until, until);
}

/* As they were written until version 6; once only. */
Test(daemon_held_timers, record_without_the_time)
{
	uint64_t until;

	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	record_guest(NOT_WRITTEN, NOT_WRITTEN);
	cr_assert_eq(testing_records(&d, "assignment", "\"guest_until_usec\":"), 0);
	restart();
	expect_armed(boottime_usec() + HOUR / 2, boottime_usec() + HOUR);
	until = assignment()->guest_until_usec;
	restart();
	expect_armed(until, until);
}

Test(daemon_held_timers, spoiled_times)
{
	static const struct {
		uint64_t until, left;
	} spoiled[] = {
		{ FAR, 0 }, { NEGATIVE, 0 }, { 0, NEGATIVE }, { NEGATIVE, NEGATIVE }, { 0, FAR },
	};

	d.guest_timeout_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	for (size_t i = 0; i < ELEMENTSOF(spoiled); i++) {
		record_guest(spoiled[i].until, spoiled[i].left);
		restart();
		cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
		expect_armed(boottime_usec() + HOUR / 2, boottime_usec() + HOUR);
	}
}

/* --- the wait before it is bound again --- */

static void wait_for_retry(void)
{
	d.config = "\"on_error\":\"rebind\",\"rebind_backoff_ms\":3600000,";
	d.tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, assignment() && assignment()->retry_timer);
	d.tsm->answers[FAKE_BIND] = FAKE_DONE;
}

static void record_retry(uint64_t until)
{
	assignment()->retry_until_usec = until;
	cr_assert_eq(records_write_assignment(&d.tdid, assignment()), 0);
}

Test(daemon_held_timers, wait_before_a_rebind_goes_on)
{
	uint64_t until;

	wait_for_retry();
	until = assignment()->retry_until_usec;
	cr_assert_eq(testing_records(&d, "assignment", "\"retry_until_usec\":"), 1);
	restart();
	cr_assert_not_null(assignment()->retry_timer);
	cr_assert_eq(assignment()->retry_until_usec, until);
}

Test(daemon_held_timers, overdue_rebind_waits_until_the_domain_is_seen)
{
	wait_for_retry();
	record_retry(OVERDUE);
	restart_unseen();
	cr_assert_null(assignment()->retry_timer);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_ATTACHED);
	fake_vmm_let_go();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
}

Test(daemon_held_timers, spoiled_time_of_a_rebind)
{
	static const uint64_t spoiled[] = { FAR, NEGATIVE, NOT_WRITTEN };

	wait_for_retry();
	for (size_t i = 0; i < ELEMENTSOF(spoiled); i++) {
		record_retry(spoiled[i]);
		restart();
		cr_assert_not_null(assignment()->retry_timer);
		cr_assert_gt(assignment()->retry_until_usec, boottime_usec() + HOUR / 2);
		cr_assert_leq(assignment()->retry_until_usec, boottime_usec() + HOUR);
	}
}

/* Rebound, and running since. */
Test(daemon_held_timers, time_to_run_steadily_goes_on)
{
	uint64_t until;

	d.config = "\"on_error\":\"rebind\",\"rebind_backoff_ms\":1,\"rebind_steady_ms\":3600000,";
	testing_daemon_start(&d);
	run();
	fake_tsm_set(d.tsm, tdi(), "error", true);
	UNTIL(d.event, tdi()->generation == 2);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	testing_guest_send(ACCEPT);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	until = assignment()->retry_until_usec;
	cr_assert_gt(until, 0);
	restart();
	cr_assert_not_null(assignment()->retry_timer);
	cr_assert_eq(assignment()->retry_until_usec, until);
}

/* --- the grace of a DSM --- */

static void be_idle(void)
{
	d.idle_grace_ms = HOUR_MS;
	testing_daemon_start(&d);
	lock();
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
}

static void record_grace(uint64_t until)
{
	the_dsm()->idle_until_usec = until;
	cr_assert_eq(records_write_dsm(&d.tdid, the_dsm()), 0);
}

static void expect_grace(uint64_t earliest, uint64_t latest)
{
	UNTIL(d.event, !the_dsm()->idle_held);
	cr_assert_not_null(the_dsm()->idle);
	cr_assert_geq(the_dsm()->idle_until_usec, earliest);
	cr_assert_leq(the_dsm()->idle_until_usec, latest);
}

Test(daemon_held_timers, grace_goes_on)
{
	uint64_t until;

	be_idle();
	until = the_dsm()->idle_until_usec;
	cr_assert_eq(testing_records(&d, "dsm", "\"idle_until_usec\":"), 1);
	restart();
	expect_grace(until, until);
}

Test(daemon_held_timers, overdue_grace_waits_until_all_domains_are_seen)
{
	be_idle();
	record_grace(OVERDUE);
	restart_unseen();
	cr_assert(the_dsm()->idle_held);
	cr_assert_eq(dsm()->state, DSM_CONNECTED);
	fake_vmm_let_go();
	UNTIL(d.event, dsm()->state == DSM_IDLE);
}

/* It was plugged while tdid was away. */
Test(daemon_held_timers, overdue_grace_of_what_is_needed_again)
{
	be_idle();
	record_grace(OVERDUE);
	testing_daemon_stop(&d);
	fake_vmm_domain(TVM0, "tvm0", WITH);
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	UNTIL(d.event, !the_dsm()->idle_held);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0);
	cr_assert_eq(dsm()->state, DSM_CONNECTED);
}

Test(daemon_held_timers, overdue_grace_where_nothing_runs)
{
	be_idle();
	record_grace(OVERDUE);
	testing_daemon_stop(&d);
	testing_daemon_kill(&d, 0);
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert(the_dsm()->idle_held, "its TSM is away");
	fake_tsm_start(d.tsm);
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
}

Test(daemon_held_timers, spoiled_grace)
{
	static const uint64_t spoiled[] = { FAR, NEGATIVE, NOT_WRITTEN };

	be_idle();
	for (size_t i = 0; i < ELEMENTSOF(spoiled); i++) {
		record_grace(spoiled[i]);
		restart();
		expect_grace(boottime_usec() + HOUR / 2, boottime_usec() + HOUR);
	}
}

/* How often it was refused counts on, too: the wait is not cut short to the grace. */
Test(daemon_held_timers, backoff_of_a_refused_reclaim_goes_on)
{
	uint64_t until;

	d.idle_grace_ms = 1;
	d.config = "\"rebind_backoff_ms\":3600000,";
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_REFUSE;
	testing_daemon_start(&d);
	lock();
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	UNTIL(d.event, d.tsm->calls[FAKE_DISCONNECT] > 0 && dsm()->state == DSM_CONNECTED);
	until = the_dsm()->idle_until_usec;
	restart();
	expect_grace(until, until);
	cr_assert_eq(the_dsm()->idle_tries, 1);
}
