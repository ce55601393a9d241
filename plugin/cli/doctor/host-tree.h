/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of the host below a root, "" for the host's own; paths begin with '/'. Nothing here waits:
 * what is neither a file nor a directory is not opened for longer than a look, and is -EINVAL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Allocated; memory that is out ends the process. */
char *host_tree_path(const char *root, const char *path);

/* True only when it is there; *ret_error (may be NULL): else -ENOENT, -EACCES, ... */
bool host_tree_has(const char *root, const char *path, int *ret_error);

/* The whole file, followed by a NUL. -EFBIG: more than `max` bytes. *ret is malloc'ed. */
int host_tree_read(const char *root, const char *path, size_t max, char **ret, size_t *ret_size);

/* The first line without its end, cut to the buffer. "" and a negative errno on failure. */
int host_tree_line(const char *root, const char *path, char *buffer, size_t size);

/* How many names a directory has, counted up to `max`; or a negative errno. */
int host_tree_count(const char *root, const char *path, int max);
