/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/uevent.h"
#include "fuzz.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	Uevent e;

	if (uevent_parse(&e, (const char *)data, size) < 0)
		return false;
	CHECK(*e.action && *e.devpath && *e.subsystem);
	/* All lie in the message, and end there. */
	for (const char *const *field = &e.action; field <= &e.driver; field++) {
		const uint8_t *at = (const uint8_t *)*field;

		CHECK(!**field || (at >= data && at < data + size));
		CHECK(strlen(*field) < size);
	}
	return true;
}
