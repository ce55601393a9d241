/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configuration spaces of made-up PCIe functions, in testing-host.h's tree. */
#pragma once

#include "testing-host.h"

#define TESTING_CONFIG_SIZE 4096
#define TESTING_EXPRESS	    0x40
#define TESTING_TEE_IO	    (1u << 30)

static uint8_t testing_config[TESTING_CONFIG_SIZE];

static inline void testing_put_u32(size_t at, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		testing_config[at + i] = (uint8_t)(value >> 8 * i);
}

/* A PCIe function without extended capabilities. */
static inline void testing_config_new(uint32_t device_capabilities)
{
	memset(testing_config, 0, sizeof(testing_config));
	testing_put_u32(0, 0x10c98086);
	testing_config[0x06] = 0x10;
	testing_config[0x34] = TESTING_EXPRESS;
	testing_config[TESTING_EXPRESS] = 0x10;
	testing_config[TESTING_EXPRESS + 2] = 0x02;
	testing_put_u32(TESTING_EXPRESS + 4, device_capabilities);
}

/* The first one has to be at 0x100; next 0: the last. */
static inline void testing_config_extended(size_t at, uint16_t id, size_t next)
{
	testing_put_u32(at, id | 1u << 16 | (uint32_t)next << 20);
}

static inline void testing_config_write(const char *bdf, size_t size)
{
	testing_write(testing_path("sys/bus/pci/devices/%s/config", bdf), testing_config, size);
}

/* TEE-IO, link and selective IDE, two DOE mailboxes, seven VFs. */
static inline void testing_config_full(void)
{
	testing_config_new(TESTING_TEE_IO);
	testing_config_extended(0x100, 0x30, 0x140);
	testing_put_u32(0x104, 3);
	testing_config_extended(0x140, 0x2e, 0x160);
	testing_config_extended(0x160, 0x2e, 0x180);
	testing_config_extended(0x180, 0x10, 0);
	testing_put_u32(0x18c, 7u << 16 | 7);
}
