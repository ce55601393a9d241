/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The address of a PCI function: segment, bus, device, function. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Bdf {
	uint16_t segment;
	uint8_t bus;
	uint8_t device;	  /* 0..31 */
	uint8_t function; /* 0..7 */
} Bdf;

/* "dddd:bb:ss.f" and its NUL, the form in which sysfs and libvirt's tools write it. */
#define BDF_STRING_SIZE 13

/* Strictly "dddd:bb:ss.f", either case. Returns 0, or -EINVAL and leaves *ret alone. */
int bdf_parse(Bdf *ret, const char *text);

/* Lower case. Returns `buffer`. */
const char *bdf_format(Bdf bdf, char buffer[static BDF_STRING_SIZE]);

bool bdf_equal(Bdf a, Bdf b);
/* As strcmp: by segment, bus, device, function. */
int bdf_order(Bdf a, Bdf b);

/*
 * Requester id with its segment: segment << 16 | bus << 8 | device << 3 | function.
 * The low 24 bits are laid out as in a TDISP FUNCTION_ID (requester id 15:0, segment 23:16), which
 * has room for segments up to 255 only.
 */
uint32_t bdf_requester_id(Bdf bdf);
Bdf bdf_from_requester_id(uint32_t requester_id);
