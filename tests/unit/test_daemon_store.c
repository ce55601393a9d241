/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/store.h"

#include "testing-disk.h"
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
static char seen[1024]; /* "NAME=VALUE ..." of one walk */

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

static void reopen(void)
{
	store = store_free(store);
	cr_assert_eq(store_open(&store, directory, "this-boot", NULL), 0);
}

#define HEADER "{\"version\":7,\"boot\":\"this-boot\"}\n"

/* Nothing follows from it about what is in the journal. */
Test(daemon_store, no_descriptor_left_is_not_the_journals_fault)
{
	_cleanup_free_ char *why = NULL, *why_not_opened = NULL;
	struct rlimit limit;
	Store *other = NULL;
	rlim_t lowest;

	cr_assert_eq(write_value("a", "v"), 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	lowest = (rlim_t)dup(STDERR_FILENO);
	close((int)lowest);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ lowest, limit.rlim_max }), 0);
	cr_assert_eq(walk(&why), -EMFILE);
	cr_assert_eq(write_value("b", "v"), 0, "it is open");
	/* One for the directory. */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ lowest + 1, limit.rlim_max }), 0);
	cr_assert_eq(store_open(&other, directory, "this-boot", &why_not_opened), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert(strstr(why, "/journal: cannot be read: "), "%s", why);
	cr_assert(strstr(why_not_opened, "/journal: cannot be read: "), "%s", why_not_opened);
	expect_walk("a=v b=v ");
	reopen();
	expect_walk("a=v b=v ");
	cr_assert(!exists("journal.unreadable"));
}

static bool begins_with_header(void)
{
	_cleanup_fclose_ FILE *f = fopen(path_of("journal"), "re");
	char line[1024];

	return f && fgets(line, sizeof(line), f) && strcmp(line, HEADER) == 0;
}

/* A line of it, with its newline. */
static bool is_aside(const char *wanted)
{
	_cleanup_fclose_ FILE *f = fopen(path_of("journal.unreadable"), "re");
	char line[1024];

	while (f && fgets(line, sizeof(line), f))
		if (strcmp(line, wanted) == 0)
			return true;
	return false;
}

Test(daemon_store, unreadable_lines_are_set_aside)
{
	static const char *const bad[] = {
		"torn {\"val\n",
		"array []\n",
		"twice {} {}\n",
		"\n",
		"noname\n",
		" {}\n",
		".hidden {}\n",
		"a/b {}\n",
		"\xc3\xa4 {}\n",
		"nonsense {\"value\":\"nonsense\"}\n",
		"twice {\"value\":1,\"value\":2}\n",
	};

	store = store_free(store);
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_fclose_ FILE *f = fopen(path_of("journal"), "ae");

		fputs(i == 0 ? HEADER "good {\"value\":\"v\"}\n" : "", f);
		fputs(bad[i], f);
	}
	reopen();
	expect_walk("good=v ");
	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_assert(i == 2 || is_aside(bad[i]), "%s", bad[i]);
	cr_assert_eq(unlink(path_of("journal.unreadable")), 0);
	expect_walk("good=v ");
	reopen();
	expect_walk("good=v ");
	cr_assert(!exists("journal.unreadable"), "and they are there no more");
}

/* What comes later is so, whatever was spoiled before. */
Test(daemon_store, spoiled_line_that_was_overwritten)
{
	put("journal", HEADER "a spoiled\na {\"value\":\"v\"}\nb {\"value\":\"v\"}\nb \n");
	reopen();
	expect_walk("a=v ");
	cr_assert(!exists("journal.unreadable"));
}

Test(daemon_store, what_is_no_journal_is_set_aside)
{
	static const char *const texts[] = {
		"",
		"{\"version\":7,\"boot\":\"this-boot\"}",
		"[]\n",
		"{\"boot\":\"this-boot\"}\na {\"value\":\"v\"}\n",
		"{\"version\":7}\na {\"value\":\"v\"}\n",
		"{\"version\":4,\"boot\":\"this-boot\"}\na {\"value\":\"v\"}\n",
		"{\"version\":\"7\",\"boot\":\"this-boot\"}\n",
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		put("journal", texts[i]);
		reopen();
		cr_assert(exists("journal.unreadable"), "%s", texts[i]);
		cr_assert(!exists("journal"));
		expect_walk("");
		cr_assert_eq(write_value("b", "v"), 0);
		reopen();
		expect_walk("b=v ");
		unlink(path_of("journal.unreadable"));
	}
	cr_assert_eq(unlink(path_of("journal")), 0);
	cr_assert_eq(mkdir(path_of("journal"), 0700), 0);
	reopen();
	expect_walk("");
	cr_assert_eq(rmdir(path_of("journal.unreadable")), 0);
	put("victim", HEADER "a {\"value\":\"v\"}\n");
	cr_assert_eq(symlink("victim", path_of("journal")), 0);
	reopen();
	expect_walk("");
	cr_assert_eq(write_value("b", "v"), 0);
	expect_walk("b=v ");
}

/* Beside those that were before it. */
Test(daemon_store, what_was_set_aside_stays)
{
	put("journal.unreadable", "precious");
	put("journal", "no header\n");
	reopen();
	put("journal", "no header\n");
	reopen();
	cr_assert(is_aside("precious"));
	cr_assert(exists("journal.unreadable.1"));
	cr_assert(exists("journal.unreadable.2"));
}

/* They may say what is bound: of before there was a journal. */
Test(daemon_store, older_records_are_refused)
{
	_cleanup_free_ char *why = NULL;
	Store *other = NULL;

	put("tdi-0000:41:00.1.json", "{\"version\":4}");
	cr_assert_eq(store_open(&other, directory, "this-boot", &why), -EPROTO);
	cr_assert(strstr(why, "/tdi-0000:41:00.1.json: "), "%s", why);
	cr_assert_eq(write_value("a", "v"), 0);
	free(steal_ptr(why));
	cr_assert_eq(store_open(&other, directory, "this-boot", &why), -EPROTO,
		     "they may be newer than the journal");
	cr_assert_eq(unlink(path_of("tdi-0000:41:00.1.json")), 0);
	reopen();
	expect_walk("a=v ");
}

Test(daemon_store, newer_version_is_refused)
{
	_cleanup_free_ char *why = NULL;
	Store *other = NULL;

	put("journal", "{\"version\":8,\"boot\":\"this-boot\"}\na {}\n");
	cr_assert_eq(store_open(&other, directory, "this-boot", &why), -EPROTO);
	cr_assert(strstr(why, "newer"));
	cr_assert(exists("journal"));
}

/* As of the first write, which a tdid of before could read wrongly, it is one of this version. */
Test(daemon_store, older_version_is_read)
{
	char text[128];

	for (int version = STORE_OLDEST_VERSION; version < STORE_VERSION; version++) {
		snprintf(text, sizeof(text),
			 "{\"version\":%d,\"boot\":\"this-boot\"}\na {\"value\":\"1\"}\n", version);
		put("journal", text);
		reopen();
		expect_walk("a=1 ");
		cr_assert_eq(write_value("b", "2"), 0);
		expect_walk("a=1 b=2 ");
		cr_assert(begins_with_header());
		reopen();
		expect_walk("a=1 b=2 ");
		cr_assert(!exists("journal.unreadable"));
	}
}

Test(daemon_store, callers_error_ends_the_walk)
{
	write_value("a", "1");
	write_value("b", "end");
	write_value("c", "3");
	cr_assert_eq(walk(NULL), -ENOSPC);
	cr_assert_str_eq(seen, "a=1 ");
}

Test(daemon_store, another_boots_are_void)
{
	put("journal", "{\"version\":7,\"boot\":\"that-boot\"}\nold {\"value\":\"v\"}\n");
	reopen();
	expect_walk("");
	cr_assert_eq(store_remove(store, "old"), 0);
	expect_walk("");
	cr_assert_eq(write_value("new", "v"), 0);
	expect_walk("new=v ");
	reopen();
	expect_walk("new=v ");
}

/* A crash came between its first byte and its last: it never was. */
Test(daemon_store, torn_line)
{
	put("journal", HEADER "a {\"value\":\"1\"}\nb {\"val");
	reopen();
	expect_walk("a=1 ");
	cr_assert_eq(write_value("c", "3"), 0);
	expect_walk("a=1 c=3 ");
	reopen();
	expect_walk("a=1 c=3 ");
	cr_assert(!exists("journal.unreadable"));
}

/* Somebody else's file must not be written through a name of ours. */
Test(daemon_store, links_in_the_way_are_replaced)
{
	struct stat st;

	put("victim", "precious");
	cr_assert_eq(symlink("victim", path_of("journal.new")), 0);
	cr_assert_eq(write_value("a", "v"), 0);
	cr_assert_eq(stat(path_of("victim"), &st), 0);
	cr_assert_eq(st.st_size, 8);
	cr_assert_eq(lstat(path_of("journal"), &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert(!exists("journal.new"));
}

Test(daemon_store, directory_in_the_way)
{
	cr_assert_eq(mkdir(path_of("journal.new"), 0700), 0);
	cr_assert_lt(write_value("a", "v"), 0);
	cr_assert_eq(store_remove(store, "a"), 0, "nothing is there");
	cr_assert_eq(rmdir(path_of("journal.new")), 0);
	cr_assert_eq(write_value("a", "v"), 0);
	expect_walk("a=v ");
}

/* The journal is `size` bytes long and cannot get longer than that and these; RLIM_INFINITY. */
static void leave_room(off_t size, rlim_t more)
{
	struct rlimit limit = { .rlim_cur = more, .rlim_max = RLIM_INFINITY };

	signal(SIGXFSZ, SIG_IGN);
	if (more != RLIM_INFINITY)
		limit.rlim_cur += (rlim_t)size;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static off_t journal_size(void)
{
	struct stat st;

	cr_assert_eq(stat(path_of("journal"), &st), 0);
	return st.st_size;
}

/* The end of a line that does not fit does not stay. */
Test(daemon_store, full_file_system_leaves_what_was)
{
	off_t size;

	cr_assert_eq(write_value("a", "before"), 0);
	size = journal_size();
	for (rlim_t more = 0; more < 10; more++) {
		leave_room(size, more);
		cr_assert_lt(write_value("a", "after"), 0);
		cr_assert_lt(store_remove(store, "of-no-such-name"), 0);
		expect_walk("a=before ");
	}
	leave_room(0, RLIM_INFINITY);
	cr_assert_eq(write_value("b", "after"), 0);
	expect_walk("a=before b=after ");
	reopen();
	expect_walk("a=before b=after ");
}

Test(daemon_store, first_record_on_a_full_file_system)
{
	leave_room(0, 10);
	cr_assert_lt(write_value("a", "v"), 0);
	cr_assert(!exists("journal.new"));
	leave_room(0, RLIM_INFINITY);
	cr_assert_eq(write_value("a", "v"), 0);
	expect_walk("a=v ");
}

/* Whoever reads next reads the new one. */
Test(daemon_store, disk_that_cannot_be_synced)
{
	cr_assert_eq(write_value("a", "before"), 0);
	cr_assert_eq(write_value("b", "before"), 0);
	syncs_fail = true;
	cr_assert_eq(write_value("a", "after"), STORE_NOT_SYNCED);
	cr_assert_eq(store_remove(store, "b"), STORE_NOT_SYNCED);
	expect_walk("a=after ");
	syncs_fail = false;
	cr_assert_eq(write_value("a", "later"), 0);
}

Test(daemon_store, gathered_is_written_together)
{
	cr_assert_eq(write_value("a", "before"), 0);
	cr_assert_eq(write_value("b", "before"), 0);
	store_gather(store);
	cr_assert_eq(write_value("a", "after"), 0);
	cr_assert_eq(store_remove(store, "b"), 0);
	cr_assert_eq(write_value("c", "after"), 0);
	expect_walk("a=before b=before ");
	cr_assert_eq(store_commit(store), 0);
	expect_walk("a=after c=after ");
	cr_assert_eq(write_value("d", "alone"), 0);
	reopen();
	expect_walk("a=after c=after d=alone ");
}

Test(daemon_store, gathered_and_discarded)
{
	store_gather(store);
	cr_assert_eq(write_value("a", "v"), 0);
	store_discard(store);
	store_gather(store);
	cr_assert_eq(store_commit(store), 0, "nothing");
	cr_assert_eq(write_value("b", "v"), 0);
	expect_walk("b=v ");
}

/* All or none of it, also where a part would have had room. */
Test(daemon_store, gathered_and_no_room_for_all)
{
	off_t size;

	cr_assert_eq(write_value("a", "before"), 0);
	size = journal_size();
	for (rlim_t more = 0; more < 40; more++) {
		leave_room(size, more);
		store_gather(store);
		cr_assert_eq(write_value("a", "after"), 0);
		cr_assert_eq(write_value("b", "after"), 0);
		cr_assert_lt(store_commit(store), 0);
		expect_walk("a=before ");
	}
	leave_room(0, RLIM_INFINITY);
	cr_assert_eq(write_value("c", "after"), 0);
	expect_walk("a=before c=after ");
}

Test(daemon_store, gathered_and_not_synced)
{
	store_gather(store);
	cr_assert_eq(write_value("a", "1"), 0);
	cr_assert_eq(write_value("b", "1"), 0);
	cr_assert_eq(store_commit(store), 0);
	syncs_to_fail = 1;
	store_gather(store);
	cr_assert_eq(write_value("a", "2"), 0);
	cr_assert_eq(write_value("b", "2"), 0);
	cr_assert_eq(store_commit(store), STORE_NOT_SYNCED);
	expect_walk("a=2 b=2 ");
}

/* However long it gets, and it is not held for ever. */
Test(daemon_store, gathered_in_thousands)
{
	char name[16], value[512];

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	store_gather(store);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		cr_assert_eq(write_value(name, value), 0);
	}
	cr_assert_eq(store_commit(store), 0);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		cr_assert_eq(store_remove(store, name), 0);
	}
	cr_assert_eq(write_value("a", "v"), 0);
	reopen();
	expect_walk("a=v ");
}

/* The kernel says once that a page has not come to the disk, and takes it for clean after that. */
Test(daemon_store, disk_that_says_later_that_all_is_well)
{
	struct stat before, after;

	cr_assert_eq(write_value("a", "1"), 0);
	cr_assert_eq(stat(path_of("journal"), &before), 0);
	syncs_to_fail = 1;
	cr_assert_eq(write_value("a", "2"), STORE_NOT_SYNCED);
	cr_assert_eq(mkdir(path_of("journal.new"), 0700), 0);
	cr_assert_eq(write_value("a", "3"), STORE_NOT_SYNCED, "no other file can be made");
	cr_assert_eq(rmdir(path_of("journal.new")), 0);
	cr_assert_eq(write_value("a", "4"), 0);
	cr_assert_eq(stat(path_of("journal"), &after), 0);
	cr_assert_neq(before.st_ino, after.st_ino);
	expect_walk("a=4 ");
}

/* Until its directory is synced the file may not be there after a power cut: nor what is in it. */
Test(daemon_store, directory_that_cannot_be_synced)
{
	directory_syncs_fail = true;
	cr_assert_eq(write_value("a", "1"), STORE_NOT_SYNCED);
	cr_assert_eq(write_value("a", "2"), STORE_NOT_SYNCED);
	expect_walk("a=2 ");
	directory_syncs_fail = false;
	cr_assert_eq(write_value("a", "3"), 0);
	directory_syncs_fail = true;
	cr_assert_eq(write_value("a", "4"), 0, "it has been synced");
	reopen();
	cr_assert_eq(write_value("a", "5"), STORE_NOT_SYNCED, "of what was before nobody knows");
	directory_syncs_fail = false;
	cr_assert_eq(store_remove(store, "a"), 0);
	expect_walk("");
}

/* A file that cannot be synced does not take the place of any. */
Test(daemon_store, new_file_that_cannot_be_synced)
{
	syncs_to_fail = 1;
	cr_assert_lt(write_value("a", "v"), 0);
	cr_assert(!exists("journal"));
	cr_assert(!exists("journal.new"));
	cr_assert_eq(write_value("a", "v"), 0);
	expect_walk("a=v ");
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

/* What counts no more is written over and over, and the journal stays as short as what counts. */
Test(daemon_store, old_lines_go)
{
	char value[1024] = "";
	struct stat st;

	memset(value, 'x', sizeof(value) - 1);
	cr_assert_eq(write_value("kept", "v"), 0);
	cr_assert_eq(write_value("gone", "v"), 0);
	cr_assert_eq(store_remove(store, "gone"), 0);
	for (int i = 0; i < 6000; i++)
		cr_assert_eq(write_value("a", value), 0);
	cr_assert_eq(stat(path_of("journal"), &st), 0);
	cr_assert_lt(st.st_size, 4500000);
	cr_assert_eq(write_value("a", "last"), 0);
	expect_walk("a=last kept=v ");
	reopen();
	expect_walk("a=last kept=v ");
	cr_assert(!exists("journal.new"));
}

/* It grows on until there is room for another one. */
Test(daemon_store, old_lines_that_cannot_go)
{
	char value[1024] = "";
	struct stat st;

	memset(value, 'x', sizeof(value) - 1);
	cr_assert_eq(write_value("kept", "v"), 0);
	cr_assert_eq(mkdir(path_of("journal.new"), 0700), 0);
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(write_value("a", value), 0);
	cr_assert_eq(rmdir(path_of("journal.new")), 0);
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(write_value("a", value), 0);
	cr_assert_eq(stat(path_of("journal"), &st), 0);
	cr_assert_lt(st.st_size, 4500000);
	cr_assert_eq(write_value("a", "last"), 0);
	expect_walk("a=last kept=v ");
}

/* What is old before a restart is old after it, too. */
Test(daemon_store, restarts_do_not_keep_old_lines)
{
	char value[1024] = "";
	struct stat st;

	memset(value, 'x', sizeof(value) - 1);
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 1000; k++)
			cr_assert_eq(write_value("a", value), 0);
		reopen();
	}
	cr_assert_eq(stat(path_of("journal"), &st), 0);
	cr_assert_lt(st.st_size, 4500000);
}

/* There is room for what counts, though not for what does not any more. */
Test(daemon_store, full_of_old_lines)
{
	struct rlimit limit = { .rlim_cur = 1000000, .rlim_max = RLIM_INFINITY };
	char value[1024] = "";

	signal(SIGXFSZ, SIG_IGN);
	memset(value, 'x', sizeof(value) - 1);
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_assert_eq(write_value("kept", "v"), 0);
	for (int i = 0; i < 5000; i++)
		cr_assert_eq(write_value("a", value), 0, "%d", i);
	cr_assert_eq(store_remove(store, "a"), 0);
	expect_walk("kept=v ");
}

/* Of a crash while the new one was written. */
Test(daemon_store, new_file_that_was_not_finished)
{
	cr_assert_eq(write_value("a", "v"), 0);
	put("journal.new", HEADER "a {\"val");
	reopen();
	cr_assert(!exists("journal.new"));
	expect_walk("a=v ");
}
