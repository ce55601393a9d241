/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that a descriptor has, bounded in size. */
#pragma once

#include <stddef.h>

/* Zeroed to begin with. */
typedef struct BoundedRead {
	char *text; /* malloc'ed; followed by a NUL once all is read */
	size_t size;
	size_t room;
} BoundedRead;

/*
 * One read(2). 1: there may be more. 0: that was all. -EFBIG: more than `max` bytes; -ENOMEM;
 * read(2)'s error.
 */
int bounded_read(BoundedRead *it, int fd, size_t max);
