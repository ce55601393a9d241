/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A PCI function of the host as sysfs shows it: what an emulated device takes for its own. */
#pragma once

#include "core/bdf.h"
#include "core/device-identity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_FUNCTION_N_BARS 6

typedef struct HostBar {
	uint64_t start;
	uint64_t size;	/* bytes; 0: there is none, or it is the upper half of a 64-bit one */
	bool is_memory; /* else I/O ports */
} HostBar;

/* From the MSI-X capability (PCIe 6.x, 7.7.2). */
typedef struct HostMsix {
	bool present; /* false too if the capability may not be read: it needs privilege */
	uint16_t control;
	uint8_t table_bar, pba_bar;
	uint32_t table_offset, pba_offset; /* bytes from the start of the BAR */
	uint32_t table_size, pba_size;	   /* bytes */
} HostMsix;

typedef struct HostFunction {
	Bdf bdf;
	bool is_virtual;
	Bdf physical; /* of a VF: its PF; else the function itself */
	DeviceIdentity identity;
	HostBar bars[HOST_FUNCTION_N_BARS];
	HostMsix msix;
	char driver[64]; /* empty: none is bound */
	bool has_iommu_group;
	uint32_t iommu_group;
} HostFunction;

/* sysfs: its root, "/sys". -ENODEV: there is no such function; -EBADMSG; with a sentence. */
int host_function_read(HostFunction *ret, const char *sysfs, Bdf bdf, char **ret_error);

/* The enabled VFs of a PF by their number; *ret is malloc'ed. None is success. */
int host_function_virtual(Bdf **ret, size_t *ret_n, const char *sysfs, Bdf physical);
