/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The open virtio-serial ports of domains, each a libvirt stream behind a file descriptor. */
#pragma once

#include <stdint.h>

#include "core/cleanup.h"
#include "vmm/closer.h"

typedef struct Ports Ports;

int ports_new(Ports **ret, Closer *closer);

/*
 * Blocks, any thread. *ret_fd is as channel_new has it. Returns 0, -ENOENT (the domain is not
 * active or has no such port), -EBUSY (another opener has it), -ENOTCONN, -EREMOTEIO, -ENOMEM or
 * -ECANCELED (ports_free_wait has been called); the sentence is allocated, the pointer not NULL.
 */
int ports_open(Ports *ports, const char *uri, const char *uuid, const char *name, int *ret_fd,
	       char **ret_error);

/* Any thread, does not block: all file descriptors see the end. */
void ports_stop(Ports *ports);

/* ports_stop, and what is opened later fails. Waits for the pumps to end, `wait_usec` at most; the
 * closer may still be busy then. Others may hold references. */
Ports *ports_free_wait(Ports *ports, uint64_t wait_usec);

Ports *ports_ref(Ports *ports);
Ports *ports_unref(Ports *ports);
DEFINE_CLEANUP(Ports, ports_unref);
