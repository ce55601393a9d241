/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a journal's file says: which of its lines count. */
#include "daemon/journal-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEN_MAX 200

bool journal_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= NAME_LEN_MAX && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-") ==
		       n;
}

void journal_image_done(JournalImage *image)
{
	free(image->bytes);
	free(image->lines);
	*image = (JournalImage){};
}

/* What a file system says of its own is no verdict about what is in the file. */
static int error_of_file(void)
{
	return errno == EBADMSG ? -EIO : -errno;
}

static int read_all(char **ret, size_t *ret_size, int fd)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_of_file();
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	if (st.st_size > JOURNAL_SIZE_MAX)
		return -EFBIG;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	while (size < (size_t)st.st_size) {
		ssize_t n = pread(fd, bytes + size, (size_t)st.st_size - size, (off_t)size);

		if (n < 0)
			return error_of_file();
		if (n == 0)
			break;
		size += (size_t)n;
	}
	*ret = steal_ptr(bytes);
	*ret_size = size;
	return 0;
}

static JournalLine line_at(char *line, size_t len, size_t at)
{
	char *space = memchr(line, ' ', len);

	line[len] = '\0';
	if (!space)
		return (JournalLine){ .text = line, .len = len, .at = at };
	*space = '\0';
	if (strlen(line) == (size_t)(space - line) && journal_name_valid(line))
		return (JournalLine){ .name = line,
				      .text = space + 1,
				      .len = len - (size_t)(space + 1 - line),
				      .at = at };
	*space = ' ';
	return (JournalLine){ .text = line, .len = len, .at = at };
}

static int by_name(const void *a, const void *b)
{
	const JournalLine *l = a, *m = b;
	int order = !l->name || !m->name ? !!l->name - !!m->name : strcmp(l->name, m->name);

	return order ?: (l->at > m->at) - (l->at < m->at);
}

/* The last of each name, unless that says that it is no longer; and all without a name. */
static void keep_what_counts(JournalImage *image)
{
	size_t kept = 0;

	qsort(image->lines, image->n_lines, sizeof(image->lines[0]), by_name);
	for (size_t i = 0; i < image->n_lines; i++) {
		const JournalLine *line = &image->lines[i], *next = line + 1;

		if (line->name && i + 1 < image->n_lines && strcmp(line->name, next->name) == 0)
			continue;
		if (line->name && line->len > 0)
			image->live += strlen(line->name) + line->len + 2;
		if (!line->name || line->len > 0)
			image->lines[kept++] = *line;
	}
	image->n_lines = kept;
}

static size_t count_lines(const char *p, const char *end)
{
	size_t n = 0;

	for (; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		n++;
	return n;
}

int journal_read_image(JournalImage *ret, int fd)
{
	_cleanup_(journal_image_done) JournalImage image = {};
	size_t size = 0;
	char *line, *newline, *end;
	int r = read_all(&image.bytes, &size, fd);

	if (r < 0)
		return r;
	end = memrchr(image.bytes, '\n', size);
	if (!end)
		return -EBADMSG;
	end++;
	image.size = (size_t)(end - image.bytes);
	image.torn = image.size < size;
	image.header = image.bytes;
	image.lines = calloc(count_lines(image.bytes, end), sizeof(image.lines[0]));
	if (!image.lines)
		return -ENOMEM;
	line = memchr(image.bytes, '\n', size);
	*line++ = '\0';
	for (; line < end; line = newline + 1) {
		newline = memchr(line, '\n', (size_t)(end - line));
		image.lines[image.n_lines++] =
			line_at(line, (size_t)(newline - line), (size_t)(line - image.bytes));
	}
	keep_what_counts(&image);
	*ret = image;
	image = (JournalImage){};
	return 0;
}

int journal_read(JournalImage *ret, int directory, const char *file)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	_cleanup_close_ int fd = openat(directory, file, flags);

	if (fd >= 0)
		return journal_read_image(ret, fd);
	return errno == ELOOP || errno == ENXIO ? -EBADMSG : error_of_file();
}
