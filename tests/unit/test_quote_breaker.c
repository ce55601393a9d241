/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/breaker.h"

#include <criterion/criterion.h>

Test(quote_breaker, opens_after_failures_in_a_row)
{
	Breaker breaker = {};

	for (unsigned i = 1; i < BREAKER_FAILURES; i++)
		cr_assert_not(breaker_failed(&breaker, false, 0));
	breaker_succeeded(&breaker);
	for (unsigned i = 1; i < BREAKER_FAILURES; i++)
		cr_assert_not(breaker_failed(&breaker, false, 0));
	cr_assert_eq(breaker.state, BREAKER_CLOSED);
	cr_assert_not(breaker_probe(&breaker, UINT64_MAX));
	cr_assert(breaker_failed(&breaker, false, 1000));
	cr_assert_eq(breaker.state, BREAKER_OPEN);
	cr_assert_eq(breaker.until_usec, 1000 + BREAKER_WAIT_USEC);
}

Test(quote_breaker, opens_at_once_where_nobody_is)
{
	Breaker breaker = {};

	cr_assert(breaker_failed(&breaker, true, 0));
	cr_assert_eq(breaker.state, BREAKER_OPEN);
	/* Another that was under way then is no news, and does not make the wait longer. */
	cr_assert_not(breaker_failed(&breaker, true, 100));
	cr_assert_eq(breaker.until_usec, BREAKER_WAIT_USEC);
}

Test(quote_breaker, probes_one_at_a_time_and_waits_longer)
{
	Breaker breaker = {};
	uint64_t now = 0, wait = BREAKER_WAIT_USEC;

	breaker_failed(&breaker, true, now);
	for (int i = 0; i < 40; i++) {
		cr_assert_not(breaker_probe(&breaker, now + wait - 1));
		now += wait;
		cr_assert(breaker_probe(&breaker, now));
		cr_assert_eq(breaker.state, BREAKER_PROBING);
		cr_assert_not(breaker_probe(&breaker, now));
		cr_assert_not(breaker_failed(&breaker, false, now), "was not closed");
		cr_assert_eq(breaker.state, BREAKER_OPEN);
		wait = 2 * wait < BREAKER_WAIT_MAX_USEC ? 2 * wait : BREAKER_WAIT_MAX_USEC;
		cr_assert_eq(breaker.until_usec, now + wait);
	}
	breaker_probe(&breaker, now + wait);
	breaker_succeeded(&breaker);
	cr_assert_eq(breaker.state, BREAKER_CLOSED);
	breaker_failed(&breaker, true, 0);
	cr_assert_eq(breaker.until_usec, BREAKER_WAIT_USEC, "a success forgets");
}
