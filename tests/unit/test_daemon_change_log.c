/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/change-log.h"

#include <criterion/criterion.h>

#include <string.h>

static ChangeLog *change_log;

static void set_up(void)
{
	cr_assert_eq(change_log_new(&change_log), 0);
}

static void tear_down(void)
{
	change_log = change_log_free(change_log);
}

TestSuite(daemon_change_log, .init = set_up, .fini = tear_down);

static void add(const char *domain, const char *reason)
{
	_cleanup_(json_unrefp) json_object *o = NULL;

	cr_assert_eq(json_build(&o, J_STRING("domain", domain), J_STRING("domain_name", "tvm0"),
				J_STRING("reason", reason)),
		     0);
	cr_assert_eq(change_log_add(change_log, o, false), 0);
}

Test(daemon_change_log, nothing_yet)
{
	cr_assert_eq(change_log_sequence(change_log), 1);
	cr_assert(change_log_reaches(change_log, 1));
	cr_assert_not(change_log_reaches(change_log, 0));
	cr_assert_not(change_log_reaches(change_log, 2));
	cr_assert_not(change_log_reaches(change_log, UINT64_MAX));
	cr_assert_null(change_log_at(change_log, 0));
	cr_assert_null(change_log_at(change_log, 1));
	cr_assert_null(change_log_at(change_log, 2));
}

Test(daemon_change_log, instances_differ)
{
	ChangeLog *other;

	cr_assert_eq(change_log_new(&other), 0);
	cr_assert_eq(strlen(change_log_instance(other)), 32);
	cr_assert_str_neq(change_log_instance(other), change_log_instance(change_log));
	change_log_free(other);
}

Test(daemon_change_log, what_was_added)
{
	cr_assert_eq(change_log_taken(change_log), 0);
	add("a", "one");
	add("b", "two");
	cr_assert_eq(change_log_taken(change_log), 2 * CHANGE_LOG_ROOM / CHANGE_LOG_CHANGES_MAX);
	cr_assert_eq(change_log_sequence(change_log), 3);
	cr_assert(change_log_reaches(change_log, 1));
	cr_assert(change_log_reaches(change_log, 3));
	cr_assert_not(change_log_reaches(change_log, 4));
	cr_assert_str_eq(change_log_at(change_log, 2)->domain, "a");
	cr_assert_str_eq(change_log_at(change_log, 3)->text,
			 "{\"domain\":\"b\",\"domain_name\":\"tvm0\",\"reason\":\"two\"}");
	cr_assert_null(change_log_at(change_log, 4));
}

Test(daemon_change_log, full_ring)
{
	for (unsigned int i = 0; i < CHANGE_LOG_CHANGES_MAX + 5; i++)
		add("a", "x");
	cr_assert_eq(change_log_sequence(change_log), CHANGE_LOG_CHANGES_MAX + 6);
	cr_assert_not(change_log_reaches(change_log, 5));
	cr_assert(change_log_reaches(change_log, 6));
	cr_assert_null(change_log_at(change_log, 6));
	for (uint64_t n = 7; n <= CHANGE_LOG_CHANGES_MAX + 6; n++)
		cr_assert_eq(change_log_at(change_log, n)->sequence, n);
}

Test(daemon_change_log, full_of_bytes)
{
	static char large[64 * 1024];
	size_t kept = 0;

	memset(large, 'x', sizeof(large) - 1);
	for (unsigned int i = 0; i < 100; i++)
		add("a", large);
	for (uint64_t n = 2; n <= 101; n++)
		if (change_log_at(change_log, n))
			kept += change_log_at(change_log, n)->size;
	cr_assert_leq(kept, CHANGE_LOG_ROOM);
	cr_assert_gt(kept, CHANGE_LOG_ROOM - 2 * sizeof(large));
	cr_assert_not(change_log_reaches(change_log, 1));
	cr_assert(change_log_reaches(change_log, 101));
}

/* One that is larger than all of the room takes it alone. */
Test(daemon_change_log, oversize)
{
	size_t size = CHANGE_LOG_ROOM + 1;
	_cleanup_free_ char *huge = calloc(1, size + 1);

	memset(huge, 'x', size);
	add("a", "one");
	add("a", huge);
	cr_assert(change_log_reaches(change_log, 2));
	cr_assert_not(change_log_reaches(change_log, 1));
	add("a", "three");
	cr_assert_null(change_log_at(change_log, 3));
	cr_assert_not_null(change_log_at(change_log, 4));
}

Test(daemon_change_log, lost_change)
{
	add("a", "one");
	change_log_lose(change_log);
	cr_assert_eq(change_log_sequence(change_log), 3);
	cr_assert_not(change_log_reaches(change_log, 2));
	cr_assert(change_log_reaches(change_log, 3));
	add("a", "two");
	cr_assert(change_log_reaches(change_log, 3));
	cr_assert_str_eq(change_log_at(change_log, 4)->domain, "a");
}
