/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "escape.h"

#include <string.h>

static size_t escape_byte(char out[static ESCAPE_MAX], unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char plain[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
	const char *known;

	if (c >= 0x20 && c != '"' && c != '\\') {
		out[0] = (char)c;
		return 1;
	}
	out[0] = '\\';
	known = c ? strchr(plain, c) : NULL;
	if (known) {
		out[1] = letters[known - plain];
		return 2;
	}
	memcpy(out + 1, "u00", 3);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return ESCAPE_MAX;
}

size_t escape_json(char *out, size_t room, const char **data, size_t *size)
{
	size_t used = 0;

	while (*size > 0) {
		char piece[ESCAPE_MAX];
		size_t n = escape_byte(piece, (unsigned char)**data);

		if (n > room - used)
			break;
		memcpy(out + used, piece, n);
		used += n;
		(*data)++;
		(*size)--;
	}
	return used;
}
