/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/hex.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>

Test(hex, decode_refuses)
{
	static const char *const bad[] = {
		"", "0", "001", "00112", "001122", "00 11", "0x11", "00g1", "00A1", "-011", "001\n",
	};
	uint8_t bytes[2] = { 0xde, 0xad };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(hex_decode(bytes, 2, bad[i]), -EINVAL, "'%s' was taken", bad[i]);
	cr_assert_eq(hex_decode(bytes, 2, NULL), -EINVAL);
	cr_assert_eq(hex_decode(bytes, 0, "00"), -EINVAL);
	cr_assert_eq(bytes[0], 0xde);
	cr_assert_eq(bytes[1], 0xad);
}

Test(hex, encode)
{
	char text[HEX_STRING_SIZE(4)];

	memset(text, 'x', sizeof(text));
	cr_assert_eq(hex_encode(text, "\x00\x9a\xff\x0f", 4), text);
	cr_assert_str_eq(text, "009aff0f");
	cr_assert_str_eq(hex_encode(text, NULL, 0), "");
}

Test(hex, every_byte_comes_back)
{
	char text[HEX_STRING_SIZE(1)];

	for (unsigned int i = 0; i < 256; i++) {
		uint8_t byte = (uint8_t)i, back = (uint8_t)~i;

		cr_assert_eq(hex_decode(&back, 1, hex_encode(text, &byte, 1)), 0);
		cr_assert_eq(back, byte);
	}
	cr_assert_eq(hex_decode(NULL, 0, ""), 0);
}
