/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/json-text.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static JsonText text;

static void done(void)
{
	json_text_clear(&text);
}

TestSuite(json_text, .fini = done);

Test(json_text, not_utf_8)
{
	static const char *const bad[] = { "\x80", "a\xc3", "\xed\xa0\x80" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		json_text_clear(&text);
		json_text_open(&text, '{');
		json_text_add(&text, J_STRING("a", bad[i]), J_INT("b", 1));
		json_text_close(&text, '}');
		cr_assert_eq(text.error, -EINVAL);
	}
}

/* Written by json-c, and here: the same bytes, which are read as what they were. */
static void same(const JsonMember *members)
{
	_cleanup_(json_unrefp) json_object *o = NULL, *again = NULL;
	_cleanup_free_ char *expected = NULL;

	cr_assert_eq(json_build_members(&o, members), 0);
	cr_assert_eq(json_format(&expected, NULL, o), 0);
	json_text_clear(&text);
	json_text_open(&text, '{');
	json_text_members(&text, members);
	json_text_close(&text, '}');
	cr_assert_eq(text.error, 0);
	cr_assert_str_eq(text.text, expected);
	cr_assert_eq(text.len, strlen(expected));
	cr_assert_eq(json_parse(&again, text.text, text.len, NULL), 0);
	cr_assert(json_object_equal(o, again));
}

#define SAME(...) same((const JsonMember[]){ __VA_ARGS__, { .kind = JSON_MEMBER_END } })

Test(json_text, members)
{
	_cleanup_(json_unrefp) json_object *inner = NULL;

	same(&(JsonMember){ .kind = JSON_MEMBER_END });
	SAME(J_STRING("a", NULL), J_INT_IF(false, "b", 1), J_REF("c", NULL));
	SAME(J_INT("least", INT64_MIN), J_INT("most", INT64_MAX), J_INT("none", 0));
	SAME(J_BOOL("yes", true), J_BOOL("no", false), J_STRING("empty", ""));
	cr_assert_eq(json_build(&inner, J_STRING("text", "a/b\n"), J_INT("n", -1)), 0);
	SAME(J_STRING("first", "x"), J_REF("inner", inner), J_STRING("last", "{[:,"),
	     J_INT("behind", 1));
}

Test(json_text, strings)
{
	char all[0x80], *long_one = malloc(70000);

	for (size_t c = 1; c < sizeof(all); c++)
		all[c - 1] = (char)c;
	all[sizeof(all) - 1] = '\0';
	SAME(J_STRING("ascii", all));
	SAME(J_STRING("name", "\"quoted\\ \xc3\xa4 \xe2\x82\xac \xf0\x9f\x94\x92 \x7f"));
	memset(long_one, '\\', 69999);
	long_one[69999] = '\0';
	SAME(J_STRING("long", long_one), J_INT("n", 1));
	free(long_one);
}

Test(json_text, nested)
{
	json_text_open(&text, '{');
	json_text_name(&text, "list");
	json_text_open(&text, '[');
	for (int64_t i = 0; i < 3; i++) {
		json_text_open(&text, '{');
		json_text_add(&text, J_INT("i", i));
		json_text_close(&text, '}');
	}
	json_text_close(&text, ']');
	json_text_name(&text, "none");
	json_text_open(&text, '[');
	json_text_close(&text, ']');
	json_text_add(&text, J_BOOL("end", true));
	json_text_close(&text, '}');
	cr_assert_str_eq(text.text, "{\"list\":[{\"i\":0},{\"i\":1},{\"i\":2}],\"none\":[],"
				    "\"end\":true}");
}

Test(json_text, values_of_another)
{
	_cleanup_(json_text_clear) JsonText values = {}, none = {};

	json_text_open(&text, '[');
	json_text_values(&text, &none);
	json_text_open(&values, '{');
	json_text_close(&values, '}');
	json_text_values(&text, &values);
	json_text_values(&text, &none);
	json_text_values(&text, &values);
	json_text_close(&text, ']');
	cr_assert_eq(text.error, 0);
	cr_assert_str_eq(text.text, "[{},{}]");
	values.error = -ENOMEM;
	json_text_values(&text, &values);
	cr_assert_eq(text.error, -ENOMEM);
}
