/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One client of a server; shared by varlink-server.c, varlink-connection.c and varlink-call.c. */
#pragma once

#include "rpc/idl.h"
#include "rpc/varlink-server.h"
#include "rpc/varlink-stream.h"

typedef struct Binding {
	char *method; /* with its interface */
	const IdlInterface *interface;
	const IdlMethod *description;
	unsigned flags;
	VarlinkHandler handler; /* NULL: not bound yet */
	void *userdata;
} Binding;

typedef struct Connection Connection;

struct Connection {
	VarlinkServer *server;
	VarlinkStream *stream;
	struct ucred peer;
	gid_t *groups; /* supplementary ones */
	size_t n_groups;
	VarlinkCall *call; /* the one that is not answered yet; a reference */
	Connection *previous, *next;
};

struct VarlinkCall {
	unsigned refs;
	Connection *connection; /* NULL: the client is gone */
	const Binding *binding; /* NULL: no such method; valid only beside `connection` */
	json_object *body;	/* owns `method` and, but for `empty`, `parameters` */
	const char *method;
	json_object *parameters;
	struct ucred peer;
	bool more, oneway, finished;
	VarlinkGone gone;
	void *gone_userdata;
	VarlinkDrained drained;
	void *drained_userdata;
};

/* Takes the fd, also on failure, and asks the socket for its peer's groups. */
int connection_new(Connection **ret, VarlinkServer *server, sd_event *event, int fd,
		   const struct ucred *peer, size_t input_max, size_t output_max);
/* Tells a pending call that its client is gone. */
Connection *connection_free(Connection *connection);
DEFINE_CLEANUP(Connection, connection_free);

/* Of varlink-server.c: */
const IdlInterface *server_find_interface(const VarlinkServer *server, const char *name,
					  size_t len);
const Binding *server_find_binding(const VarlinkServer *server, const char *method);
void server_remove_connection(VarlinkServer *server, Connection *connection);

/* Of varlink-call.c: */
int call_new(VarlinkCall **ret, const char *text, size_t len);
void call_run(VarlinkCall *call);
void call_lose_client(VarlinkCall *call);

/* Of varlink-service.c: adds org.varlink.service. */
int server_add_service(VarlinkServer *server);
