/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/digest.h"

#include <criterion/criterion.h>

/* FIPS 180-4 examples. */
#define SHA384_ABC                                                                                 \
	"cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"                         \
	"8086072ba1e7cc2358baeca134c825a7"
#define SHA384_EMPTY                                                                               \
	"38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da"                         \
	"274edebfe76f65fbd51ad2f14898b95b"

Test(digest, known_values)
{
	struct iovec parts[] = { { (void *)"a", 1 }, { NULL, 0 }, { (void *)"bc", 2 } };
	char text[DIGEST_STRING_SIZE];
	Digest whole, sum;

	cr_assert_eq(digest_of(&whole, NULL, 0), 0);
	cr_assert_str_eq(digest_format(&whole, text), SHA384_EMPTY);
	cr_assert_eq(digest_of(&whole, "abc", 3), 0);
	cr_assert_str_eq(digest_format(&whole, text), SHA384_ABC);
	cr_assert_eq(digest_of_parts(&sum, parts, 3), 0);
	cr_assert(digest_equal(&whole, &sum));
	sum.bytes[47] ^= 1;
	cr_assert_not(digest_equal(&whole, &sum));
	cr_assert_not(digest_is_zero(&sum));
	cr_assert(digest_is_zero(&(Digest){}));
}
