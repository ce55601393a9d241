/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/sentence.h"

#include <stdarg.h>
#include <stdio.h>

int sentence(char **ret_error, int r, const char *format, ...)
{
	va_list args;

	if (!ret_error)
		return r;
	va_start(args, format);
	if (vasprintf(ret_error, format, args) < 0)
		*ret_error = NULL;
	va_end(args);
	return r;
}
