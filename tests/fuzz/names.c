/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is written in one line: the address of a function, a UUID, hexadecimal digits. */
#include "core/bdf.h"
#include "core/cleanup.h"
#include "core/hex.h"
#include "core/uuid.h"
#include "fuzz.h"

#include <string.h>
#include <strings.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	char bdf_text[BDF_STRING_SIZE], uuid_text[UUID_STRING_SIZE], hex[HEX_STRING_SIZE(8)];
	_cleanup_free_ char *text = fuzz_text(data, size);
	bool good = false;
	uint8_t bytes[8];
	Uuid uuid;
	Bdf bdf;

	if (!text)
		return false;
	if (bdf_parse(&bdf, text) == 0) {
		CHECK(strcasecmp(bdf_format(bdf, bdf_text), text) == 0);
		CHECK(bdf_equal(bdf, bdf_from_requester_id(bdf_requester_id(bdf))));
		good = true;
	}
	if (uuid_from_string(&uuid, text) == 0) {
		CHECK(strcasecmp(uuid_format(uuid, uuid_text), text) == 0);
		good = true;
	}
	if (hex_decode(bytes, sizeof(bytes), text) == 0) {
		CHECK(strcmp(hex_encode(hex, bytes, sizeof(bytes)), text) == 0);
		good = true;
	}
	return good;
}
