/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/device-identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct Text {
	const char *at;
	size_t left;
	bool failed;
} Text;

static void take_literal(Text *t, const char *literal)
{
	size_t n = strlen(literal);

	if (t->failed || t->left < n || memcmp(t->at, literal, n) != 0) {
		t->failed = true;
		return;
	}
	t->at += n;
	t->left -= n;
}

static uint64_t take_hex(Text *t, unsigned int n_digits)
{
	uint64_t value = 0;

	if (t->failed || t->left < n_digits) {
		t->failed = true;
		return 0;
	}
	for (unsigned int i = 0; i < n_digits; i++) {
		char c = *t->at++;

		t->left--;
		if (c >= '0' && c <= '9')
			value = value << 4 | (unsigned int)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (unsigned int)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (unsigned int)(c - 'A' + 10);
		else
			t->failed = true;
	}
	return value;
}

int device_identity_parse(DeviceIdentity *ret, const char *text, size_t size)
{
	Text t = { .at = text, .left = size };
	DeviceIdentity d = {};

	take_literal(&t, "Vendor=");
	d.vendor = (uint16_t)take_hex(&t, 4);
	take_literal(&t, ":Device=");
	d.device = (uint16_t)take_hex(&t, 4);
	take_literal(&t, ":CC=");
	d.class_code = (uint32_t)take_hex(&t, 6);
	take_literal(&t, ":REV=");
	d.revision = (uint8_t)take_hex(&t, 2);
	take_literal(&t, ":SSVID=");
	d.subsystem_vendor = (uint16_t)take_hex(&t, 4);
	take_literal(&t, ":SSID=");
	d.subsystem = (uint16_t)take_hex(&t, 4);
	if (!t.failed && t.left) {
		take_literal(&t, ":");
		d.serial = take_hex(&t, 16);
		d.has_serial = true;
	}
	if (t.failed || t.left)
		return -EINVAL;
	*ret = d;
	return 0;
}

const char *device_identity_format(const DeviceIdentity *d,
				   char buffer[static DEVICE_IDENTITY_STRING_SIZE])
{
	int n = snprintf(buffer, DEVICE_IDENTITY_STRING_SIZE,
			 "Vendor=%04x:Device=%04x:CC=%06x:REV=%02x:SSVID=%04x:SSID=%04x", d->vendor,
			 d->device, d->class_code & 0xffffffU, d->revision, d->subsystem_vendor,
			 d->subsystem);

	if (d->has_serial)
		snprintf(buffer + n, DEVICE_IDENTITY_STRING_SIZE - (size_t)n, ":%016" PRIx64,
			 d->serial);
	return buffer;
}

bool device_identity_equal(const DeviceIdentity *a, const DeviceIdentity *b)
{
	if (a->has_serial && b->has_serial && a->serial != b->serial)
		return false;
	return a->vendor == b->vendor && a->device == b->device && a->class_code == b->class_code &&
	       a->revision == b->revision && a->subsystem_vendor == b->subsystem_vendor &&
	       a->subsystem == b->subsystem;
}
