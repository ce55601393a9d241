/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/output-file.h"
#include "testing-tree.h"

#include <errno.h>
#include <sys/stat.h>

static TestingTree t;

static void set_up(void)
{
	testing_tree_init(&t);
}

static void tear_down(void)
{
	testing_tree_done(&t);
}

TestSuite(agent_output_file, .init = set_up, .fini = tear_down);

static const char *at(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", t.root, name);
	return path;
}

static void holds(const char *name, const char *expected)
{
	char text[64] = "";
	FILE *f = fopen(at(name), "re");

	cr_assert_not_null(f);
	cr_assert_eq(fread(text, 1, sizeof(text) - 1, f), strlen(expected));
	fclose(f);
	cr_assert_str_eq(text, expected);
}

Test(agent_output_file, new_and_again)
{
	struct stat st;

	cr_assert_eq(output_file_write(at("quote"), "one", 3), 0);
	holds("quote", "one");
	cr_assert_eq(chmod(at("quote"), 0600), 0);
	cr_assert_eq(output_file_write(at("quote"), "other", 5), 0);
	holds("quote", "other");
	cr_assert_eq(stat(at("quote"), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600, "as it was");
}

Test(agent_output_file, nowhere_to_put_it)
{
	cr_assert_eq(output_file_write(at("no/quote"), "one", 3), -ENOENT);
	cr_assert_eq(output_file_write(t.root, "one", 3), -EISDIR);
	cr_assert_eq(symlink("nothing", at("link")), 0);
	cr_assert_eq(output_file_write(at("link"), "one", 3), -ENOENT);
	cr_assert_eq(access(at("nothing"), F_OK), -1);
}
