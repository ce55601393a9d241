/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One PCI function as sysfs and its configuration space show it. Nothing is cached. */
#pragma once

#include "agent/tree.h"
#include "core/bdf.h"
#include "core/device-identity.h"
#include "core/interface-report.h"

#include <stdbool.h>
#include <stdint.h>

#define FUNCTION_DRIVER_SIZE 64

typedef struct Function {
	Bdf address;
	DeviceIdentity identity;
	InterfaceBar bars[INTERFACE_REPORT_N_BARS];
	uint64_t starts[INTERFACE_REPORT_N_BARS]; /* guest-physical; of memory BARs */
} Function;

/*
 * -ENOENT: no such function (yet). -EAGAIN: the kernel has not assigned every BAR yet, or has not
 * written it to configuration space. -EBADMSG: sysfs does not read as expected.
 */
int function_read(Function *ret, const Tree *tree, Bdf address);

/* Same address, identity and BARs. */
bool function_equal(const Function *a, const Function *b);

/*
 * Turns on memory decoding and bus mastering. A TDI reports an error when either is cleared after
 * LOCK, so this happens before and is kept: see the comment in function.c. -EBUSY: a driver holds
 * the function. -EIO: the bits did not stick.
 */
int function_enable(const Tree *tree, Bdf address);

/* Gives back what function_enable() took; a function without a driver stops mastering the bus. */
int function_disable(const Tree *tree, Bdf address);

/* The bound driver's name. -ENOENT: none, or no such function. */
int function_driver(const Tree *tree, Bdf address, char ret[static FUNCTION_DRIVER_SIZE]);

/* Vendor and class alone, for functions that are nobody's yet. */
int function_kind(const Tree *tree, Bdf address, uint16_t *ret_vendor, uint32_t *ret_class);
