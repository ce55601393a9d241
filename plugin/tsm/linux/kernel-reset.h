/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A function level reset through sysfs, and by nothing else than an FLR. Runs in a worker, as part
 * of KERNEL_RESET (kernel.h).
 *
 * `reset` tries the methods of `reset_method` one after the other, and goes on to the next when one
 * does not bring the function back in time (drivers/pci/pci.c, pci_reset_function()); which one it
 * was is not told. So where others come after the FLR they are taken off the list for this reset;
 * where one comes before it, nothing is done: the kernel knows that this device needs it.
 */
#pragma once

#include "kernel.h"

/* Whether it may and can be reset so: KERNEL_GUARD_NONE, _NO_RESET, _NO_FLR, _DRIVER or _GONE. */
KernelGuard kernel_reset_guard(const KernelRequest *q, KernelReport *report);

/* After the guard. 0 or a negative errno; -ENOTTY: the function has not come back from it. */
int kernel_reset(const KernelRequest *q, KernelReport *report);

/* What a reset that was killed could not: puts q->methods back. */
int kernel_reset_restore(const KernelRequest *q);
