/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wait for a guest, while its domain is paused and when it goes on. */
#include "testing-tdi.h"

#include "daemon/guest-timer.h"

#define MSEC 1000ULL

TestSuite(daemon_guest_timer, .init = set_up, .fini = tear_down);

static Assignment *assignment(void)
{
	return testing_assignment(&d, 0, ALIAS);
}

static void set_paused(bool paused)
{
	fake_vmm.paused = paused;
	fake_vmm_dirty(TVM0, paused ? VMM_DIRTY_PAUSED : VMM_DIRTY_RESUMED, NULL);
	testing_idle(d.event);
}

/* Longer than the guest's time, whatever the loop has to do. */
static void wait_longer(void)
{
	uint64_t end, now;

	sd_event_now(d.event, CLOCK_BOOTTIME, &end);
	end += 2 * d.guest_timeout_ms * MSEC;
	do {
		cr_assert_geq(sd_event_run(d.event, 10 * MSEC), 0);
		sd_event_now(d.event, CLOCK_BOOTTIME, &now);
	} while (now < end);
}

Test(daemon_guest_timer, stands_still_while_waiting_for_the_agent)
{
	d.guest_timeout_ms = 300;
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	set_paused(true);
	cr_assert_null(assignment()->guest_timer);
	cr_assert_gt(assignment()->guest_timer_left, 0);
	cr_assert_leq(assignment()->guest_timer_left, 300 * MSEC);
	wait_longer();
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	set_paused(false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(assignment()->guest_timer_left, 0);
}

Test(daemon_guest_timer, stands_still_while_waiting_for_a_verdict)
{
	d.guest_timeout_ms = 300;
	testing_daemon_start(&d);
	lock();
	set_paused(true);
	wait_longer();
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	set_paused(false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

/* What is left is what was left: pausing gives no time. */
Test(daemon_guest_timer, only_what_is_left)
{
	uint64_t left;

	d.guest_timeout_ms = 3600000;
	testing_daemon_start(&d);
	lock();
	set_paused(true);
	left = assignment()->guest_timer_left;
	cr_assert_lt(left, 3600000 * MSEC);
	set_paused(false);
	cr_assert_not_null(assignment()->guest_timer);
	cr_assert_eq(assignment()->guest_timer_left, 0);
	set_paused(true);
	cr_assert_leq(assignment()->guest_timer_left, left);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_leq(assignment()->guest_timer_left, left, "read again, still paused");
}

/* The device comes, is locked, and leaves while nothing moves in the guest. */
Test(daemon_guest_timer, starts_and_ends_while_paused)
{
	d.guest_timeout_ms = 3600000;
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	set_paused(true);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_null(assignment()->guest_timer);
	cr_assert_eq(assignment()->guest_timer_left, 3600000 * MSEC);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(assignment()->guest_timer_left, 0);
	set_paused(false);
	cr_assert_null(assignment()->guest_timer);
}

Test(daemon_guest_timer, restart_while_paused)
{
	d.guest_timeout_ms = 300;
	testing_daemon_start(&d);
	lock();
	set_paused(true);
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_idle(d.event);
	wait_longer();
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	set_paused(false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}
