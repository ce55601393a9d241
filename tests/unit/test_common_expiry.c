/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/expiry.h"

#include "quote/monotonic.h"

#include <criterion/criterion.h>

#define MS UINT64_C(1000)

static sd_event *event;
static Expiries expiries;
static char order[16]; /* names of what is over */
static size_t n_over;

static void set_up(void)
{
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_geq(expiries_init(&expiries, event, "a test's", CLOCK_MONOTONIC, 20 * MS), 0);
}

static void tear_down(void)
{
	expiries_done(&expiries);
	sd_event_unref(event);
}

TestSuite(common_expiry, .init = set_up, .fini = tear_down);

static void on_expired(void *userdata)
{
	order[n_over++] = *(const char *)userdata;
}

static void begin(Expiry *expiry, const char *name)
{
	expiry_begin(expiry, &expiries, monotonic_usec(), on_expired, (void *)name);
}

/* Until the time is over, and some. */
static void run(uint64_t usec)
{
	uint64_t end = monotonic_usec() + usec, now;

	while ((now = monotonic_usec()) < end)
		cr_assert_geq(sd_event_run(event, end - now), 0);
}

Test(common_expiry, first_that_begins_is_first_over)
{
	Expiry a = {}, b = {}, c = {};

	begin(&a, "a");
	begin(&b, "b");
	run(8 * MS);
	begin(&c, "c");
	cr_assert_eq(n_over, 0);
	run(60 * MS);
	cr_assert_str_eq(order, "abc");
	cr_assert_null(expiries.first);
	cr_assert_null(a.in);
}

Test(common_expiry, ended_in_the_middle_and_at_both_ends)
{
	Expiry a = {}, b = {}, c = {}, d = {}, e = {};

	begin(&a, "a");
	begin(&b, "b");
	begin(&c, "c");
	begin(&d, "d");
	begin(&e, "e");
	expiry_end(&a);
	expiry_end(&c);
	expiry_end(&e);
	expiry_end(&e); /* once more is nothing */
	run(60 * MS);
	cr_assert_str_eq(order, "bd");
}

Test(common_expiry, begun_anew_is_over_later)
{
	Expiry a = {}, b = {};

	begin(&a, "a");
	begin(&b, "b");
	begin(&a, "a");
	run(60 * MS);
	cr_assert_str_eq(order, "ba");
	/* The timer that is off by now goes on again. */
	begin(&b, "b");
	run(60 * MS);
	cr_assert_str_eq(order, "bab");
}

static Expiry other;

static void on_ends_the_other(void *userdata)
{
	on_expired(userdata);
	expiry_end(&other);
	begin(&other, "z");
}

/* What is over may end others, and begin anew. */
Test(common_expiry, changed_from_within)
{
	Expiry a = {};

	expiry_begin(&a, &expiries, monotonic_usec(), on_ends_the_other, (void *)"a");
	begin(&other, "o");
	run(15 * MS);
	cr_assert_eq(n_over, 0);
	run(70 * MS);
	cr_assert_str_eq(order, "az");
}
