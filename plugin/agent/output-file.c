/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/output-file.h"

#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int output_write_all(int fd, const void *data, size_t size)
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

static int write_in_place(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = output_write_all(fd, data, size);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int write_new(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return -errno;
	r = output_write_all(fd, data, size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int output_file_write(const char *path, const void *data, size_t size)
{
	/* Where a symbolic link leads is written, and the link stays. */
	_cleanup_free_ char *real = realpath(path, NULL), *temporary = NULL;
	struct stat st;
	int r;

	if (real && stat(real, &st) == 0 && !S_ISREG(st.st_mode))
		return write_in_place(real, data, size);
	if (asprintf(&temporary, "%s.%d.new", real ?: path, (int)getpid()) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	r = write_new(temporary, data, size);
	if (r == 0 && rename(temporary, real ?: path) < 0)
		r = -errno;
	if (r < 0 && r != -EEXIST)
		unlink(temporary);
	return r;
}
