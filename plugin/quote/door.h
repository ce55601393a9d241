/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where connections come in. A domain's own door stays shut while its domain may not have another
 * one: who is to wait waits in the socket's queue, and costs nobody anything.
 */
#pragma once

#include "quote/relay.h"

/* A unix socket for one TVM, of which the domain's QEMU alone may make use. */
int door_of_domain(Door **ret, Relay *relay, Domain *domain, const char *path, char **ret_error);

/* For all who come to a vsock or TCP address, each peer by itself. Listens at once. */
int door_of_address(Door **ret, Relay *relay, const Address *address, char **ret_error);

/* Of a domain: it may have room again. */
void door_room(Door *door);
/* Of a domain: its QEMU is known now. */
void door_known(Door *door);

/* Removes the socket of a domain. Returns NULL. */
Door *door_free(Door *door);
/* The same, but the socket stays for the next of us: who connects meanwhile is refused. */
Door *door_leave(Door *door);
DEFINE_CLEANUP(Door, door_free);
