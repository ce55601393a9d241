/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's uevents (NETLINK_KOBJECT_UEVENT, group 1; lib/kobject_uevent.c). */
#pragma once

#include <stddef.h>

#define UEVENT_MAX_SIZE 8192 /* the kernel's buffer is 2 KiB and an address line */

/* Borrowed from the message. What the message does not have is "". */
typedef struct Uevent {
	const char *action;    /* "add", "remove", "bind", "unbind", "change", ... */
	const char *devpath;   /* below /sys */
	const char *subsystem; /* "pci", "virtio-ports", "drivers", ... */
	const char *slot;      /* PCI_SLOT_NAME, "dddd:bb:ss.f" */
	const char *driver;
} Uevent;

/*
 * "ACTION@DEVPATH" NUL, then "KEY=value" NUL. Keys that are not above are skipped. -EBADMSG: it
 * does not end in NUL, ACTION, DEVPATH or SUBSYSTEM are missing or differ from the first line, or a
 * key comes twice.
 */
int uevent_parse(Uevent *ret, const char *message, size_t size);

/* A non-blocking socket that gets all uevents from now on, or a negative errno. */
int uevent_open(void);

/*
 * Reads one message into `buffer` (UEVENT_MAX_SIZE bytes). 1: *ret is filled; 0: there is none now;
 * -EBADMSG: something that was not the kernel's or does not parse, read on; -ENOBUFS: events were
 * lost, look at sysfs anew; other negative errno.
 */
int uevent_receive(int fd, char *buffer, Uevent *ret);
