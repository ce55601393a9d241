/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vca.h"
#include "fuzz.h"

#include <string.h>

static bool chosen_from(uint32_t chosen, uint32_t offered)
{
	return !(chosen & (chosen - 1)) && !(chosen & ~offered);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static uint8_t buffer[1024];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	char *error = NULL;
	Vca vca;

	if (!fuzz_good(vca_parse(&vca, data, size, &error), error))
		return false;
	CHECK(vca.version == SPDM_VERSION_1_2);
	CHECK(chosen_from(vca.chosen.base_asym, vca.offered.base_asym));
	CHECK(chosen_from(vca.chosen.base_hash, vca.offered.base_hash));
	CHECK(chosen_from(vca.chosen.dhe, vca.offered.dhe));
	CHECK(chosen_from(vca.chosen.aead, vca.offered.aead));
	/* All but the versions, which are not kept, are the end of the bytes. */
	spdm_get_capabilities_put(&w, &vca.requester);
	spdm_capabilities_put(&w, &vca.responder);
	spdm_negotiate_algorithms_put(&w, &vca.offered);
	spdm_algorithms_put(&w, &vca.chosen);
	CHECK(!w.failed && w.used < size);
	CHECK(memcmp(buffer, data + size - w.used, w.used) == 0);
	return true;
}
