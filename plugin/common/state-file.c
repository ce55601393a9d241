/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/state-file.h"

#include "core/cleanup.h"
#include "core/refusal.h"
#include "rpc/fd-write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_parents(const char *path)
{
	char parent[PATH_MAX];

	if (strlen(path) >= sizeof(parent))
		return -ENAMETOOLONG;
	strcpy(parent, path);
	for (char *p = parent + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

int state_directory_open(const char *path, mode_t mode, char **ret_error)
{
	int fd, r;

	r = make_parents(path);
	if (r < 0)
		return refuse(ret_error, r, "%s: cannot make the directories above: %s", path,
			      strerror(-r));
	if (mkdir(path, mode) < 0 && errno != EEXIST) {
		r = -errno;
		return refuse(ret_error, r, "%s: cannot make this directory: %s", path,
			      strerror(-r));
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		return refuse(ret_error, r, "%s: cannot open this directory: %s", path,
			      strerror(-r));
	}
	return fd;
}

static int write_temporary(int directory, const char *name, mode_t mode, gid_t group,
			   const void *data, size_t size)
{
	_cleanup_close_ int fd = -1;
	int r;

	/* Left behind by a crash; nobody else writes here. */
	if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, data, size);
	if (r < 0)
		return r;
	if (group != STATE_FILE_NO_GROUP && fchown(fd, (uid_t)-1, group) < 0)
		return -errno;
	if (fchmod(fd, mode) < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

int state_file_write(int directory, const char *name, mode_t mode, gid_t group, const void *data,
		     size_t size)
{
	char temporary[NAME_MAX + 1];
	int r;

	if (snprintf(temporary, sizeof(temporary), ".%s.new", name) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	r = write_temporary(directory, temporary, mode, group, data, size);
	if (r == 0 && renameat(directory, temporary, directory, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(directory, temporary, 0);
		return r;
	}
	return fsync(directory) < 0 ? -errno : 0;
}

int state_file_read(Blob *ret, int directory, const char *name, size_t max)
{
	_cleanup_close_ int fd = -1;
	_cleanup_blob_ Blob blob = {};
	struct stat st;

	fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP ? -EBADF : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	if ((uint64_t)st.st_size > max)
		return -E2BIG;
	blob.data = malloc(max + 1);
	if (!blob.data)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, blob.data + blob.size, max + 1 - blob.size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		blob.size += (size_t)n;
		if (blob.size > max)
			return -E2BIG;
	}
	*ret = blob_steal(&blob);
	return 0;
}

int state_file_remove(int directory, const char *name)
{
	if (unlinkat(directory, name, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	return fsync(directory) < 0 ? -errno : 0;
}
