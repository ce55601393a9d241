/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor/host-tree.h"

#include "cli/doctor/bounded-read.h"
#include "cli/text.h"
#include "core/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_FILE_MAX 65536u

char *host_tree_path(const char *root, const char *path)
{
	return text_format("%s%s", root, path);
}

bool host_tree_has(const char *root, const char *path, int *ret_error)
{
	_cleanup_free_ char *full = host_tree_path(root, path);
	bool has = faccessat(AT_FDCWD, full, F_OK, 0) == 0;

	if (ret_error)
		*ret_error = has ? 0 : -errno;
	return has;
}

static int open_file(const char *root, const char *path)
{
	_cleanup_free_ char *full = host_tree_path(root, path);
	_cleanup_close_ int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? steal_fd(&fd) : -EINVAL;
}

int host_tree_read(const char *root, const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = open_file(root, path);
	BoundedRead it = {};
	int r;

	if (fd < 0)
		return fd;
	while ((r = bounded_read(&it, fd, max)) > 0)
		;
	if (r < 0) {
		free(it.text);
		return r;
	}
	*ret = it.text;
	if (ret_size)
		*ret_size = it.size;
	return 0;
}

int host_tree_line(const char *root, const char *path, char *buffer, size_t size)
{
	_cleanup_free_ char *text = NULL;
	int r = host_tree_read(root, path, LINE_FILE_MAX, &text, NULL);

	buffer[0] = '\0';
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	snprintf(buffer, size, "%.*s", (int)size - 1, text);
	return 0;
}

int host_tree_count(const char *root, const char *path, int max)
{
	_cleanup_free_ char *full = host_tree_path(root, path);
	DIR *dir = opendir(full);
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return -errno;
	while (n < max && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}
