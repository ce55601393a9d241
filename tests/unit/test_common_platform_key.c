/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"

#include "common/platform-key.h"

#include <errno.h>
#include <sys/wait.h>

TestSuite(common_platform_key, .init = testing_host_new, .fini = testing_host_remove);

Test(common_platform_key, refuses_what_it_cannot_use)
{
	static const struct {
		size_t size;
		mode_t mode;
		int r;
	} bad[] = { { 0, 0600, -EBADMSG },
		    { 31, 0600, -EBADMSG },
		    { 33, 0600, -EBADMSG },
		    { 32, 0644, -EPERM },
		    { 32, 0660, -EPERM } };
	_cleanup_free_ char *path = strdup(testing_path("key")),
			    *link = strdup(testing_path("link"));
	uint8_t key[TDREPORT_KEY_SIZE], bytes[33] = {};
	_cleanup_free_ char *linked = NULL;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *error = NULL;

		testing_write(path, bytes, bad[i].size);
		cr_assert_eq(chmod(path, bad[i].mode), 0);
		cr_assert_eq(platform_key_open(key, path, &error), bad[i].r, "%zu: %s", i, error);
		cr_assert(strstr(error, path), "%s", error);
	}
	testing_write(path, bytes, 32);
	cr_assert_eq(chmod(path, 0600), 0);
	cr_assert_eq(symlink(path, link), 0);
	cr_assert_eq(platform_key_open(key, link, &linked), -ELOOP, "%s", linked);
}

Test(common_platform_key, is_made_once)
{
	uint8_t first[TDREPORT_KEY_SIZE], second[TDREPORT_KEY_SIZE], zeros[TDREPORT_KEY_SIZE] = {};
	_cleanup_free_ char *path = strdup(testing_path("not/there/key")), *error = NULL;
	struct stat st;

	cr_assert_eq(platform_key_open(first, path, &error), 0, "%s", error);
	cr_assert_eq(platform_key_open(second, path, &error), 0, "%s", error);
	cr_assert_arr_eq(first, second, sizeof(first));
	cr_assert_arr_neq(first, zeros, sizeof(first));
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
	cr_assert_eq(st.st_size, TDREPORT_KEY_SIZE);
}

/* All who come at the same time read the same. */
Test(common_platform_key, is_made_once_by_many)
{
	enum { PROCESSES = 8 };
	_cleanup_free_ char *path = strdup(testing_path("key"));
	uint8_t key[TDREPORT_KEY_SIZE], theirs[TDREPORT_KEY_SIZE];
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	for (int i = 0; i < PROCESSES; i++)
		if (fork() == 0) {
			if (platform_key_open(key, path, NULL) == 0)
				(void)!write(ends[1], key, sizeof(key));
			_exit(0);
		}
	close(ends[1]);
	while (wait(NULL) > 0)
		;
	cr_assert_eq(platform_key_open(key, path, NULL), 0);
	for (int i = 0; i < PROCESSES; i++) {
		cr_assert_eq(read(ends[0], theirs, sizeof(theirs)), (ssize_t)sizeof(theirs));
		cr_assert_arr_eq(theirs, key, sizeof(key));
	}
	close(ends[0]);
}
