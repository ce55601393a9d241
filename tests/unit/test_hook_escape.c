/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hooks/escape.h"

#include <string.h>

#include <criterion/criterion.h>

static const char *escape(const char *data, size_t size)
{
	static char out[4096];
	size_t n = escape_json(out, sizeof(out) - 1, &data, &size);

	cr_assert_eq(size, 0);
	out[n] = '\0';
	return out;
}

Test(hook_escape, empty)
{
	cr_expect_str_eq(escape("", 0), "");
}

Test(hook_escape, no_room)
{
	const char *data = "\n";
	size_t size = 1;
	char out[1] = { 'x' };

	cr_expect_eq(escape_json(out, 1, &data, &size), 0);
	cr_expect_eq(size, 1, "nothing is taken that does not fit");
	cr_expect_eq(out[0], 'x');
}

Test(hook_escape, every_control_character)
{
	for (char c = 0; c < 0x20; c++) {
		const char *text = escape(&c, 1);

		cr_expect_eq(text[0], '\\');
		for (const char *p = text; *p; p++)
			cr_expect((unsigned char)*p >= 0x20);
	}
	cr_expect_str_eq(escape("\0", 1), "\\u0000");
	cr_expect_str_eq(escape("\x1f", 1), "\\u001f");
	cr_expect_str_eq(escape("\n\r\t\b\f", 5), "\\n\\r\\t\\b\\f");
}

Test(hook_escape, quotes_and_backslashes)
{
	cr_expect_str_eq(escape("a\"b\\", 4), "a\\\"b\\\\");
}

Test(hook_escape, all_else_is_as_it_was)
{
	const char *text = "<name attr='x'/>&amp; \x7f \xc3\xa4 \xff";

	cr_expect_str_eq(escape(text, strlen(text)), text);
}

Test(hook_escape, piece_by_piece_is_the_same)
{
	const char text[] = "<a>\n\t\"x\\y\"\x01\x02\x03</a>\n\xe2\x82\xac";
	const char *whole = strdup(escape(text, sizeof(text) - 1));

	for (size_t room = ESCAPE_MAX; room < 40; room++) {
		const char *data = text;
		size_t size = sizeof(text) - 1, used = 0;
		char out[256];

		while (size > 0) {
			size_t n = escape_json(out + used, room, &data, &size);

			cr_assert_gt(n, 0);
			used += n;
		}
		out[used] = '\0';
		cr_expect_str_eq(out, whole, "room %zu", room);
	}
	free((void *)whole);
}
