/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an emulated device measures of itself: six DMTF blocks that depend on nothing but its
 * identity and its configuration, so that whoever knows both knows the reference values.
 *
 *    1 ROM, 3 hardware configuration        digests over the identity
 *    2 firmware, 4 firmware configuration   digests over the identity and the firmware's name
 *    0x10 security version number           raw, u64
 *    0xfe device mode                       raw: normal operation, debug active if so configured
 */
#pragma once

#include "core/bytes.h"
#include "core/device-identity.h"

#include <stdbool.h>
#include <stdint.h>

#define FIRMWARE_INDEX_SVN   0x10
#define FIRMWARE_N_BLOCKS    6
#define FIRMWARE_RECORD_SIZE (4 * (7 + 48) + (7 + 8) + (7 + 16))

typedef struct Firmware {
	DeviceIdentity identity;
	const char *name; /* borrowed */
	uint64_t svn;
	bool debug;
} Firmware;

/* Writes the whole measurement record. 0 or -EIO. */
int firmware_record(const Firmware *firmware, uint8_t ret[static FIRMWARE_RECORD_SIZE]);
