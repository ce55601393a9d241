/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whatever may tell that the kernel's view of TSMs, functions, connections and binds has changed:
 *
 *	uevents of the subsystems pci and tsm	functions and TSMs come and go, drivers bind
 *	inotify on tsm/connect and disconnect	somebody wrote to them
 *	/dev/tsm-proxy-vmm			binds and their TDISP states, if the module is there
 *
 * None of them says what is the case now: that is to be looked at.
 */
#pragma once

#include "core/cleanup.h"
#include "tsm/common/tee-io.h"

#include <systemd/sd-event.h>

typedef struct Watch Watch;

typedef struct WatchOptions {
	const char *sysfs; /* "/sys" */
	const char *proxy; /* path of tsm-proxy-vmm; need not be there */
	int uevents;	   /* taken, from uevent_open(); -1: none */
	void (*changed)(void *userdata);
	void *userdata;
} WatchOptions;

int watch_new(Watch **ret, sd_event *event, const WatchOptions *options);
Watch *watch_free(Watch *watch);
DEFINE_CLEANUP(Watch, watch_free);

/* The functions there are now: watches the attributes of their DSMs, and the module if it came. */
void watch_functions(Watch *watch, const TeeIoFunction *list, size_t n);
