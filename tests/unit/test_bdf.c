/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/bdf.h"

#include <criterion/criterion.h>

#include <errno.h>

Test(bdf, refuses)
{
	static const char *const bad[] = {
		"",
		"0",
		"0000:01:00",
		"01:00.0",
		"0000:01:00.",
		"0000:01:00.00",
		"0000:01:00.0 ",
		" 0000:01:00.0",
		"0000:01:20.0",
		"0000:01:00.8",
		"0000:01:00.g",
		"000g:01:00.0",
		"0000.01:00.0",
		"0000:01.00.0",
		"0000:01:00:0",
		"+000:01:00.0",
		"00000:01:00.0",
		"0x00:01:00.0",
		"0000:-1:00.0",
	};
	Bdf bdf = { 1, 2, 3, 4 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(bdf_parse(&bdf, bad[i]), -EINVAL, "'%s' was taken", bad[i]);
	cr_assert_eq(bdf_parse(&bdf, NULL), -EINVAL);
	cr_assert(bdf_equal(bdf, (Bdf){ 1, 2, 3, 4 }));
}

Test(bdf, limits)
{
	char text[BDF_STRING_SIZE];
	Bdf bdf;

	cr_assert_eq(bdf_parse(&bdf, "FFFF:fF:1f.7"), 0);
	cr_assert(bdf_equal(bdf, (Bdf){ 0xffff, 0xff, 31, 7 }));
	cr_assert_str_eq(bdf_format(bdf, text), "ffff:ff:1f.7");
	cr_assert_eq(bdf_requester_id(bdf), UINT32_MAX);
	cr_assert_eq(bdf_parse(&bdf, "0000:00:00.0"), 0);
	cr_assert_eq(bdf_requester_id(bdf), 0);
	cr_assert_str_eq(bdf_format(bdf, text), "0000:00:00.0");
}

Test(bdf, each_part_counts)
{
	static const Bdf others[] = {
		{ 1, 1, 1, 1 }, { 0, 2, 1, 1 }, { 0, 1, 2, 1 }, { 0, 1, 1, 2 }
	};
	Bdf bdf = { 0, 1, 1, 1 };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_not(bdf_equal(bdf, others[i]));
}

Test(bdf, requester_id)
{
	Bdf bdf = bdf_from_requester_id(0x00120605);

	cr_assert(bdf_equal(bdf, (Bdf){ 0x12, 6, 0, 5 }));
	cr_assert_eq(bdf_requester_id((Bdf){ 0x12, 6, 0x10, 5 }), 0x00120685);
	for (uint32_t id = 0; id < 0x20000; id++)
		cr_assert_eq(bdf_requester_id(bdf_from_requester_id(id)), id);
}
