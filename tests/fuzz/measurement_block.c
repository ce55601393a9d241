/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Measurement blocks. Input: how many they are said to be, their bytes. */
#include "core/measurement-block.h"
#include "fuzz.h"

#include <errno.h>

static uint8_t buffer[0x20000];

static void check_block(const MeasurementBlock *block)
{
	MeasurementDeviceMode mode;
	Digest digest;
	uint64_t svn;
	int r;

	CHECK(block->index > 0 && block->index <= MEASUREMENT_INDEX_DEVICE_MODE);
	CHECK(block->raw || block->value_size == DIGEST_SIZE);
	CHECK(measurement_block_digest(block, &digest) == 0);
	CHECK(block->raw || memcmp(digest.bytes, block->value, DIGEST_SIZE) == 0);
	r = measurement_block_svn(block, &svn);
	CHECK(r == -ENODATA || (r == 0 && block->raw && block->value_size == 8));
	r = measurement_block_device_mode(block, &mode);
	CHECK(r == -ENODATA || (r == 0 && block->raw && block->value_size == 16));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	static MeasurementSet set;
	char *error = NULL;

	if (size == 0)
		return false;
	set.n_blocks = 0;
	if (!fuzz_good(measurement_set_add(&set, data + 1, size - 1, *data, &error), error))
		return false;
	CHECK(set.n_blocks == *data);
	for (size_t i = 0; i < set.n_blocks; i++) {
		CHECK(measurement_set_find(&set, set.blocks[i].index) == &set.blocks[i]);
		check_block(&set.blocks[i]);
		measurement_block_put(&w, &set.blocks[i]);
	}
	CHECK(!w.failed && w.used == size - 1 && memcmp(buffer, data + 1, w.used) == 0);
	/* None of them a second time. */
	CHECK(set.n_blocks == 0 || measurement_set_add(&set, data + 1, size - 1, *data, NULL) < 0);
	return true;
}
