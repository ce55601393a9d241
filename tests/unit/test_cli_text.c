/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/text.h"

#include <locale.h>
#include <stdlib.h>

#include <criterion/criterion.h>

static void use_utf8(void)
{
	cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

TestSuite(cli_text, .init = use_utf8);

static void expect_clean(const char *text, const char *clean)
{
	char *got = text_clean(text);

	cr_expect_str_eq(got, clean);
	free(got);
}

Test(cli_text, clean_of_nothing)
{
	cr_expect_null(text_clean(NULL));
	expect_clean("", "");
}

Test(cli_text, clean_takes_what_steers_a_terminal)
{
	expect_clean("\033[31mred\033[0m", "?[31mred?[0m");
	expect_clean("a\nb\rc\td\be\177", "a?b?c?d?e?");
	expect_clean("\xc2\x9b"
		     "31m",
		     "?31m");
	expect_clean("\xc2\x80\xc2\x9f\xc2\xa0", "??\xc2\xa0");
}

Test(cli_text, clean_takes_what_is_not_utf8)
{
	expect_clean("\xff", "?");
	expect_clean("\x80x", "?x");
	expect_clean("\xc3", "?");
	expect_clean("\xc3x", "?x");
	expect_clean("\xc0\x80", "??");
	expect_clean("\xed\xa0\x80", "???");
	expect_clean("\xf0\x9f\x98", "???");
	expect_clean("x\xe2\x82", "x??");
}

Test(cli_text, clean_leaves_text)
{
	expect_clean("tvm0: 0000:01:10.0 \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
		     "tvm0: 0000:01:10.0 \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
}

Test(cli_text, width)
{
	cr_expect_eq(text_width(""), 0);
	cr_expect_eq(text_width("abc"), 3);
	cr_expect_eq(text_width("\xc3\xa4"), 1);
	cr_expect_eq(text_width("\xe6\xbc\xa2\xe5\xad\x97"), 4, "two wide characters");
	cr_expect_eq(text_width("e\xcc\x81"), 1, "a combining one");
}

Test(cli_text, cut)
{
	cr_expect_eq(text_cut("", 5), 0);
	cr_expect_eq(text_cut("abc", 0), 0);
	cr_expect_eq(text_cut("abc", 2), 2);
	cr_expect_eq(text_cut("abc", 9), 3);
	cr_expect_eq(text_cut("\xc3\xa4\xc3\xa4", 1), 2);
	cr_expect_eq(text_cut("a\xe6\xbc\xa2", 2), 1, "half of a wide character is none");
}

Test(cli_text, duration)
{
	char text[TEXT_DURATION_SIZE];

	cr_expect_str_eq(text_duration(0, text), "0 us");
	cr_expect_str_eq(text_duration(999, text), "999 us");
	cr_expect_str_eq(text_duration(1000, text), "1.000 ms");
	cr_expect_str_eq(text_duration(999999, text), "999.999 ms");
	cr_expect_str_eq(text_duration(1000000, text), "1.000 s");
	cr_expect_str_eq(text_duration(61002999, text), "61.002 s");
	cr_expect_str_eq(text_duration(UINT64_MAX, text), "18446744073709.551 s");
}
