/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/bounded-text.h"

#include "rpc/json.h"

#include <string.h>

#define ELLIPSIS "..."

/* Bytes of the character at p, 0 when there is none. */
static size_t character(const char *p)
{
	for (size_t n = 1; n <= 4; n++) {
		if (json_utf8_valid(p, n))
			return n;
		if (p[n - 1] == '\0')
			break;
	}
	return 0;
}

char *bounded_text(const char *text, size_t max)
{
	size_t n_text = strnlen(text, max + 1), used = 0;
	size_t room = n_text > max ? max - strlen(ELLIPSIS) : max;
	char *copy;

	if (n_text <= max && json_utf8_valid(text, n_text))
		return strdup(text);
	copy = malloc(max + 1);
	if (!copy)
		return NULL;
	while (*text) {
		size_t n = character(text);

		if (used + (n ?: 1) > room)
			break;
		if (n > 0)
			memcpy(copy + used, text, n);
		else
			copy[used] = '?';
		used += n ?: 1;
		text += n ?: 1;
	}
	strcpy(copy + used, *text ? ELLIPSIS : "");
	return copy;
}
