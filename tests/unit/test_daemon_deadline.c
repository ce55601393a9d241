/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/deadline.h"

#include "rpc/event-loop.h"

#include <criterion/criterion.h>

#define HOUR (3600 * UINT64_C(1000000))

static void expect_within(uint64_t deadline, uint64_t before, uint64_t usec)
{
	cr_assert_geq(deadline, before + usec);
	cr_assert_leq(deadline, boottime_usec() + usec);
}

/* It is written as a JSON integer. */
Test(daemon_deadline, too_long_for_a_record)
{
	cr_assert_eq(deadline_after(INT64_MAX), INT64_MAX);
	cr_assert_eq(deadline_after(UINT64_MAX), INT64_MAX);
	cr_assert_eq(deadline_restored(INT64_MAX, UINT64_MAX), INT64_MAX);
}

Test(daemon_deadline, none_on_record)
{
	uint64_t now = boottime_usec();

	expect_within(deadline_restored(0, HOUR), now, HOUR);
}

Test(daemon_deadline, too_far_in_the_future)
{
	uint64_t now = boottime_usec();

	expect_within(deadline_restored(now + 2 * HOUR, HOUR), now, HOUR);
	expect_within(deadline_restored(UINT64_MAX, HOUR), now, HOUR);
	cr_assert_leq(deadline_restored(now + 2 * HOUR, 0), boottime_usec());
}

Test(daemon_deadline, as_recorded)
{
	uint64_t deadline = boottime_usec() + HOUR / 2;

	cr_assert_eq(deadline_restored(deadline, HOUR), deadline);
	cr_assert_eq(deadline_restored(1, HOUR), 1);
}

Test(daemon_deadline, left)
{
	uint64_t left = deadline_left(deadline_after(HOUR));

	cr_assert_gt(left, 0);
	cr_assert_leq(left, HOUR);
	cr_assert_eq(deadline_left(1), 0);
	cr_assert_eq(deadline_left(0), 0);
}
