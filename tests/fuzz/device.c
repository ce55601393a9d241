/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests to the emulated device: each gets an answer. Input: requests, each behind its size. */
#include "../unit/data/spdm-capture.h"
#include "core/bytes.h"
#include "fuzz.h"
#include "tsm/emulated/device.h"

#include <errno.h>
#include <openssl/evp.h>

#define REQUESTS_MAX 16

static int find_function(void *userdata, Bdf bdf, HostFunction *ret)
{
	if (bdf.bus != 1)
		return -ENODEV;
	*ret = (HostFunction){ .bdf = bdf, .physical = bdf };
	ret->bars[0] = (HostBar){ .start = 0xfe000000, .size = 0x4000, .is_memory = true };
	return 0;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static EVP_PKEY *key;
	static uint8_t response[DEVICE_MESSAGE_MAX];
	static const uint8_t record[] = { 0x10, 1, 11, 0, 0x87, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
	_cleanup_(device_freep) Device *device = NULL;
	ByteReader r = byte_reader(data, size);
	DeviceOptions options = { .chain = capture_chain,
				  .chain_size = sizeof(capture_chain),
				  .record = record,
				  .record_size = sizeof(record),
				  .n_blocks = 1,
				  .find_function = find_function };
	bool good = false;

	if (!key)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	options.key = key;
	CHECK(device_new(&device, &options) == 0);
	for (unsigned int i = 0; i < REQUESTS_MAX && r.left; i++) {
		uint16_t n = bytes_take_u16(&r);
		const uint8_t *request = bytes_take(&r, n);
		SpdmHeader header;
		ByteReader answer;
		size_t answered;

		if (!request)
			return false;
		CHECK(device_exchange(device, request, n, response, sizeof(response), &answered) ==
		      0);
		CHECK(answered <= sizeof(response));
		answer = byte_reader(response, answered);
		CHECK(spdm_header_peek(&answer, &header) == 0 && !(header.code & 0x80));
		good = header.code != SPDM_ERROR;
	}
	return good;
}
