/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qemu.h"

#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define STAT_FIELD_START_TIME 22

/* Digits at *at up to `end`, advancing *at. False when there is none or it does not fit. */
static bool take_number(const char **at, const char *end, uint64_t *ret)
{
	const char *start = *at;
	uint64_t v = 0;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(**at - '0'), &v))
			return false;
	*ret = v;
	return *at > start;
}

int qemu_parse_pid(int64_t *ret, const char *text, size_t size)
{
	const char *end = text + size;
	uint64_t pid;

	if (!take_number(&text, end, &pid) || pid == 0 || pid > INT_MAX)
		return -EBADMSG;
	if (text < end && *text == '\n')
		text++;
	if (text != end)
		return -EBADMSG;
	*ret = (int64_t)pid;
	return 0;
}

int qemu_parse_start_time(uint64_t *ret, const char *text, size_t size)
{
	const char *end = text + size;
	/* Field 2 is the command's name in parentheses, and may hold blanks and parentheses. */
	const char *at = memrchr(text, ')', size);
	uint64_t v;

	if (!at)
		return -EBADMSG;
	at++;
	for (int field = 3; field <= STAT_FIELD_START_TIME; field++) {
		if (at == end || *at != ' ')
			return -EBADMSG;
		at++;
		if (field < STAT_FIELD_START_TIME) {
			at = memchr(at, ' ', (size_t)(end - at));
			if (!at)
				return -EBADMSG;
		}
	}
	if (!take_number(&at, end, &v) || at == end || (*at != ' ' && *at != '\n'))
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* The whole of a small file. Returns its size, or a negative errno; -EBADMSG when it is larger. */
static ssize_t read_small(const char *path, char *buffer, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buffer, size);
	if (n < 0)
		return -errno;
	return (size_t)n < size ? n : -EBADMSG;
}

int qemu_read(Qemu *ret, const char *root, const char *domain)
{
	char path[PATH_MAX], text[4096];
	Qemu qemu;
	ssize_t n;
	int r;

	r = snprintf(path, sizeof(path), "%s/run/libvirt/qemu/%s.pid", root, domain);
	if (r < 0 || (size_t)r >= sizeof(path) || strchr(domain, '/'))
		return -EINVAL;
	n = read_small(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	r = qemu_parse_pid(&qemu.pid, text, (size_t)n);
	if (r < 0)
		return r;

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)qemu.pid);
	n = read_small(path, text, sizeof(text));
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	r = qemu_parse_start_time(&qemu.start_time, text, (size_t)n);
	if (r < 0)
		return r;
	*ret = qemu;
	return 0;
}
