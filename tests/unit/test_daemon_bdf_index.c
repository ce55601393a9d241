/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/bdf-index.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>

#include <errno.h>

static int things[70000];

static Bdf nth(unsigned int n)
{
	return (Bdf){ .segment = (uint16_t)(n >> 16),
		      .bus = (uint8_t)(n >> 8),
		      .device = n >> 3 & 31,
		      .function = n & 7 };
}

Test(daemon_bdf_index, nothing_there)
{
	BdfIndex index = {};

	cr_assert_null(bdf_index_find(&index, (Bdf){}));
	bdf_index_done(&index);
	cr_assert_null(bdf_index_find(&index, (Bdf){}));
}

/* Each part of an address counts, and 0000:00:00.0 is one, too. */
Test(daemon_bdf_index, addresses_that_differ_in_one_part)
{
	_cleanup_(bdf_index_done) BdfIndex index = {};
	const Bdf bdfs[] = {
		{}, { 0, 1, 2, 3 }, { 1, 1, 2, 3 }, { 0, 2, 2, 3 }, { 0, 1, 3, 3 }, { 0, 1, 2, 4 }
	};

	for (size_t i = 0; i < ELEMENTSOF(bdfs); i++) {
		cr_assert_null(bdf_index_find(&index, bdfs[i]));
		cr_assert_eq(bdf_index_add(&index, bdfs[i], &things[i]), 0);
	}
	for (size_t i = 0; i < ELEMENTSOF(bdfs); i++)
		cr_assert_eq(bdf_index_find(&index, bdfs[i]), &things[i]);
}

Test(daemon_bdf_index, twice)
{
	_cleanup_(bdf_index_done) BdfIndex index = {};

	cr_assert_eq(bdf_index_add(&index, nth(7), &things[0]), 0);
	cr_assert_eq(bdf_index_add(&index, nth(7), &things[1]), -EEXIST);
	cr_assert_eq(bdf_index_find(&index, nth(7)), &things[0]);
}

/* It grows before it finds out. */
Test(daemon_bdf_index, twice_when_half_full)
{
	_cleanup_(bdf_index_done) BdfIndex index = {};

	for (unsigned int i = 0; i < 1000; i++) {
		cr_assert_eq(bdf_index_add(&index, nth(i), &things[i]), 0);
		cr_assert_eq(bdf_index_add(&index, nth(i / 2), &things[0]), -EEXIST);
	}
	for (unsigned int i = 0; i < 1000; i++)
		cr_assert_eq(bdf_index_find(&index, nth(i)), &things[i]);
}

Test(daemon_bdf_index, many_in_two_segments)
{
	_cleanup_(bdf_index_done) BdfIndex index = {};

	for (unsigned int i = 0; i < ELEMENTSOF(things); i += 2)
		cr_assert_eq(bdf_index_add(&index, nth(i), &things[i]), 0);
	for (unsigned int i = 0; i < ELEMENTSOF(things); i++)
		cr_assert_eq(bdf_index_find(&index, nth(i)), i % 2 ? NULL : &things[i]);
}
