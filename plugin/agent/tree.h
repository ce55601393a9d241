/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of the system, all below one root: "" for the real one, a folder in the tests. Paths
 * are printf-formatted and begin with "/".
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Tree {
	const char *root;
} Tree;

/* *ret is allocated. -ENOMEM. */
int tree_path(const Tree *tree, char **ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* O_CLOEXEC is added. A descriptor, or a negative errno. */
int tree_open(const Tree *tree, int flags, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The whole file, at most `limit` bytes, with a NUL behind. *ret is allocated. Negative errno;
 * -EFBIG when there is more.
 */
int tree_read(const Tree *tree, char **ret, size_t *ret_size, size_t limit, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* An attribute's value without its newline, in a buffer of the caller. */
int tree_read_line(const Tree *tree, char *buffer, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A hexadecimal ("0x10de") or decimal number of one attribute. */
int tree_read_number(const Tree *tree, uint64_t *ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* One write(2) to a file that exists. */
int tree_write(const Tree *tree, const char *text, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The last component of a symbolic link's target. */
int tree_link_name(const Tree *tree, char *buffer, size_t size, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
