/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor/bounded-read.h"
#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* All of a pipe that has so many bytes in it. */
static int read_all(BoundedRead *it, size_t size, size_t max)
{
	char text[60000];
	int ends[2], r;

	cr_assert_leq(size, sizeof(text));
	memset(text, 'x', sizeof(text));
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(write(ends[1], text, size), (ssize_t)size);
	close(ends[1]);
	while ((r = bounded_read(it, ends[0], max)) > 0)
		;
	close(ends[0]);
	return r;
}

Test(cli_bounded_read, not_readable)
{
	BoundedRead it = {};

	cr_assert_eq(bounded_read(&it, -1, 100), -EBADF);
	free(it.text);
}

Test(cli_bounded_read, more_than_it_may_be)
{
	static const size_t sizes[] = { 101, 5000, 60000 };

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		BoundedRead it = {};

		cr_assert_eq(read_all(&it, sizes[i], 100), -EFBIG, "%zu", sizes[i]);
		free(it.text);
	}
}

Test(cli_bounded_read, all_of_it)
{
	static const size_t sizes[] = { 0, 1, 100, 4096, 60000 };

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		BoundedRead it = {};

		cr_assert_eq(read_all(&it, sizes[i], sizes[i]), 0, "%zu", sizes[i]);
		cr_assert_eq(it.size, sizes[i]);
		cr_assert_eq(strlen(it.text), sizes[i]);
		free(it.text);
	}
}
