/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/bdf.h"

#include <errno.h>
#include <string.h>

static int hex_digits(const char *text, unsigned int n, unsigned int *ret)
{
	unsigned int value = 0;

	for (unsigned int i = 0; i < n; i++) {
		char c = text[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (unsigned int)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (unsigned int)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (unsigned int)(c - 'A' + 10);
		else
			return -EINVAL;
	}
	*ret = value;
	return 0;
}

int bdf_parse(Bdf *ret, const char *text)
{
	unsigned int segment, bus, device, function;

	if (!text || strnlen(text, BDF_STRING_SIZE) != BDF_STRING_SIZE - 1)
		return -EINVAL;
	if (text[4] != ':' || text[7] != ':' || text[10] != '.')
		return -EINVAL;
	if (hex_digits(text, 4, &segment) < 0 || hex_digits(text + 5, 2, &bus) < 0 ||
	    hex_digits(text + 8, 2, &device) < 0 || hex_digits(text + 11, 1, &function) < 0)
		return -EINVAL;
	if (device > 31 || function > 7)
		return -EINVAL;
	*ret = (Bdf){ .segment = (uint16_t)segment,
		      .bus = (uint8_t)bus,
		      .device = (uint8_t)device,
		      .function = (uint8_t)function };
	return 0;
}

static char *put_hex(char *to, unsigned int value, unsigned int n)
{
	while (n-- > 0)
		*to++ = "0123456789abcdef"[value >> 4 * n & 15];
	return to;
}

/* In every message, record and call several times: snprintf would be a seventh of an attach. */
const char *bdf_format(Bdf bdf, char buffer[static BDF_STRING_SIZE])
{
	char *to = put_hex(buffer, bdf.segment, 4);

	*to++ = ':';
	to = put_hex(to, bdf.bus, 2);
	*to++ = ':';
	to = put_hex(to, bdf.device & 31U, 2);
	*to++ = '.';
	to = put_hex(to, bdf.function & 7U, 1);
	*to = '\0';
	return buffer;
}

bool bdf_equal(Bdf a, Bdf b)
{
	return bdf_requester_id(a) == bdf_requester_id(b);
}

int bdf_order(Bdf a, Bdf b)
{
	uint32_t x = bdf_requester_id(a), y = bdf_requester_id(b);

	return x < y ? -1 : x > y;
}

uint32_t bdf_requester_id(Bdf bdf)
{
	return (uint32_t)bdf.segment << 16 | (uint32_t)bdf.bus << 8 | (bdf.device & 31U) << 3 |
	       (bdf.function & 7U);
}

Bdf bdf_from_requester_id(uint32_t requester_id)
{
	return (Bdf){ .segment = (uint16_t)(requester_id >> 16),
		      .bus = (uint8_t)(requester_id >> 8),
		      .device = (requester_id >> 3) & 31U,
		      .function = requester_id & 7U };
}
