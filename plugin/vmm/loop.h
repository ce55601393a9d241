/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread that runs libvirt's default event loop. */
#pragma once

#include "core/cleanup.h"

typedef struct LibvirtLoop LibvirtLoop;

/*
 * Registers libvirt's default loop (once per process, before any connection is opened), silences
 * libvirt's printing of errors and starts the thread. One at a time in a process: -EBUSY.
 */
int libvirt_loop_new(LibvirtLoop **ret);

/* Stops and joins the thread. A callback of libvirt's that blocks makes this block. */
LibvirtLoop *libvirt_loop_free(LibvirtLoop *loop);
DEFINE_CLEANUP(LibvirtLoop, libvirt_loop_free);
