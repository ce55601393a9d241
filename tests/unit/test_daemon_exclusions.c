/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/exclusions.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static Exclusions *exclusions;
static char *why;

static int parse(const char *text)
{
	_cleanup_(json_unrefp) json_object *o = NULL;

	exclusions = exclusions_free(exclusions);
	free(why);
	why = NULL;
	cr_assert_eq(json_parse(&o, text, strlen(text), NULL), 0, "%s", text);
	return exclusions_parse(&exclusions, json_get_array(o, "excluded"), &why);
}

static void drop(void)
{
	exclusions = exclusions_free(exclusions);
	free(why);
}

TestSuite(daemon_exclusions, .fini = drop);

static const char *find(const char *function, const char *dsm)
{
	Bdf f, d;

	cr_assert_eq(bdf_parse(&f, function), 0);
	if (dsm)
		cr_assert_eq(bdf_parse(&d, dsm), 0);
	return exclusions_find(exclusions, f, dsm ? &d : NULL);
}

Test(daemon_exclusions, refuses)
{
	static const char *const entries[] = {
		"\"\"",
		"1",
		"null",
		"[]",
		"\"*\"",
		"\"01:10.0\"",
		"\"*:01:10.0\"",
		"\"0000:01:10\"",
		"\"0000:01:10.\"",
		"\"0000:01:10.8\"",
		"\"0000:1*:10.0\"",
		"\"0000:**:10.0\"",
		"\"0000:01:*\"",
		"\"0000:01:20.*\"",
		"\"0000:01:10.0 \"",
		"\"0000:01:10.0.0\"",
		"\"0000:01:*.*.*\"",
		"\"dsm=\"",
		"\"dsm=0000:01:*.0\"",
		"\"DSM=0000:01:00.0\"",
		"\"0000:*:*:*.*\"",
		"\"00000000000000000000000000000000000\"",
	};

	for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
		char text[128];

		snprintf(text, sizeof(text), "{\"excluded\":[\"0000:01:10.0\",%s]}", entries[i]);
		cr_expect_eq(parse(text), -EINVAL, "%s", entries[i]);
		cr_expect_null(exclusions);
		cr_expect(why && strstr(why, "excluded: "), "%s", entries[i]);
	}
}

Test(daemon_exclusions, refuses_too_many)
{
	_cleanup_(json_unrefp) json_object *array = json_object_new_array();

	for (unsigned i = 0; i <= EXCLUSIONS_MAX; i++)
		cr_assert_eq(json_append_string(array, "0000:01:10.0"), 0);
	cr_assert_eq(exclusions_parse(&exclusions, array, &why), -EINVAL);
	cr_assert(strstr(why, "more than 1024"));
}

Test(daemon_exclusions, none)
{
	cr_assert_eq(parse("{}"), 0);
	cr_assert_null(find("0000:01:10.0", "0000:01:00.0"));
	cr_assert_null(exclusions_find(NULL, (Bdf){}, NULL));
}

Test(daemon_exclusions, finds)
{
	cr_assert_eq(parse("{\"excluded\":[\"0000:01:10.0\",\"0000:02:*.1\",\"0001:*:1F.*\","
			   "\"dsm=0000:03:00.0\"]}"),
		     0);
	cr_assert_str_eq(find("0000:01:10.0", NULL), "0000:01:10.0");
	cr_assert_null(find("0000:01:10.1", NULL));
	cr_assert_null(find("0001:01:10.0", NULL));
	cr_assert_str_eq(find("0000:02:1f.1", NULL), "0000:02:*.1");
	cr_assert_null(find("0000:02:1f.2", NULL));
	cr_assert_str_eq(find("0001:77:1f.5", NULL), "0001:*:1F.*");
	cr_assert_null(find("0001:77:1e.5", NULL));
	cr_assert_null(find("0000:03:10.0", NULL), "its DSM is not known");
	cr_assert_str_eq(find("0000:09:10.0", "0000:03:00.0"), "dsm=0000:03:00.0");
	cr_assert_null(find("0000:09:10.0", "0000:04:00.0"));
}
