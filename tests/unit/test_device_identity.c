/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/device-identity.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define GOOD "Vendor=1b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100"

Test(device_identity, broken)
{
	static const char *const bad[] = {
		"",
		"Vendor=",
		"Vendor=1b36",
		"Vendor=1b36:Device=0010:CC=010802:REV=02",
		"Device=0010:Vendor=1b36:CC=010802:REV=02:SSVID=1af4:SSID=1100",
		"vendor=1b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100",
		"Vendor=1b3:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100",
		"Vendor=01b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100",
		"Vendor=1b3g:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100",
		"Vendor=0x1b:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100",
		"Vendor= 1b3:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100",
		"Vendor=1b36:Device=0010:CC=0108:REV=02:SSVID=1af4:SSID=1100",
		GOOD ":",
		GOOD ":0123456789abcde",
		GOOD ":0123456789abcdef0",
		GOOD ":0123456789abcdeg",
		GOOD " ",
		" " GOOD,
	};
	DeviceIdentity d = { .vendor = 0xffff };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(device_identity_parse(&d, bad[i], strlen(bad[i])), -EINVAL, "%s",
			     bad[i]);
	for (size_t n = 0; n < strlen(GOOD); n++)
		cr_assert_eq(device_identity_parse(&d, GOOD, n), -EINVAL, "%zu bytes", n);
	cr_assert_eq(device_identity_parse(&d, GOOD "\0", strlen(GOOD) + 1), -EINVAL, "a NUL");
	cr_assert_eq(d.vendor, 0xffff);
}

Test(device_identity, good)
{
	char text[DEVICE_IDENTITY_STRING_SIZE];
	DeviceIdentity d, other;

	cr_assert_eq(device_identity_parse(&d, GOOD, strlen(GOOD)), 0);
	cr_assert_eq(d.vendor, 0x1b36);
	cr_assert_eq(d.device, 0x0010);
	cr_assert_eq(d.class_code, 0x010802);
	cr_assert_eq(d.revision, 2);
	cr_assert_eq(d.subsystem_vendor, 0x1af4);
	cr_assert_eq(d.subsystem, 0x1100);
	cr_assert_not(d.has_serial);
	cr_assert_str_eq(device_identity_format(&d, text), GOOD);

	cr_assert_eq(device_identity_parse(&other, GOOD ":0123456789ABCDEF", strlen(GOOD) + 17), 0);
	cr_assert(other.has_serial);
	cr_assert_eq(other.serial, 0x0123456789abcdef);
	cr_assert_str_eq(device_identity_format(&other, text), GOOD ":0123456789abcdef");
	cr_assert(device_identity_equal(&d, &other));
	d = other;
	d.serial++;
	cr_assert_not(device_identity_equal(&d, &other));
	d = other;
	d.revision++;
	cr_assert_not(device_identity_equal(&d, &other));
}
