/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a quoting service listens: "CID:PORT" over vsock, "ADDRESS:PORT" over TCP. Addresses are
 * numbers ("10.0.2.2:4050", "[fe80::1]:4050"): a static program has no resolver, and a TVM's owner
 * has no reason to believe the names that the host's network gives.
 */
#pragma once

#include <sys/socket.h>

#define STREAM_ADDRESS_TEXT_MAX 96u
#define STREAM_VSOCK_HOST	2u    /* VMADDR_CID_HOST */
#define STREAM_QGS_PORT		4050u /* QGS's own default */

typedef struct StreamAddress {
	struct sockaddr_storage address;
	socklen_t size;				/* 0: none */
	char text[STREAM_ADDRESS_TEXT_MAX + 1]; /* "vsock 2:4050", "tcp 10.0.2.2:4050" */
} StreamAddress;

/* -EINVAL with a sentence. */
int stream_address_vsock(StreamAddress *ret, const char *text, char **ret_error);
int stream_address_tcp(StreamAddress *ret, const char *text, char **ret_error);
