/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/base64.h"

#include "core/cleanup.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(char **ret, const void *data, size_t len)
{
	const uint8_t *p = data;
	char *text, *q;

	if (len > SIZE_MAX / 4 * 3 - 3)
		return -ENOMEM;
	q = text = malloc((len + 2) / 3 * 4 + 1);
	if (!text)
		return -ENOMEM;

	while (len > 0) {
		size_t n = len < 3 ? len : 3;
		uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) |
			     (n > 2 ? p[2] : 0u);

		*q++ = alphabet[v >> 18];
		*q++ = alphabet[v >> 12 & 63];
		*q++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
		*q++ = n > 2 ? alphabet[v & 63] : '=';
		p += n;
		len -= n;
	}
	*q = '\0';
	*ret = text;
	return 0;
}

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Four characters to `n` bytes; the caller has seen that the last 3 - n are padding. */
static int decode_group(uint8_t *out, const char *text, size_t n)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int digit = i <= n ? digit_value(text[i]) : 0;

		if (digit < 0)
			return -EBADMSG;
		v = v << 6 | (uint32_t)digit;
	}
	/* RFC 4648 section 3.5: the bits that no byte uses must be zero. */
	if (v & ((1u << 8 * (3 - n)) - 1))
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(v >> (16 - 8 * i));
	return 0;
}

int base64_decode(uint8_t **ret, size_t *ret_len, const char *text, size_t max)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t groups, padding = 0, len;
	size_t text_len = strlen(text);
	int r;

	if (text_len % 4 != 0)
		return -EBADMSG;
	groups = text_len / 4;
	if (groups > 0 && text[text_len - 1] == '=')
		padding = text[text_len - 2] == '=' ? 2 : 1;
	len = groups * 3 - padding;
	if (len > max)
		return -E2BIG;

	data = malloc(len + 1);
	if (!data)
		return -ENOMEM;
	for (size_t i = 0; i < groups; i++) {
		r = decode_group(data + 3 * i, text + 4 * i, i + 1 == groups ? 3 - padding : 3);
		if (r < 0)
			return r;
	}
	data[len] = '\0';
	*ret = steal_ptr(data);
	*ret_len = len;
	return 0;
}
