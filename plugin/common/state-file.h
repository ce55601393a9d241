/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small files that are either wholly there or not at all, also after a crash. */
#pragma once

#include "common/blob.h"

#include <sys/types.h>

#define STATE_FILE_NO_GROUP ((gid_t)-1)

/*
 * Opens a directory, made with `mode` (and its missing parents with 0755) if it is not there.
 * Returns the fd or a negative errno with a sentence.
 */
int state_directory_open(const char *path, mode_t mode, char **ret_error);

/*
 * Writes `name` in the directory by way of a temporary file (O_EXCL, O_NOFOLLOW), fsync, rename and
 * fsync of the directory. The file belongs to `group` unless that is STATE_FILE_NO_GROUP.
 */
int state_file_write(int directory, const char *name, mode_t mode, gid_t group, const void *data,
		     size_t size);

/*
 * Reads a regular file of at most `max` bytes; a symbolic link is not followed. -ENOENT; -EBADF if
 * it is not a regular file; -E2BIG.
 */
int state_file_read(Blob *ret, int directory, const char *name, size_t max);

/* Removes `name` and makes that durable. Success if there is none. */
int state_file_remove(int directory, const char *name);
