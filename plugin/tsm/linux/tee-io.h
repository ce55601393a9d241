/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TSMs and the TEE-IO functions that the kernel shows (Documentation/ABI/testing/sysfs-bus-pci,
 * sysfs-class-tsm). Nothing here waits for the kernel's PCI/TSM lock: attributes in tsm/ are looked
 * for, never read.
 *
 * A function 0 with tsm/connect has a DSM. It serves the functions of its slot and their virtual
 * functions, which get a tsm/ directory only while it is connected.
 */
#pragma once

#include "tsm/common/host-function.h"

#define TEE_IO_TSM_NAME_SIZE 16 /* "tsm4294967295" and its NUL */

typedef struct TeeIoFunction {
	HostFunction host;
	Bdf dsm;
	bool vfio; /* a VFIO driver holds it */
} TeeIoFunction;

/* All there are, ascending; none is success. *ret is malloc'ed. sysfs: "/sys". */
int tee_io_functions(TeeIoFunction **ret, size_t *ret_n, const char *sysfs);

/* NULL: not in the list. */
const TeeIoFunction *tee_io_find(const TeeIoFunction *list, size_t n, Bdf bdf);

/*
 * The TSM with the lowest number. driver: of the device that registered it, "" if it has none.
 * -ENOENT: there is none.
 */
int tee_io_tsm(char name[static TEE_IO_TSM_NAME_SIZE], char *driver, size_t driver_size,
	       const char *sysfs);

/* "tsm" and a decimal number, nothing else. */
bool tee_io_tsm_name_valid(const char *name);
