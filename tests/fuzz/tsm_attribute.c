/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An attribute in a function's tsm/ folder. */
#include "tsm/common/tsm-attribute.h"
#include "folder.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#define ROOM 16

bool fuzz_one(const uint8_t *data, size_t size)
{
	const Bdf bdf = { .bus = 1 };
	char text[ROOM];
	int r;

	fuzz_folder_put("bus/pci/devices/0000:01:00.0/tsm/connect", data, size);
	r = tsm_attribute_read(fuzz_folder(), bdf, "connect", text, sizeof(text));
	CHECK(r == 0 || (r == -EBADMSG && !*text));
	if (r < 0)
		return false;
	/* One line, whole. */
	CHECK(strlen(text) + 1 == size && memcmp(text, data, size - 1) == 0);
	CHECK(!strchr(text, '\n'));
	return true;
}
