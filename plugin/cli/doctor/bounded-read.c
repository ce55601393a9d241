/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor/bounded-read.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK 65536u

int bounded_read(BoundedRead *it, int fd, size_t max)
{
	ssize_t n;

	/* One byte for the NUL, and one to see that there is more than `max`. */
	if (it->room - it->size < 2) {
		char *more = realloc(it->text, it->room + CHUNK);

		if (!more)
			return -ENOMEM;
		it->text = more;
		it->room += CHUNK;
	}
	n = read(fd, it->text + it->size, it->room - it->size - 1);
	if (n < 0)
		return errno == EINTR ? 1 : -errno;
	it->size += (size_t)n;
	if (it->size > max)
		return -EFBIG;
	it->text[it->size] = '\0';
	return n > 0;
}
