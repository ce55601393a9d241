/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The made-up host of the benchmarks: DSM d is 0000:BB:00.0 with BB = d + 1, and its TDI t the
 * function with the t-th routing id from device 1 on. Domain i has the UUID that ends in i.
 */
#pragma once

#include "core/bdf.h"

#include <stdint.h>
#include <stdio.h>

#define DSMS_MAX	   128u
#define TDIS_PER_DSM_MAX   248u
#define DEVICES_PER_DOMAIN 64u
#define DOMAINS_MAX	   256u
#define LAYOUT_UUID_SIZE   37
#define LAYOUT_ALIAS_SIZE  32

static inline Bdf layout_dsm(uint32_t dsm)
{
	return (Bdf){ .bus = (uint8_t)(dsm + 1) };
}

static inline Bdf layout_tdi(uint32_t dsm, uint32_t tdi)
{
	return (Bdf){ .bus = (uint8_t)(dsm + 1),
		      .device = (uint8_t)(1 + tdi / 8),
		      .function = (uint8_t)(tdi % 8) };
}

/* Which TDI of its DSM; the DSM is bus - 1. */
static inline uint32_t layout_index(Bdf tdi)
{
	return (uint32_t)(tdi.device - 1) * 8 + tdi.function;
}

static inline void layout_uuid(char uuid[static LAYOUT_UUID_SIZE], uint32_t domain)
{
	snprintf(uuid, LAYOUT_UUID_SIZE, "00000000-0000-4000-8000-%012x", domain);
}

static inline void layout_alias(char alias[static LAYOUT_ALIAS_SIZE], Bdf tdi)
{
	snprintf(alias, LAYOUT_ALIAS_SIZE, "ua-tdi-%02x%02x%x", tdi.bus, tdi.device, tdi.function);
}
