/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/table.h"

#include <locale.h>
#include <string.h>

#include <criterion/criterion.h>

static const TableColumn columns[] = { { "NAME" }, { "N", .right = true }, { "WHY" } };

static Table *table;
static char *text;

static void prepare(void)
{
	cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
	table = table_new(columns, ELEMENTSOF(columns));
}

static void drop(void)
{
	table = table_free(table);
	free(text);
	text = NULL;
}

TestSuite(cli_table, .init = prepare, .fini = drop);

static const char *print(size_t width, bool color)
{
	TableStyle style = { .width = width, .color = color };
	size_t size;
	FILE *stream;

	free(text);
	stream = open_memstream(&text, &size);
	cr_assert_not_null(stream);
	table_print(table, &style, stream);
	fclose(stream);
	return text;
}

static void add(const char *name, const char *n, const char *why)
{
	table_add(table, (const char *const[]){ name, n, why });
}

Test(cli_table, free_of_nothing)
{
	cr_expect_null(table_free(NULL));
}

Test(cli_table, no_rows)
{
	cr_expect_str_eq(print(0, false), "NAME  N  WHY\n");
}

Test(cli_table, absent_and_empty_cells)
{
	add(NULL, NULL, NULL);
	add("", "", "");
	cr_expect_str_eq(print(0, false), "NAME  N  WHY\n"
					  "-     -  -\n"
					  "\n");
}

Test(cli_table, cells_cannot_steer_the_terminal)
{
	add("a\nb", "\033[2J", NULL);
	cr_expect_str_eq(print(0, true), "NAME     N  WHY\n"
					 "a?b   ?[2J  -\n");
}

Test(cli_table, columns_fit_the_content)
{
	add("a", "1", NULL);
	add("a-longer-name", "12345", "x");
	add("\xe6\xbc\xa2\xe5\xad\x97", "12", "y");
	cr_expect_str_eq(print(0, false), "NAME               N  WHY\n"
					  "a                  1  -\n"
					  "a-longer-name  12345  x\n"
					  "\xe6\xbc\xa2\xe5\xad\x97              12  y\n");
}

Test(cli_table, lines_are_cut_to_the_width)
{
	add("abc", "1", "a long reason");
	cr_expect_str_eq(print(12, false), "NAME  N  WHY\n"
					   "abc   1  a …\n");
	cr_expect_str_eq(print(22, false), "NAME  N  WHY\n"
					   "abc   1  a long reason\n");
	cr_expect_str_eq(print(21, false), "NAME  N  WHY\n"
					   "abc   1  a long reas…\n");
}

/* Nothing is wider than the terminal, whatever its width, and the cut ends the line. */
Test(cli_table, every_width)
{
	add("abc", "1234", "a long reason");
	for (size_t width = 1; width < 40; width++) {
		char *line = (char *)print(width, false);

		for (char *end; (end = strchr(line, '\n')); line = end + 1) {
			size_t n = 0;

			for (const char *p = line; p < end; p++)
				n += ((unsigned char)*p & 0xc0) != 0x80;
			cr_expect_leq(n, width);
			cr_expect(n == 0 || end[-1] != ' ', "width %zu", width);
		}
	}
}

Test(cli_table, tones_are_colours_only_where_asked_for)
{
	add("a", "1", "good");
	table_tone(table, 2, TABLE_GOOD);
	add("b", "2", "bad");
	table_tone(table, 2, TABLE_BAD);
	cr_expect_str_eq(print(0, false), "NAME  N  WHY\n"
					  "a     1  good\n"
					  "b     2  bad\n");
	cr_expect_str_eq(print(0, true), "NAME  N  WHY\n"
					 "a     1  \033[32mgood\033[0m\n"
					 "b     2  \033[31mbad\033[0m\n");
	cr_expect_str_eq(print(11, true), "NAME  N  W…\n"
					  "a     1  \033[32mg…\033[0m\n"
					  "b     2  \033[31mb…\033[0m\n");
}

Test(cli_table, no_style_but_on_a_terminal)
{
	FILE *stream = tmpfile();
	TableStyle style = table_style(stream);

	cr_expect_eq(style.width, 0);
	cr_expect_not(style.color);
	fclose(stream);
}
