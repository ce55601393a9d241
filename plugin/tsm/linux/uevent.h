/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's uevents, as far as this provider looks at them: which subsystem they are about. */
#pragma once

#include <stddef.h>

#define UEVENT_MAX_SIZE 8192 /* the kernel's buffer is 2 KiB and an address line */

/* A non-blocking socket that gets all uevents from now on, or a negative errno. */
int uevent_open(void);

/* SUBSYSTEM of "ACTION@DEVPATH" NUL, then "KEY=value" NUL; borrowed. NULL: malformed. */
const char *uevent_subsystem(const char *message, size_t size);

/*
 * Reads all there are. 1: one was about PCI functions or TSMs, or some were lost (and so it might
 * have been); 0: none was; negative errno: the socket is of no use any more.
 */
int uevent_drain(int fd);
