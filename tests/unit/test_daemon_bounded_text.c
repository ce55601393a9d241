/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/cleanup.h"
#include "daemon/bounded-text.h"

#include <criterion/criterion.h>

static void expect(const char *text, size_t max, const char *expected)
{
	_cleanup_free_ char *copy = bounded_text(text, max);

	cr_assert_str_eq(copy, expected, "'%s'", copy);
}

Test(daemon_bounded_text, not_utf8)
{
	expect("\xff", 10, "?");
	expect("a\xc3", 10, "a?");
	expect("\xc3(", 10, "?(");
	expect("\xe2\x82", 10, "??");
	expect("\xed\xa0\x80", 10, "???");	/* a surrogate */
	expect("\xf4\x90\x80\x80", 10, "????"); /* beyond U+10FFFF */
	expect("\xc0\x80", 10, "??");		/* not the shortest form */
}

Test(daemon_bounded_text, too_long)
{
	expect("abcdefgh", 7, "abcd...");
	expect("abcdefgh", 4, "a...");
	expect("a\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8, "a\xc3\xa4\xc3\xa4...");
	expect("ab\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8, "ab\xc3\xa4...");
	expect("\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 4, "...");
}

Test(daemon_bounded_text, fits)
{
	expect("", 4, "");
	expect("abcd", 4, "abcd");
	expect("\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80");
	expect("\xc3\xa4\n", 10, "\xc3\xa4\n");
}
