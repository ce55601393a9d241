/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest port: finds it by name, and carries NUL-terminated frames over it. */
#pragma once

#include "agent/loop.h"
#include "agent/tree.h"
#include "core/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

#define PORT_NAME	    "io.tdid.guest.0"
#define PORT_OUT_MAX	    (256u * 1024) /* not yet taken by the host */
#define PORT_READS_PER_TURN 16

typedef struct Port Port;

typedef struct PortHandlers {
	/*
	 * The host has opened its end, and one NUL has been sent; or (anew) it sent the NUL with
	 * which it begins: then it may have been replaced unnoticed.
	 */
	void (*opened)(void *userdata, bool anew);
	/* One frame, borrowed for the call; text == NULL: one that was too long. */
	void (*frame)(void *userdata, const char *text, size_t len);
	void (*closed)(void *userdata);
} PortHandlers;

int port_new(Port **ret, Loop *loop, const Tree *tree, const PortHandlers *handlers,
	     void *userdata);
Port *port_free(Port *port);
DEFINE_CLEANUP(Port, port_free);

/*
 * Looks for the port and opens it, unless it is open: at start, and whenever the kernel tells of a
 * change among the ports. 0; -ENOENT: there is none of that name (yet); or what open() said.
 */
int port_find(Port *port);

/* Takes an open, non-blocking descriptor as the port. */
int port_attach(Port *port, int fd);

/* Queues bytes. -ENOTCONN: the host is not there; -ENOBUFS: it does not read. */
int port_send(Port *port, const char *bytes, size_t size);
