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

/* Of what serves f's slot, or its PF's: function 0, whether it has a DSM or not. */
Bdf tee_io_dsm(const HostFunction *f);

typedef struct TeeIoTsm {
	char name[TEE_IO_TSM_NAME_SIZE];
	char driver[64]; /* of the device that registered it; "": it has none */
} TeeIoTsm;

/*
 * All TSMs, ascending; none is success, and so is a kernel that knows of none (*ret is NULL then).
 * *ret is malloc'ed.
 */
int tee_io_tsms(TeeIoTsm **ret, size_t *ret_n, const char *sysfs);

/*
 * The TSM with the lowest number. driver: of the device that registered it, "" if it has none.
 * -ENOENT: there is none.
 */
int tee_io_tsm(char name[static TEE_IO_TSM_NAME_SIZE], char *driver, size_t driver_size,
	       const char *sysfs);

/* "tsm" and a decimal number, nothing else. */
bool tee_io_tsm_name_valid(const char *name);
