/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/process.h"

#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

int process_start_time(uint64_t *ret, const char *root, pid_t pid)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	unsigned long long value;
	char text[1024], *p;
	ssize_t n;

	if (asprintf(&path, "%s/proc/%d/stat", root, (int)pid) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	/* The name in field 2 may hold anything, also spaces and parentheses. */
	p = strrchr(text, ')');
	for (int field = 3; p && field <= 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %llu", &value) != 1)
		return -EBADMSG;
	*ret = value;
	return 0;
}

int process_hold(pid_t pid, uint64_t start_time)
{
	/* Opened first, so that what is looked at is what is held. */
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t now;
	int r;

	/* The number of a thread, which leads no process: EINVAL, or ENOENT since Linux 6.13. */
	if (fd < 0)
		return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
	r = process_start_time(&now, "", pid);
	if (r < 0)
		return r;
	return now == start_time ? steal_fd(&fd) : -ESRCH;
}
