/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/tree.h"

#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 3, 0))) static int path_v(const Tree *tree, char **ret,
							const char *format, va_list arguments)
{
	_cleanup_free_ char *tail = NULL;

	if (vasprintf(&tail, format, arguments) < 0) {
		tail = NULL;
		return -ENOMEM;
	}
	return asprintf(ret, "%s%s", tree->root, tail) < 0 ? -ENOMEM : 0;
}

__attribute__((format(printf, 3, 0))) static int open_v(const Tree *tree, int flags,
							const char *format, va_list arguments)
{
	_cleanup_free_ char *path = NULL;
	int r, fd;

	r = path_v(tree, &path, format, arguments);
	if (r < 0)
		return r;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_all(int fd, char *buffer, size_t size, size_t *ret_size)
{
	*ret_size = 0;
	while (*ret_size < size) {
		ssize_t n = read(fd, buffer + *ret_size, size - *ret_size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*ret_size += (size_t)n;
	}
	return 0;
}

int tree_path(const Tree *tree, char **ret, const char *format, ...)
{
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = path_v(tree, ret, format, arguments);
	va_end(arguments);
	return r;
}

int tree_open(const Tree *tree, int flags, const char *format, ...)
{
	va_list arguments;
	int fd;

	va_start(arguments, format);
	fd = open_v(tree, flags, format, arguments);
	va_end(arguments);
	return fd;
}

int tree_read(const Tree *tree, char **ret, size_t *ret_size, size_t limit, const char *format, ...)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *buffer = NULL;
	va_list arguments;
	size_t used;
	int r;

	va_start(arguments, format);
	fd = open_v(tree, O_RDONLY, format, arguments);
	va_end(arguments);
	if (fd < 0)
		return fd;
	buffer = malloc(limit + 1);
	if (!buffer)
		return -ENOMEM;
	r = read_all(fd, buffer, limit + 1, &used);
	if (r < 0)
		return r;
	if (used > limit)
		return -EFBIG;
	buffer[used] = '\0';
	*ret = steal_ptr(buffer);
	*ret_size = used;
	return 0;
}

__attribute__((format(printf, 4, 0))) static int line_v(const Tree *tree, char *buffer, size_t size,
							const char *format, va_list arguments)
{
	_cleanup_close_ int fd = open_v(tree, O_RDONLY, format, arguments);
	size_t used;
	int r;

	if (fd < 0)
		return fd;
	r = read_all(fd, buffer, size, &used);
	if (r < 0)
		return r;
	if (used == size)
		return -EFBIG;
	if (used > 0 && buffer[used - 1] == '\n')
		used--;
	buffer[used] = '\0';
	return strlen(buffer) == used ? 0 : -EBADMSG;
}

int tree_read_line(const Tree *tree, char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	int r;

	va_start(arguments, format);
	r = line_v(tree, buffer, size, format, arguments);
	va_end(arguments);
	return r;
}

int tree_read_number(const Tree *tree, uint64_t *ret, const char *format, ...)
{
	char text[32], *end;
	va_list arguments;
	uint64_t value;
	int r;

	va_start(arguments, format);
	r = line_v(tree, text, sizeof(text), format, arguments);
	va_end(arguments);
	if (r < 0)
		return r;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || text[0] == '-')
		return -EBADMSG;
	*ret = value;
	return 0;
}

int tree_write(const Tree *tree, const char *text, const char *format, ...)
{
	_cleanup_close_ int fd = -1;
	size_t size = strlen(text);
	va_list arguments;
	ssize_t n;

	va_start(arguments, format);
	fd = open_v(tree, O_WRONLY, format, arguments);
	va_end(arguments);
	if (fd < 0)
		return fd;
	n = write(fd, text, size);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

int tree_link_name(const Tree *tree, char *buffer, size_t size, const char *format, ...)
{
	_cleanup_free_ char *path = NULL;
	char target[PATH_MAX], *slash;
	va_list arguments;
	ssize_t n;
	int r;

	va_start(arguments, format);
	r = path_v(tree, &path, format, arguments);
	va_end(arguments);
	if (r < 0)
		return r;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	slash = strrchr(target, '/');
	if (snprintf(buffer, size, "%s", slash ? slash + 1 : target) >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}
