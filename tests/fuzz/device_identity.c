/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/device-identity.h"
#include "fuzz.h"

#include <string.h>
#include <strings.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	DeviceIdentity identity, again;
	char text[DEVICE_IDENTITY_STRING_SIZE];

	if (device_identity_parse(&identity, (const char *)data, size) < 0)
		return false;
	CHECK(identity.class_code <= 0xffffff);
	device_identity_format(&identity, text);
	CHECK(strlen(text) == size && strncasecmp(text, (const char *)data, size) == 0);
	CHECK(device_identity_parse(&again, text, size) == 0);
	CHECK(device_identity_equal(&identity, &again));
	return true;
}
