/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where quotes are asked for: "unix:/run/qgs.socket", "vsock:2:4050", "tcp:127.0.0.1:4050",
 * "tcp:[::1]:4050". To listen at, a vsock address may leave its CID out: "vsock:4050";
 * "tcp:[::]:4050" is IPv4's, too.
 *
 * IP addresses are numeric: a name's resolution would block.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

typedef struct Address {
	struct sockaddr_storage storage;
	socklen_t size;
} Address;

/* "unix:" and the longest path, or "tcp:[...]:65535"; and a NUL. */
#define ADDRESS_STRING_SIZE 128

/* Good to listen at only: it names no machine. */
bool address_is_any(const Address *address);

/* 0; -EINVAL with *ret_why, a static sentence. */
int address_parse(Address *ret, const char *text, const char **ret_why);
const char *address_format(const Address *address, char buffer[static ADDRESS_STRING_SIZE]);

/* Whether who connects to `to` may end at a listener of this host at `listener`. */
bool address_reaches(const Address *to, const Address *listener);

/*
 * A non-blocking socket, its connect begun. Returns the fd, with *ret_pending when it becomes
 * writable at the end of it (getsockopt SO_ERROR tells the result); or a negative errno:
 * connect(2)'s, with -EAGAIN for a unix socket whose queue is full.
 */
int address_connect(const Address *address, bool *ret_pending);

/* A non-blocking listening socket at a vsock or IP address. A negative errno. */
int address_listen(const Address *address);
