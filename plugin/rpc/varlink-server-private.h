/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server's insides, for the files that implement it. */
#pragma once

#include "rpc/varlink-connection.h"

typedef struct Listener Listener;

struct VarlinkServer {
	sd_event *event;
	char *vendor, *product, *version, *url;
	VarlinkServerOptions options;

	IdlInterface **interfaces;
	size_t n_interfaces;
	Binding *bindings; /* one per described method; fixed once something listens */
	size_t n_bindings;

	Listener *listeners;
	Connection *connections;
	unsigned n_connections;
	bool refusing; /* over a limit, and said so */
	int spare_fd;  /* see on_connect */
};

/* Of varlink-listen.c: */
Listener *listeners_free(Listener *first);

/* Of varlink-server.c: -ENOSYS while a method is unbound. */
int server_check_complete(const VarlinkServer *server, char **ret_error);
/* Serves a connected socket, or closes it when it is not allowed. */
void server_accept(VarlinkServer *server, int fd);
