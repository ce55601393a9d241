/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DMTF measurement blocks (DSP0274, "Measurement block"):
 *
 *    0  u8   index, 1..0xfe
 *    1  u8   measurement specification, 1 = DMTF
 *    2  u16  size of the rest
 *    4  u8   type; bit 7: raw value, not a digest
 *    5  u16  size of the value (= the size at 2, less 3)
 *    7  ...  value
 */
#pragma once

#include "core/bytes.h"
#include "core/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEASUREMENT_MAX_BLOCKS	      254
#define MEASUREMENT_BLOCK_HEADER_SIZE 7

#define MEASUREMENT_INDEX_MANIFEST    0xfd
#define MEASUREMENT_INDEX_DEVICE_MODE 0xfe

typedef enum MeasurementType {
	MEASUREMENT_ROM = 0,
	MEASUREMENT_FIRMWARE = 1,
	MEASUREMENT_HARDWARE_CONFIG = 2,
	MEASUREMENT_FIRMWARE_CONFIG = 3,
	MEASUREMENT_MANIFEST = 4,
	MEASUREMENT_DEVICE_MODE = 5, /* raw: u32 operational capabilities, u32 operational state,
					u32 device mode capabilities, u32 device mode state */
	MEASUREMENT_VERSION = 6,
	MEASUREMENT_SVN = 7, /* raw: u64 security version number */
	MEASUREMENT_HASH_EXTEND = 8,
	MEASUREMENT_INFORMATIONAL = 9,
	MEASUREMENT_STRUCTURED_MANIFEST = 10,
} MeasurementType;

#define MEASUREMENT_RAW 0x80 /* or'ed to the type */

typedef struct MeasurementBlock {
	uint8_t index;
	uint8_t type; /* MeasurementType, without MEASUREMENT_RAW */
	bool raw;
	uint16_t value_size;
	const uint8_t *value; /* borrowed */
} MeasurementBlock;

/* Sorted as the device gave them. Each index at most once. */
typedef struct MeasurementSet {
	size_t n_blocks;
	MeasurementBlock blocks[MEASUREMENT_MAX_BLOCKS];
} MeasurementSet;

void measurement_block_put(ByteWriter *w, const MeasurementBlock *block);

/*
 * Adds the `n_blocks` blocks that fill `record` exactly. -EBADMSG with a sentence: format, length,
 * an unknown specification or type, a digest of another size than SHA-384's, an index met before.
 */
int measurement_set_add(MeasurementSet *set, const void *record, size_t size, unsigned int n_blocks,
			char **ret_error);

/* NULL: no such index. */
const MeasurementBlock *measurement_set_find(const MeasurementSet *set, uint8_t index);

/* The value if it is a digest, the value's SHA-384 if it is raw. 0 or -EIO. */
int measurement_block_digest(const MeasurementBlock *block, Digest *ret);

/* -ENODATA unless the block is a raw security version number of 8 bytes. */
int measurement_block_svn(const MeasurementBlock *block, uint64_t *ret);

typedef struct MeasurementDeviceMode {
	uint32_t operational_capabilities;
	uint32_t operational_state; /* MEASUREMENT_OPERATIONAL_* */
	uint32_t mode_capabilities;
	uint32_t mode_state; /* MEASUREMENT_DEBUG_* */
} MeasurementDeviceMode;

enum {
	MEASUREMENT_OPERATIONAL_MANUFACTURING = 1 << 0,
	MEASUREMENT_OPERATIONAL_VALIDATION = 1 << 1,
	MEASUREMENT_OPERATIONAL_NORMAL = 1 << 2,
	MEASUREMENT_OPERATIONAL_RECOVERY = 1 << 3,
	MEASUREMENT_OPERATIONAL_RMA = 1 << 4,
	MEASUREMENT_OPERATIONAL_DECOMMISSIONED = 1 << 5,
	MEASUREMENT_DEBUG_NON_INVASIVE_ACTIVE = 1 << 0,
	MEASUREMENT_DEBUG_INVASIVE_ACTIVE = 1 << 1,
	MEASUREMENT_DEBUG_NON_INVASIVE_SINCE_RESET = 1 << 2,
	MEASUREMENT_DEBUG_INVASIVE_SINCE_RESET = 1 << 3,
	MEASUREMENT_DEBUG_INVASIVE_SINCE_MANUFACTURE = 1 << 4,
};

/* -ENODATA unless the block is a raw device mode of 16 bytes. */
int measurement_block_device_mode(const MeasurementBlock *block, MeasurementDeviceMode *ret);
