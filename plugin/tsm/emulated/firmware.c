/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "firmware.h"

#include "core/digest.h"
#include "core/measurement-block.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int digest_part(Digest *ret, const Firmware *firmware, const char *part, bool of_firmware)
{
	char identity[DEVICE_IDENTITY_STRING_SIZE];
	const char *name = of_firmware ? firmware->name : "";
	const struct iovec parts[] = {
		{ (void *)part, strlen(part) + 1 },
		{ identity, strlen(device_identity_format(&firmware->identity, identity)) + 1 },
		{ (void *)name, strlen(name) + 1 },
	};

	return digest_of_parts(ret, parts, 3);
}

static void put_raw(ByteWriter *w, uint8_t index, uint8_t type, const uint8_t *value, uint16_t size)
{
	measurement_block_put(w, &(MeasurementBlock){ .index = index,
						      .type = type,
						      .raw = true,
						      .value_size = size,
						      .value = value });
}

int firmware_record(const Firmware *firmware, uint8_t ret[static FIRMWARE_RECORD_SIZE])
{
	static const struct {
		const char *part;
		uint8_t type;
		bool of_firmware;
	} digests[] = {
		{ "tdid emulated device: ROM", MEASUREMENT_ROM, false },
		{ "tdid emulated device: firmware", MEASUREMENT_FIRMWARE, true },
		{ "tdid emulated device: hardware configuration", MEASUREMENT_HARDWARE_CONFIG,
		  false },
		{ "tdid emulated device: firmware configuration", MEASUREMENT_FIRMWARE_CONFIG,
		  true },
	};
	ByteWriter w = byte_writer(ret, FIRMWARE_RECORD_SIZE), value;
	uint8_t raw[16];

	for (uint8_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
		Digest digest;
		int r;

		r = digest_part(&digest, firmware, digests[i].part, digests[i].of_firmware);
		if (r < 0)
			return r;
		measurement_block_put(&w, &(MeasurementBlock){ .index = (uint8_t)(i + 1),
							       .type = digests[i].type,
							       .value_size = DIGEST_SIZE,
							       .value = digest.bytes });
	}
	value = byte_writer(raw, sizeof(raw));
	bytes_put_u64(&value, firmware->svn);
	put_raw(&w, FIRMWARE_INDEX_SVN, MEASUREMENT_SVN, raw, 8);

	value = byte_writer(raw, sizeof(raw));
	bytes_put_u32(&value, MEASUREMENT_OPERATIONAL_NORMAL);
	bytes_put_u32(&value, MEASUREMENT_OPERATIONAL_NORMAL);
	bytes_put_u32(&value, MEASUREMENT_DEBUG_NON_INVASIVE_ACTIVE);
	bytes_put_u32(&value, firmware->debug ? MEASUREMENT_DEBUG_NON_INVASIVE_ACTIVE : 0);
	put_raw(&w, MEASUREMENT_INDEX_DEVICE_MODE, MEASUREMENT_DEVICE_MODE, raw, 16);

	assert(!w.failed && w.used == FIRMWARE_RECORD_SIZE);
	return 0;
}
