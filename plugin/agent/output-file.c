/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/output-file.h"

#include "core/cleanup.h"
#include "rpc/fd-write.h"
#include "rpc/json.h"
#include "rpc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_in_place(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, size);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

static int fsync_folder(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int replace(const char *path, mode_t mode, const void *data, size_t size)
{
	_cleanup_free_ char *temporary = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, size);
	if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	/* It is there; a folder that cannot be read or synced is no reason to say that it is not.
	 */
	r = fsync_folder(path);
	if (r < 0)
		log_debug("%s: its folder cannot be synced: %s", json_shown(path), strerror(-r));
	return 0;
}

/* There is no way to ask but to set it. */
static mode_t mode_of_new(void)
{
	mode_t mask = umask(022);

	umask(mask);
	return 0644 & ~mask;
}

int output_file_write(const char *path, const void *data, size_t size)
{
	_cleanup_free_ char *real = NULL;
	struct stat st;

	/* Not by the path's name: that of a pipe, /dev/stdout leads there, is no path. */
	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return write_in_place(path, data, size);
		/* Where a symbolic link leads is written, and the link stays. */
		real = realpath(path, NULL);
		return real ? replace(real, st.st_mode & 0777, data, size) : -errno;
	}
	if (errno != ENOENT)
		return -errno;
	if (lstat(path, &st) == 0) {
		log_error("%s: this symbolic link leads to no file; name the file itself, or "
			  "remove the link",
			  json_shown(path));
		return -ENOENT;
	}
	return replace(path, mode_of_new(), data, size);
}
