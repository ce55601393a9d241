/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TSMs and the TEE-IO functions that the kernel shows (Documentation/ABI/testing/sysfs-bus-pci,
 * sysfs-class-tsm). Nothing here waits for the kernel's PCI/TSM lock: attributes in tsm/ are looked
 * for, never read.
 *
 * A function 0 with tsm/connect has a DSM. It serves the functions of its slot and their virtual
 * functions, which get a tsm/ directory only while it is connected. So does a DSM in the upstream
 * port of a switch, for what sits right below the switch (drivers/pci/tsm.c, find_dsm_dev()).
 */
#pragma once

#include "tsm/common/host-function.h"

#define TEE_IO_TSM_NAME_SIZE 16 /* "tsm4294967295" and its NUL */

typedef struct TeeIoFunction {
	HostFunction host;
	Bdf dsm;
	bool stray; /* it cannot be seen what serves it: `dsm` is its own function 0 */
	bool vfio;  /* a VFIO driver holds it */
	/* It is there, and its other attributes could not be read: `host` has its address only. */
	bool unreadable;
} TeeIoFunction;

/*
 * All there are, ascending; none is success. *ret is malloc'ed. sysfs: "/sys". One that has a tsm/
 * directory is listed even if it cannot be seen what serves it.
 */
int tee_io_functions(TeeIoFunction **ret, size_t *ret_n, const char *sysfs);

/* NULL: not in the list. */
const TeeIoFunction *tee_io_find(const TeeIoFunction *list, size_t n, Bdf bdf);

/* Of what serves f's slot, or its PF's: function 0, whether it has a DSM or not. */
Bdf tee_io_dsm(const HostFunction *f);

/* Whether a VFIO driver holds it. */
bool tee_io_vfio_holds(const char *sysfs, const HostFunction *f);

typedef struct TeeIoTsm {
	char name[TEE_IO_TSM_NAME_SIZE];
	char driver[64]; /* of the device that registered it; "": it has none */
	uint64_t node;	 /* the inode in sysfs: another one when it has been gone and is back */
} TeeIoTsm;

/*
 * All TSMs, ascending; none is success, and so is a kernel that knows of none (*ret is NULL then).
 * *ret is malloc'ed.
 */
int tee_io_tsms(TeeIoTsm **ret, size_t *ret_n, const char *sysfs);

/* The TSM called `name`, or if that is NULL the one with the lowest number. -ENOENT: no such. */
int tee_io_tsm(TeeIoTsm *ret, const char *name, const char *sysfs);

/* "tsm" and a decimal number, nothing else. */
bool tee_io_tsm_name_valid(const char *name);
