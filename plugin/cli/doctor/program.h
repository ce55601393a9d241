/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What another program prints, bounded in time and size. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Runs `arguments` (ended by NULL; a name without '/' is looked for in PATH) with nothing to read
 * and its errors thrown away. 0 and its output, followed by a NUL, when it ends with 0; -ENOENT:
 * there is no such program; -ETIME, -EFBIG: it was killed; -EPROTO: it ended with another status.
 * *ret is malloc'ed; ret_size may be NULL.
 */
int program_output(const char *const *arguments, uint32_t timeout_ms, size_t max, char **ret,
		   size_t *ret_size);
