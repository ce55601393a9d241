/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attributes in a PCI function's tsm/ directory, which a reader may have to wait for.
 *
 * tsm/connect, tsm/bound and tsm/dsm are read under the kernel's host-wide PCI/TSM lock, which a
 * connect holds for as long as its device takes. Worse, a reader of a virtual function's attribute
 * that waits for the lock stops a disconnect under way for good: that waits for the reader (seen on
 * 7.3.4). Only a signal ends it, so every read needs a deadline: tsm_attribute_arm().
 */
#pragma once

#include "core/bdf.h"

#include <stddef.h>
#include <stdint.h>

/* Path of bdf's tsm/`name`. sysfs: "/sys". 0 or -ENAMETOOLONG. */
int tsm_attribute_path(char *buffer, size_t size, const char *sysfs, Bdf bdf, const char *name);

/*
 * The line without its end; "" where there is no such attribute. Anything else that goes wrong is
 * an error: taking it for "not bound" would let a bound TDI's DSM be disconnected. -EINTR: a signal
 * came while it waited; -EBADMSG: it does not fit or is no line.
 */
int tsm_attribute_read(const char *sysfs, Bdf bdf, const char *name, char *buffer, size_t size);

/*
 * Until it is disarmed (0), a read that waits ends with -EINTR after `ms` milliseconds. For single
 * threads of programs that use neither SIGALRM nor ITIMER_REAL otherwise.
 */
void tsm_attribute_arm(uint32_t ms);
