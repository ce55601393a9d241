/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "common/state-file.h"

#include <errno.h>

static int directory = -1;

static void set_up(void)
{
	testing_host_new();
	directory = state_directory_open(testing_path("made/of/parts"), 0700, NULL);
	cr_assert_geq(directory, 0);
}

static void tear_down(void)
{
	close(directory);
	testing_host_remove();
}

TestSuite(common_state_file, .init = set_up, .fini = tear_down);

Test(common_state_file, refuses)
{
	_cleanup_free_ char *error = NULL;
	_cleanup_blob_ Blob blob = {};
	char name[300];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cr_assert_eq(state_file_read(&blob, directory, "none", 10), -ENOENT);
	cr_assert_eq(state_file_write(directory, name, 0600, STATE_FILE_NO_GROUP, "a", 1),
		     -ENAMETOOLONG);
	testing_write(testing_path("made/of/parts/long"), "0123456789a", 11);
	cr_assert_eq(state_file_read(&blob, directory, "long", 10), -E2BIG);
	cr_assert_eq(symlink("long", testing_path("made/of/parts/link")), 0);
	cr_assert_eq(state_file_read(&blob, directory, "link", 100), -EBADF);
	cr_assert_eq(mkdir(testing_path("made/of/parts/folder"), 0700), 0);
	cr_assert_eq(state_file_read(&blob, directory, "folder", 100), -EBADF);
	cr_assert_null(blob.data);
	cr_assert_lt(state_directory_open(testing_path("made/of/parts/long"), 0700, &error), 0);
	cr_assert(strstr(error, "long"), "%s", error);
}

Test(common_state_file, writes_reads_removes)
{
	_cleanup_blob_ Blob blob = {};
	struct stat st;

	cr_assert_eq(state_file_write(directory, "f", 0400, STATE_FILE_NO_GROUP, "one", 3), 0);
	/* Also over one that may not be written, and a left-over of a crash. */
	testing_write(testing_path("made/of/parts/.f.new"), "half", 4);
	cr_assert_eq(state_file_write(directory, "f", 0440, getegid(), "three", 5), 0);
	cr_assert_eq(state_file_read(&blob, directory, "f", 5), 0);
	cr_assert_eq(blob.size, 5);
	cr_assert_arr_eq(blob.data, "three", 5);
	cr_assert_eq(stat(testing_path("made/of/parts/f"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0440);
	cr_assert_lt(access(testing_path("made/of/parts/.f.new"), F_OK), 0);
	cr_assert_eq(state_file_remove(directory, "f"), 0);
	cr_assert_eq(state_file_remove(directory, "f"), 0);
	cr_assert_lt(access(testing_path("made/of/parts/f"), F_OK), 0);
}

/* A link at the temporary's or the file's name is replaced, never followed. */
Test(common_state_file, does_not_follow_links)
{
	_cleanup_blob_ Blob written = {}, precious = {};
	struct stat st;

	testing_write(testing_path("precious"), "gold", 4);
	cr_assert_eq(symlink("../../../precious", testing_path("made/of/parts/.f.new")), 0);
	cr_assert_eq(symlink("../../../precious", testing_path("made/of/parts/f")), 0);
	cr_assert_eq(state_file_write(directory, "f", 0600, STATE_FILE_NO_GROUP, "lead!", 5), 0);
	cr_assert_eq(lstat(testing_path("made/of/parts/f"), &st), 0);
	cr_assert(S_ISREG(st.st_mode));
	cr_assert_eq(state_file_read(&written, directory, "f", 10), 0);
	cr_assert_eq(written.size, 5);
	cr_assert_arr_eq(written.data, "lead!", 5);
	cr_assert_eq(state_file_read(&precious, AT_FDCWD, testing_path("precious"), 10), 0);
	cr_assert_eq(precious.size, 4);
	cr_assert_arr_eq(precious.data, "gold", 4);
}
