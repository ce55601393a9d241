/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/breaker.h"

#include <criterion/criterion.h>

static void fail(Breaker *breaker, unsigned n)
{
	while (n-- > 0)
		breaker_failed(breaker, false, 0);
}

Test(quote_breaker, failures_in_a_row_are_looked_into)
{
	Breaker breaker = {};

	fail(&breaker, BREAKER_FAILURES - 1);
	breaker_answered(&breaker);
	fail(&breaker, BREAKER_FAILURES - 1);
	cr_assert_eq(breaker.state, BREAKER_CLOSED);
	cr_assert(breaker_is_suspect(&breaker));
	fail(&breaker, 1);
	/* They may have been the requests' fault. */
	cr_assert_eq(breaker.state, BREAKER_PROBING);
	breaker_checked(&breaker, true, 0);
	cr_assert_eq(breaker.state, BREAKER_CLOSED);
	cr_assert(breaker_is_suspect(&breaker), "it has answered a check, and no request");
	fail(&breaker, 1);
	cr_assert_eq(breaker.state, BREAKER_PROBING);
	breaker_checked(&breaker, false, 1000);
	cr_assert_eq(breaker.state, BREAKER_OPEN);
	cr_assert_eq(breaker.until_usec, 1000 + BREAKER_WAIT_USEC);
	breaker_answered(&breaker);
	cr_assert_eq(breaker.state, BREAKER_CLOSED);
	cr_assert_not(breaker_is_suspect(&breaker));
}

Test(quote_breaker, opens_at_once_where_nobody_is)
{
	Breaker breaker = {};

	breaker_failed(&breaker, true, 0);
	cr_assert_eq(breaker.state, BREAKER_OPEN);
	/* Another that was under way then is no news, and does not make the wait longer. */
	breaker_failed(&breaker, true, 100);
	fail(&breaker, 2 * BREAKER_FAILURES);
	cr_assert_eq(breaker.state, BREAKER_OPEN);
	cr_assert_eq(breaker.until_usec, BREAKER_WAIT_USEC);
}

Test(quote_breaker, probes_one_at_a_time_and_waits_longer)
{
	Breaker breaker = {};
	uint64_t now = 0, wait = BREAKER_WAIT_USEC;

	breaker_failed(&breaker, true, now);
	for (int i = 0; i < 40; i++) {
		cr_assert_not(breaker_wait_over(&breaker, now + wait - 1));
		now += wait;
		cr_assert(breaker_wait_over(&breaker, now));
		cr_assert_eq(breaker.state, BREAKER_PROBING);
		cr_assert_not(breaker_wait_over(&breaker, now));
		breaker_checked(&breaker, false, now);
		cr_assert_eq(breaker.state, BREAKER_OPEN);
		wait = 2 * wait < BREAKER_WAIT_MAX_USEC ? 2 * wait : BREAKER_WAIT_MAX_USEC;
		cr_assert_eq(breaker.until_usec, now + wait);
	}
	/* That it is there again is not yet that it is good: the wait is not forgotten. */
	cr_assert(breaker_wait_over(&breaker, now + wait));
	breaker_checked(&breaker, true, now);
	cr_assert_eq(breaker.state, BREAKER_CLOSED);
	cr_assert_not(breaker_is_suspect(&breaker));
	breaker_failed(&breaker, true, 0);
	cr_assert_eq(breaker.until_usec, BREAKER_WAIT_MAX_USEC);
	breaker_answered(&breaker);
	breaker_failed(&breaker, true, 0);
	cr_assert_eq(breaker.until_usec, BREAKER_WAIT_USEC, "an answer forgets");
	/* Nor has anybody to ask for it to be good for some time. */
	cr_assert(breaker_wait_over(&breaker, BREAKER_WAIT_USEC));
	breaker_checked(&breaker, false, 0);
	cr_assert_eq(breaker.wait_usec, 2 * BREAKER_WAIT_USEC);
	cr_assert(breaker_wait_over(&breaker, 2 * BREAKER_WAIT_USEC));
	breaker_checked(&breaker, true, 0);
	breaker_checked(&breaker, true, 0);
	breaker_failed(&breaker, true, 0);
	cr_assert_eq(breaker.until_usec, BREAKER_WAIT_USEC, "a regular check forgets");
}

Test(quote_breaker, check_of_one_that_is_asked)
{
	Breaker breaker = {};

	breaker_checked(&breaker, true, 0);
	cr_assert_eq(breaker.state, BREAKER_CLOSED);
	cr_assert_not(breaker_is_suspect(&breaker));
	fail(&breaker, BREAKER_FAILURES);
	breaker_checked(&breaker, true, 0);
	cr_assert(breaker_is_suspect(&breaker));
	breaker_checked(&breaker, true, 0);
	cr_assert_not(breaker_is_suspect(&breaker), "it gets another try");
	breaker_checked(&breaker, false, 0);
	cr_assert_eq(breaker.state, BREAKER_OPEN);
}

/* A request waits for a check, but not for one that has been away for long. */
Test(quote_breaker, is_worth_waiting_for)
{
	const uint64_t deadline = UINT64_C(15000000);
	Breaker breaker = {};
	uint64_t now = 0;
	int waits = 0;

	cr_assert_not(breaker_is_worth_waiting_for(&breaker, deadline), "it is to be asked");
	fail(&breaker, BREAKER_FAILURES);
	cr_assert(breaker_is_worth_waiting_for(&breaker, 1), "a check is under way");
	breaker_checked(&breaker, false, now);
	cr_assert(breaker_is_worth_waiting_for(&breaker, BREAKER_WAIT_USEC + 1));
	cr_assert_not(breaker_is_worth_waiting_for(&breaker, BREAKER_WAIT_USEC), "too late");
	while (breaker_is_worth_waiting_for(&breaker, now + deadline)) {
		now = breaker.until_usec;
		cr_assert(breaker_wait_over(&breaker, now));
		cr_assert(breaker_is_worth_waiting_for(&breaker, now));
		breaker_checked(&breaker, false, now);
		cr_assert_lt(++waits, 10);
	}
	/* It is known to be away; one that has only just gone is waited for. */
	cr_assert_eq(breaker.wait_usec, BREAKER_WAIT_MAX_USEC);
	cr_assert_geq(now, deadline);
	cr_assert_not(breaker_is_worth_waiting_for(&breaker, UINT64_MAX));
	breaker_answered(&breaker);
	breaker_failed(&breaker, true, now);
	cr_assert(breaker_is_worth_waiting_for(&breaker, now + deadline));
}
