/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sentence that goes to an operator along with an error code. */
#pragma once

#include <stdarg.h>
#include <stdio.h>

/*
 * Formats into *ret_error, if there is one and it holds none yet (the innermost cause is the one
 * worth reading), and returns `code`. The caller frees *ret_error, which may stay NULL when memory
 * ran out.
 */
__attribute__((format(printf, 3, 4))) static inline int refuse(char **ret_error, int code,
							       const char *format, ...)
{
	va_list arguments;

	if (!ret_error || *ret_error)
		return code;
	va_start(arguments, format);
	if (vasprintf(ret_error, format, arguments) < 0)
		*ret_error = NULL;
	va_end(arguments);
	return code;
}
