/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/hex.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

char *hex_encode(char *text, const void *data, size_t n)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * n] = '\0';
	return text;
}

static uint8_t digit_value(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

int hex_decode(void *data, size_t n, const char *text)
{
	uint8_t *bytes = data;

	if (!text || strspn(text, digits) != 2 * n || text[2 * n])
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
	return 0;
}
