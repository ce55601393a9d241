/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/uuid.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#define TEXT "00112233-4455-6677-8899-aabbccddeeff"

Test(uuid, refuses)
{
	static const char *const bad[] = {
		"",
		"0",
		"00112233-4455-6677-8899-aabbccddeef",
		TEXT "0",
		TEXT "\n",
		" " TEXT,
		"{00112233-4455-6677-8899-aabbccddeeff}",
		"00112233445566778899aabbccddeeff",
		"00112233-4455-6677-8899aabbccddeeff-",
		"0011223-34455-6677-8899-aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddeefg",
		"00112233-4455-6677-8899--abbccddeeff",
		"00112233_4455_6677_8899_aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddee f",
	};
	Uuid uuid, before;

	memset(&uuid, 0x5a, sizeof(uuid));
	before = uuid;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(uuid_from_string(&uuid, bad[i]), -EINVAL, "'%s' was taken", bad[i]);
	cr_assert_eq(uuid_from_string(&uuid, NULL), -EINVAL);
	cr_assert(uuid_equal(uuid, before));
}

Test(uuid, both_cases)
{
	char text[UUID_STRING_SIZE];
	Uuid lower, upper;

	cr_assert_eq(uuid_from_string(&lower, TEXT), 0);
	cr_assert_eq(uuid_from_string(&upper, "00112233-4455-6677-8899-AABBCCDDEEFF"), 0);
	cr_assert(uuid_equal(lower, upper));
	for (unsigned int i = 0; i < 16; i++)
		cr_assert_eq(lower.bytes[i], i * 0x11);
	cr_assert_eq(uuid_format(upper, text), text);
	cr_assert_str_eq(text, TEXT);
}

Test(uuid, order_is_that_of_the_texts)
{
	Uuid a, b;

	cr_assert_eq(uuid_from_string(&a, "00000000-0000-0000-0000-0000000000ff"), 0);
	cr_assert_eq(uuid_from_string(&b, "01000000-0000-0000-0000-000000000000"), 0);
	cr_assert_lt(uuid_order(a, b), 0);
	cr_assert_gt(uuid_order(b, a), 0);
	cr_assert_eq(uuid_order(a, a), 0);
	cr_assert_not(uuid_equal(a, b));
}
