/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/measurement-block.h"
#include "data/spdm-capture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Behind the request (37) and the head of MEASUREMENTS (8). */
#define RECORD	    (capture_measurements + 45)
#define RECORD_SIZE 448
#define BLOCKS	    8

static MeasurementSet set;

static void refused(const uint8_t *record, size_t size, unsigned int n, const char *about)
{
	char *error = NULL;

	set.n_blocks = 0;
	cr_assert_eq(measurement_set_add(&set, record, size, n, &error), -EBADMSG, "%s", about);
	cr_assert_not_null(error);
	cr_assert(strstr(error, about), "\"%s\" says nothing of \"%s\"", error, about);
	cr_assert_eq(set.n_blocks, 0);
	free(error);
}

static void refused_with(size_t at, uint8_t value, const char *about)
{
	uint8_t copy[RECORD_SIZE];

	memcpy(copy, RECORD, sizeof(copy));
	copy[at] = value;
	refused(copy, sizeof(copy), BLOCKS, about);
}

Test(measurement_block, broken)
{
	refused(NULL, 0, 1, "ends inside a block");
	for (size_t n = 0; n < RECORD_SIZE; n++)
		cr_assert_eq(measurement_set_add(&set, RECORD, n, BLOCKS, NULL), -EBADMSG, "%zu",
			     n);
	refused(RECORD, RECORD_SIZE, BLOCKS - 1, "after the last");
	refused(RECORD, RECORD_SIZE, BLOCKS + 1, "ends inside a block");
	refused_with(0, 0, "reserved index 0x00");
	refused_with(0, 0xff, "reserved index 0xff");
	refused_with(1, 2, "specification 0x02");
	refused_with(2, 52, "does not fit");
	refused_with(4, 11, "unknown type 11");
	refused_with(5, 47, "does not fit");
	refused_with(55, 1, "0x01 appears twice");
	/* The SVN's eight raw bytes called a digest. */
	refused_with(4 * 55 + 4, MEASUREMENT_SVN, "a digest of 8 bytes");
}

Test(measurement_block, not_what_is_asked)
{
	MeasurementBlock block = { .type = MEASUREMENT_SVN, .value_size = 8 };
	uint8_t value[16] = {};
	MeasurementDeviceMode mode;
	uint64_t svn;

	block.value = value;
	cr_assert_eq(measurement_block_svn(&block, &svn), -ENODATA, "not raw");
	block.raw = true;
	cr_assert_eq(measurement_block_svn(&block, &svn), 0);
	cr_assert_eq(measurement_block_device_mode(&block, &mode), -ENODATA);
	block.value_size = 7;
	cr_assert_eq(measurement_block_svn(&block, &svn), -ENODATA);
	block.type = MEASUREMENT_DEVICE_MODE;
	block.value_size = 15;
	cr_assert_eq(measurement_block_device_mode(&block, &mode), -ENODATA);
}

Test(measurement_block, capture)
{
	uint8_t buffer[RECORD_SIZE];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	const MeasurementBlock *block;
	MeasurementDeviceMode mode;
	Digest digest, expected;
	uint64_t svn;

	cr_assert_eq(measurement_set_add(&set, RECORD, RECORD_SIZE, BLOCKS, NULL), 0);
	cr_assert_eq(set.n_blocks, BLOCKS);
	cr_assert_null(measurement_set_find(&set, 5));
	block = measurement_set_find(&set, 0x10);
	cr_assert_eq(measurement_block_svn(block, &svn), 0);
	cr_assert_eq(svn, 7);
	block = measurement_set_find(&set, 0xfe);
	cr_assert_eq(measurement_block_device_mode(block, &mode), 0);
	cr_assert_eq(mode.operational_capabilities, 0x3f);
	cr_assert_eq(mode.operational_state, MEASUREMENT_OPERATIONAL_NORMAL);
	cr_assert_eq(mode.mode_capabilities, 0x1f);
	cr_assert_eq(mode.mode_state, MEASUREMENT_DEBUG_NON_INVASIVE_ACTIVE |
					      MEASUREMENT_DEBUG_INVASIVE_SINCE_MANUFACTURE);
	cr_assert_eq(measurement_block_digest(block, &digest), 0);
	cr_assert_eq(digest_of(&expected, block->value, 16), 0);
	cr_assert(digest_equal(&digest, &expected));
	block = measurement_set_find(&set, 1);
	cr_assert_eq(measurement_block_digest(block, &digest), 0);
	cr_assert_arr_eq(digest.bytes, block->value, DIGEST_SIZE);

	for (size_t i = 0; i < set.n_blocks; i++)
		measurement_block_put(&w, &set.blocks[i]);
	cr_assert_eq(w.used, RECORD_SIZE);
	cr_assert_arr_eq(buffer, RECORD, RECORD_SIZE);
}

Test(measurement_block, every_index_once)
{
	uint8_t record[MEASUREMENT_MAX_BLOCKS * (MEASUREMENT_BLOCK_HEADER_SIZE + 1)], byte = 0;
	ByteWriter w = byte_writer(record, sizeof(record));

	for (unsigned int i = 1; i <= MEASUREMENT_MAX_BLOCKS; i++)
		measurement_block_put(&w, &(MeasurementBlock){ .index = (uint8_t)i,
							       .type = MEASUREMENT_INFORMATIONAL,
							       .raw = true,
							       .value_size = 1,
							       .value = &byte });
	cr_assert_eq(measurement_set_add(&set, record, w.used, MEASUREMENT_MAX_BLOCKS, NULL), 0);
	cr_assert_eq(set.n_blocks, MEASUREMENT_MAX_BLOCKS);
	cr_assert_eq(measurement_set_add(&set, record, 8, 1, NULL), -EBADMSG);
	cr_assert_eq(set.n_blocks, MEASUREMENT_MAX_BLOCKS);
}
