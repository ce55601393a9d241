/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who a device is, as its configuration space and its certificate tell: PCI-SIG's subjectAltName,
 * otherName 2.23.147, a UTF8String such as
 * "Vendor=1b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100" (PCIe r6.1 section 6.31.3;
 * devices with a serial number append it as ":" and 16 digits, as Linux's CMA code reads that
 * section).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_IDENTITY_OID	    "2.23.147"
#define DEVICE_IDENTITY_STRING_SIZE 96

typedef struct DeviceIdentity {
	uint16_t vendor;
	uint16_t device;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	bool has_serial;
	uint64_t serial; /* of the Device Serial Number capability, if there is one */
} DeviceIdentity;

/* Strictly the form above, fields in that order, hexadecimal in either case. 0 or -EINVAL. */
int device_identity_parse(DeviceIdentity *ret, const char *text, size_t size);

/* Returns `buffer`. */
const char *device_identity_format(const DeviceIdentity *identity,
				   char buffer[static DEVICE_IDENTITY_STRING_SIZE]);

/* Serial numbers count only if both have one. */
bool device_identity_equal(const DeviceIdentity *a, const DeviceIdentity *b);
