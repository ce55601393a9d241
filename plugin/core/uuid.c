/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/uuid.h"

#include "core/hex.h"

#include <errno.h>
#include <string.h>

#define N_DIGITS (2 * sizeof(Uuid))

_Static_assert(sizeof(Uuid) == 16, "a UUID is 16 bytes");
_Static_assert(UUID_STRING_SIZE == N_DIGITS + 4 + 1, "digits, hyphens, NUL");

static bool hyphen_at(unsigned int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

int uuid_from_string(Uuid *ret, const char *text)
{
	char digits[HEX_STRING_SIZE(sizeof(Uuid))] = "";
	unsigned int n = 0;

	if (!text || strnlen(text, UUID_STRING_SIZE) != UUID_STRING_SIZE - 1)
		return -EINVAL;
	for (unsigned int i = 0; i < UUID_STRING_SIZE - 1; i++) {
		char c = text[i];

		if (hyphen_at(i) != (c == '-'))
			return -EINVAL;
		if (c != '-')
			digits[n++] = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
	}
	return hex_decode(ret->bytes, sizeof(ret->bytes), digits);
}

const char *uuid_format(Uuid uuid, char buffer[static UUID_STRING_SIZE])
{
	char digits[HEX_STRING_SIZE(sizeof(Uuid))];
	const char *from = hex_encode(digits, uuid.bytes, sizeof(uuid.bytes));

	for (unsigned int i = 0; i < UUID_STRING_SIZE - 1; i++)
		buffer[i] = hyphen_at(i) ? '-' : *from++;
	buffer[UUID_STRING_SIZE - 1] = '\0';
	return buffer;
}

bool uuid_equal(Uuid a, Uuid b)
{
	return uuid_order(a, b) == 0;
}

int uuid_order(Uuid a, Uuid b)
{
	return memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}
