/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"
#include "tsm/linux/uevent.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	const char *subsystem = uevent_subsystem((const char *)data, size);

	if (!subsystem)
		return false;
	CHECK((const uint8_t *)subsystem > data);
	CHECK((const uint8_t *)subsystem + strlen(subsystem) < data + size);
	return true;
}
