/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a function's configuration space says of TEE-IO, IDE, DOE and SR-IOV, by libpci. */
#pragma once

#include "core/bdf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_CONFIG_DOE_MAX 8 /* mailboxes that are told; a function has one or two */

typedef struct PciConfig {
	/* Whether the first 256 bytes could be read: without privilege the kernel shows 64. */
	bool basic;
	bool pcie;
	bool tee_io; /* TEE-IO Supported, Device Capabilities bit 30 (PCIe 6.1, 7.5.3.3) */
	/* Whether the rest could: true for a function without, which has nothing there. */
	bool extended;
	bool has_ide;
	bool link_ide, selective_ide; /* supported */
	bool has_sriov;
	uint16_t vfs_total;
	size_t n_doe;
	uint16_t doe[PCI_CONFIG_DOE_MAX]; /* where the mailboxes' capabilities are */
	char trouble[128];		  /* why `basic` is false, where it is not privilege */
} PciConfig;

/*
 * Only in a short-lived child with `ret` in memory that it shares: where libpci gives up it ends
 * the process, and then ret->trouble says why. sysfs: "/sys". `ret` is zeroed before.
 */
void pci_config_read(PciConfig *ret, const char *sysfs, Bdf bdf);
