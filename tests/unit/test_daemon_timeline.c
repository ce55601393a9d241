/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/timeline.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static Timeline timeline;

static void drop(void)
{
	timeline_clear(&timeline);
}

TestSuite(daemon_timeline, .fini = drop);

static int load(const char *text)
{
	_cleanup_(json_unrefp) json_object *o = NULL;

	cr_assert_eq(json_parse(&o, text, strlen(text), NULL), 0, "%s", text);
	return timeline_from_json(&timeline, json_get_array(o, "t"));
}

Test(daemon_timeline, refuses)
{
	cr_assert_eq(load("{\"t\":[1]}"), -EBADMSG);
	cr_assert_eq(load("{\"t\":[{}]}"), -EBADMSG);
	cr_assert_eq(load("{\"t\":[{\"at_usec\":1}]}"), -EBADMSG);
	cr_assert_eq(load("{\"t\":[{\"name\":\"a\"}]}"), -EBADMSG);
	cr_assert_eq(load("{\"t\":[{\"at_usec\":-1,\"name\":\"a\"}]}"), -EBADMSG);
	cr_assert_eq(load("{\"t\":[{\"at_usec\":1,\"name\":2}]}"), -EBADMSG);
	cr_assert_eq(load("{\"t\":[{\"at_usec\":1,\"name\":\"a\",\"x\":1}]}"), -EBADMSG);
}

Test(daemon_timeline, refuses_too_many)
{
	char text[8192] = "{\"t\":[";

	for (int i = 0; i <= TIMELINE_MARKS_MAX; i++)
		strcat(text,
		       i ? ",{\"at_usec\":1,\"name\":\"a\"}" : "{\"at_usec\":1,\"name\":\"a\"}");
	strcat(text, "]}");
	cr_assert_eq(load(text), -EBADMSG);
}

Test(daemon_timeline, there_and_back)
{
	_cleanup_(json_unrefp) json_object *array = NULL;

	cr_assert_eq(timeline_mark(&timeline, 5, "a", NULL), 0);
	cr_assert_eq(timeline_mark(&timeline, 4, "b", "why"), 0);
	cr_assert_eq(timeline_to_json(&timeline, &array), 0);
	cr_assert_eq(timeline_from_json(&timeline, array), 0);
	cr_assert_eq(timeline.n_marks, 2);
	cr_assert_null(timeline.marks[0].detail);
	cr_assert_eq(timeline.marks[1].at_usec, 5, "time went back");
	cr_assert_str_eq(timeline.marks[1].detail, "why");
}

Test(daemon_timeline, keeps_the_first_and_the_latest_half)
{
	char name[16];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		cr_assert_eq(timeline_mark(&timeline, (uint64_t)i, name, name), 0);
	}
	cr_assert_eq(timeline.n_marks, TIMELINE_MARKS_MAX);
	cr_assert_str_eq(timeline.marks[0].name, "m0");
	cr_assert_str_eq(timeline.marks[TIMELINE_MARKS_MAX / 2 - 1].name, "m63");
	cr_assert_str_eq(timeline.marks[TIMELINE_MARKS_MAX / 2].name, "m936");
	cr_assert_str_eq(timeline.marks[TIMELINE_MARKS_MAX - 1].name, "m999");
}

/* The text that is kept, whatever has been dropped since it was made. */
static void expect_text(void)
{
	_cleanup_(json_text_clear) JsonText text = {};
	_cleanup_(json_unrefp) json_object *array = NULL;
	_cleanup_free_ char *expected = NULL;

	timeline_to_text(&timeline, &text);
	cr_assert_eq(text.error, 0);
	cr_assert_eq(timeline_to_json(&timeline, &array), 0);
	cr_assert_eq(json_format(&expected, NULL, array), 0);
	cr_assert_str_eq(text.text, expected);
}

Test(daemon_timeline, as_text)
{
	char name[16];

	expect_text();
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		cr_assert_eq(timeline_mark(&timeline, (uint64_t)i, name, i % 3 ? NULL : "a\"b"), 0);
		if (i % 7 == 0 || i > 290)
			expect_text();
	}
	expect_text();
	timeline_clear(&timeline);
	expect_text();
}

Test(daemon_timeline, long_and_broken_words)
{
	_cleanup_(json_unrefp) json_object *array = NULL;
	char text[4096];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	cr_assert_eq(timeline_mark(&timeline, 1, text, text), 0);
	cr_assert_eq(strlen(timeline.marks[0].name), TIMELINE_NAME_MAX);
	cr_assert_eq(strlen(timeline.marks[0].detail), TIMELINE_DETAIL_MAX);
	cr_assert_eq(timeline_mark(&timeline, 1, "a\xff", "\xe2\x82"), 0);
	cr_assert_eq(timeline_to_json(&timeline, &array), 0);
}
