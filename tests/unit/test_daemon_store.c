/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/store.h"

#include "testing-fsync.h"
#include "../scratch-folder.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char directory[64];
static Store *store;
static struct rlimit descriptors; /* as many as there may be */
static char seen[1024];		  /* "NAME=VALUE ..." of one walk */

static void set_up(void)
{
	cr_assert(scratch_folder(directory, sizeof(directory), NULL));
	cr_assert_eq(store_open(&store, directory, "this-boot", NULL), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void tear_down(void)
{
	store = store_free(store);
	nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(daemon_store, .init = set_up, .fini = tear_down);

static const char *path_of(const char *file)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	return path;
}

static bool exists(const char *file)
{
	struct stat st;

	return lstat(path_of(file), &st) == 0;
}

static void put(const char *file, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(path_of(file), "we");

	cr_assert_not_null(f);
	fputs(text, f);
}

static int write_value(const char *name, const char *value)
{
	_cleanup_(json_text_clear) JsonText o = {};

	json_text_open(&o, '{');
	json_text_add(&o, J_STRING("value", value));
	return store_write(store, name, &o);
}

static int on_record(const char *name, json_object *record, void *userdata)
{
	const char *value = json_get_string(record, "value");

	if (value && strcmp(value, "nonsense") == 0)
		return -EBADMSG;
	if (value && strcmp(value, "end") == 0)
		return -ENOSPC;
	if (value && strcmp(value, "last-descriptor") == 0)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, descriptors.rlim_max });
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%s ", name, value ?: "");
	return 0;
}

static int walk(char **why)
{
	seen[0] = '\0';
	static const char *const order[] = { NULL };

	return store_each(store, order, true, on_record, NULL, why);
}

static void expect_walk(const char *expected)
{
	cr_assert_eq(walk(NULL), 0);
	cr_assert_str_eq(seen, expected, "%s", seen);
}

Test(daemon_store, names_that_are_refused)
{
	static const char *const names[] = { "",     ".",   "..",   ".a",      "a/b",
					     "../a", "a b", "a\nb", "\xc3\xa4" };
	char longest[202];

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		cr_assert_eq(write_value(names[i], "v"), -EINVAL, "%s", names[i]);
		cr_assert_eq(store_remove(store, names[i]), -EINVAL, "%s", names[i]);
	}
	memset(longest, 'a', 201);
	longest[201] = '\0';
	cr_assert_eq(write_value(longest, "v"), -EINVAL);
	cr_assert_eq(write_value(longest + 1, "v"), 0);
}

Test(daemon_store, directories_that_cannot_be)
{
	_cleanup_free_ char *why = NULL;
	Store *other = NULL;

	put("file", "");
	cr_assert_lt(store_open(&other, path_of("file"), "b", &why), 0);
	cr_assert(strstr(why, "/file: "));
	cr_assert_eq(symlink("/tmp", path_of("link")), 0);
	cr_assert_lt(store_open(&other, path_of("link"), "b", NULL), 0);
	cr_assert_eq(store_open(&other, path_of("a/b/c"), "b", NULL), 0);
	store_free(other);
}

/* A crash has left it, and its record may never be written again. */
Test(daemon_store, half_written_ones_are_removed)
{
	put("a.new", "{\"version\":1,");
	put("a.newer", "");
	cr_assert_eq(write_value("a", "v"), 0);
	put("b.new", "");
	store = store_free(store);
	cr_assert_eq(store_open(&store, directory, "this-boot", NULL), 0);
	cr_assert(!exists("a.new"));
	cr_assert(!exists("b.new"));
	cr_assert(exists("a.newer"));
	expect_walk("a=v ");
}

/* Nothing follows from it about what is in the record. */
Test(daemon_store, no_descriptor_left_is_not_the_records_fault)
{
	_cleanup_free_ char *why = NULL;

	cr_assert_eq(write_value("a", "last-descriptor"), 0);
	cr_assert_eq(write_value("b", "v"), 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
	cr_assert_eq(walk(&why), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
	cr_assert(strstr(why, "b.json: "), "%s", why);
	cr_assert(exists("b.json"));
	cr_assert(!exists("b.json.unreadable"));
}

Test(daemon_store, unreadable_ones_are_set_aside)
{
	put("empty.json", "");
	put("torn.json", "{\"version\":1,\"boot\":\"this-boot\",\"val");
	put("array.json", "[]");
	put("no-version.json", "{\"boot\":\"this-boot\"}");
	put("no-boot.json", "{\"version\":1}");
	put("negative.json", "{\"version\":-1,\"boot\":\"this-boot\"}");
	put("text.json", "{\"version\":\"1\",\"boot\":\"this-boot\"}");
	put("nonsense.json", "{\"version\":1,\"boot\":\"this-boot\",\"value\":\"nonsense\"}");
	cr_assert_eq(mkdir(path_of("directory.json"), 0700), 0);
	cr_assert_eq(symlink("/etc/hostname", path_of("link.json")), 0);
	cr_assert_eq(truncate((put("huge.json", ""), path_of("huge.json")), 2 << 20), 0);
	cr_assert_eq(write_value("good", "v"), 0);
	expect_walk("good=v ");
	cr_assert(exists("empty.json.unreadable"));
	cr_assert(exists("torn.json.unreadable"));
	cr_assert(exists("array.json.unreadable"));
	cr_assert(exists("no-version.json.unreadable"));
	cr_assert(exists("no-boot.json.unreadable"));
	cr_assert(exists("negative.json.unreadable"));
	cr_assert(exists("text.json.unreadable"));
	cr_assert(exists("nonsense.json.unreadable"));
	cr_assert(exists("directory.json.unreadable"));
	cr_assert(exists("link.json.unreadable"));
	cr_assert(exists("huge.json.unreadable"));
	expect_walk("good=v ");
}

Test(daemon_store, newer_version_ends_the_walk)
{
	_cleanup_free_ char *why = NULL;

	put("a.json", "{\"version\":5,\"boot\":\"this-boot\"}");
	cr_assert_eq(walk(&why), -EPROTO);
	cr_assert(strstr(why, "newer"));
	cr_assert(exists("a.json"));
}

Test(daemon_store, older_version_is_read)
{
	put("a.json", "{\"version\":1,\"boot\":\"this-boot\",\"value\":\"v\"}");
	expect_walk("a=v ");
}

Test(daemon_store, callers_error_ends_the_walk)
{
	write_value("a", "1");
	write_value("b", "end");
	write_value("c", "3");
	cr_assert_eq(walk(NULL), -ENOSPC);
	cr_assert_str_eq(seen, "a=1 ");
}

Test(daemon_store, another_boots_are_removed)
{
	put("old.json", "{\"version\":1,\"boot\":\"that-boot\",\"value\":\"v\"}");
	expect_walk("");
	cr_assert(!exists("old.json"));
}

Test(daemon_store, torn_write_of_before)
{
	put("a.new", "{\"versi");
	expect_walk("");
	cr_assert_eq(write_value("a", "v"), 0);
	cr_assert(!exists("a.new"));
	expect_walk("a=v ");
}

/* Somebody else's file must not be written through a name of ours. */
Test(daemon_store, links_in_the_way_are_replaced)
{
	struct stat st;

	put("victim", "precious");
	cr_assert_eq(symlink("victim", path_of("a.new")), 0);
	cr_assert_eq(symlink("victim", path_of("a.json")), 0);
	cr_assert_eq(write_value("a", "v"), 0);
	cr_assert_eq(stat(path_of("victim"), &st), 0);
	cr_assert_eq(st.st_size, 8);
	cr_assert_eq(lstat(path_of("a.json"), &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(st.st_mode & 0777, 0600);
}

Test(daemon_store, directory_in_the_way)
{
	cr_assert_eq(mkdir(path_of("a.new"), 0700), 0);
	cr_assert_lt(write_value("a", "v"), 0);
}

Test(daemon_store, full_file_system_leaves_what_was)
{
	struct rlimit limit = { .rlim_cur = 10, .rlim_max = RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(write_value("a", "before"), 0);
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_assert_lt(write_value("a", "after"), 0);
	cr_assert_lt(write_value("b", "after"), 0);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_assert(!exists("a.new"));
	expect_walk("a=before ");
}

/* Whoever reads next reads the new one. */
Test(daemon_store, directory_that_cannot_be_synced)
{
	cr_assert_eq(write_value("a", "before"), 0);
	cr_assert_eq(write_value("b", "before"), 0);
	directory_sync_fails = true;
	cr_assert_eq(write_value("a", "after"), STORE_NOT_SYNCED);
	cr_assert_eq(store_remove(store, "b"), STORE_NOT_SYNCED);
	cr_assert_eq(store_remove(store, "b"), 0);
	expect_walk("a=after ");
	directory_sync_fails = false;
	cr_assert_eq(write_value("a", "later"), 0);
}

Test(daemon_store, what_is_no_open_object)
{
	_cleanup_(json_text_clear) JsonText none = {}, array = {};

	cr_assert_eq(store_write(store, "a", &none), -EINVAL);
	json_text_open(&array, '[');
	cr_assert_eq(store_write(store, "a", &array), -EINVAL);
	expect_walk("");
}

Test(daemon_store, write_replace_remove)
{
	cr_assert_eq(write_value("b", "1"), 0);
	cr_assert_eq(write_value("a", "1"), 0);
	cr_assert_eq(write_value("b", "2"), 0);
	expect_walk("a=1 b=2 ");
	cr_assert_eq(store_remove(store, "b"), 0);
	cr_assert_eq(store_remove(store, "b"), 0);
	expect_walk("a=1 ");
}
