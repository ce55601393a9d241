/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sentence that goes with a negative errno up to whoever has to act on it. */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/*
 * return error_set(ret_error, -EINVAL, "%s: no such device", name);
 *
 * Writes an allocated sentence (NULL when memory is out) unless ret_error is NULL; returns `error`.
 */
__attribute__((format(printf, 3, 4))) static inline int error_set(char **ret_error, int error,
								  const char *format, ...)
{
	va_list ap;

	if (ret_error) {
		va_start(ap, format);
		if (vasprintf(ret_error, format, ap) < 0)
			*ret_error = NULL;
		va_end(ap);
	}
	return error;
}
