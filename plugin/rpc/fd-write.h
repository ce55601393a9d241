/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* write(2) until everything is written. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* To a blocking descriptor. 0, or -errno: how much has been written by then is not told. */
static inline int fd_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}
