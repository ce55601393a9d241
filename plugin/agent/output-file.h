/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that a command was told to write: all of it, or what was there before. */
#pragma once

#include <stddef.h>

/*
 * By way of a file beside it, fsync and rename; with the mode of what was there, or 0644 less the
 * umask. What is no regular file (a pipe, also as /dev/stdout) is written to. -errno: stat(2)'s,
 * open(2)'s, write(2)'s, fsync(2)'s, rename(2)'s; -ENOENT for a symbolic link to nothing, too, with
 * a line in the log; -ENOMEM.
 */
int output_file_write(const char *path, const void *data, size_t size);
