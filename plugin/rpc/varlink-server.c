/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The server owns interfaces, bindings, listeners (varlink-listen.c) and connections
 * (varlink-connection.c); calls (varlink-call.c) belong to whoever holds a reference.
 */
#include "rpc/varlink-server.h"

#include "rpc/error.h"
#include "rpc/log.h"
#include "rpc/varlink-server-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CONNECTIONS_MAX		128u
#define CONNECTIONS_PER_UID_MAX 64u

static char *copy_or_empty(const char *text)
{
	return strdup(text ? text : "");
}

int varlink_server_new(VarlinkServer **ret, sd_event *event, const VarlinkServerOptions *options)
{
	_cleanup_(varlink_server_freep) VarlinkServer *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->spare_fd = -1;
	server->event = sd_event_ref(event);
	if (options)
		server->options = *options;
	server->vendor = copy_or_empty(server->options.vendor);
	server->product = copy_or_empty(server->options.product);
	server->version = copy_or_empty(server->options.version);
	server->url = copy_or_empty(server->options.url);
	if (!server->vendor || !server->product || !server->version || !server->url)
		return -ENOMEM;
	if (server->options.connections_max == 0)
		server->options.connections_max = CONNECTIONS_MAX;
	if (server->options.connections_per_uid_max == 0)
		server->options.connections_per_uid_max = CONNECTIONS_PER_UID_MAX;
	if (server->options.input_max == 0)
		server->options.input_max = VARLINK_INPUT_MAX;
	if (server->options.output_max == 0)
		server->options.output_max = VARLINK_OUTPUT_MAX;
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (server->spare_fd < 0)
		return -errno;
	r = server_add_service(server);
	if (r < 0)
		return r;
	*ret = steal_ptr(server);
	return 0;
}

VarlinkServer *varlink_server_free(VarlinkServer *server)
{
	if (!server)
		return NULL;
	server->listeners = listeners_free(server->listeners);
	while (server->connections)
		server_remove_connection(server, server->connections);
	for (size_t i = 0; i < server->n_bindings; i++)
		free(server->bindings[i].method);
	free(server->bindings);
	for (size_t i = 0; i < server->n_interfaces; i++)
		idl_free(server->interfaces[i]);
	free(server->interfaces);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	free(server->vendor);
	free(server->product);
	free(server->version);
	free(server->url);
	sd_event_unref(server->event);
	free(server);
	return NULL;
}

/* --- interfaces and bindings --- */

const IdlInterface *server_find_interface(const VarlinkServer *server, const char *name, size_t len)
{
	for (size_t i = 0; i < server->n_interfaces; i++) {
		const char *candidate = idl_name(server->interfaces[i]);

		if (strlen(candidate) == len && memcmp(candidate, name, len) == 0)
			return server->interfaces[i];
	}
	return NULL;
}

static Binding *find_binding(const VarlinkServer *server, const char *method)
{
	for (size_t i = 0; i < server->n_bindings; i++)
		if (strcmp(server->bindings[i].method, method) == 0)
			return &server->bindings[i];
	return NULL;
}

const Binding *server_find_binding(const VarlinkServer *server, const char *method)
{
	return find_binding(server, method);
}

static int add_unbound(VarlinkServer *server, const IdlInterface *interface,
		       const IdlMethod *method)
{
	Binding *bindings =
		reallocarray(server->bindings, server->n_bindings + 1, sizeof(*bindings));
	char *name = NULL;

	if (!bindings)
		return -ENOMEM;
	server->bindings = bindings;
	error_set(&name, 0, "%s.%s", idl_name(interface), method->name);
	if (!name)
		return -ENOMEM;
	bindings[server->n_bindings++] =
		(Binding){ .method = name, .interface = interface, .description = method };
	return 0;
}

int varlink_server_add_interface(VarlinkServer *server, const char *text, char **ret_error)
{
	_cleanup_(idl_freep) IdlInterface *interface = NULL;
	IdlInterface **interfaces;
	const IdlMethod *method;
	int r;

	if (server->listeners)
		return error_set(ret_error, -EBUSY, "varlink: the server already listens");
	r = idl_parse(&interface, text, ret_error);
	if (r < 0)
		return r;
	if (server_find_interface(server, idl_name(interface), strlen(idl_name(interface))))
		return error_set(ret_error, -EEXIST, "varlink: interface %s is added twice",
				 idl_name(interface));
	interfaces =
		reallocarray(server->interfaces, server->n_interfaces + 1, sizeof(*interfaces));
	if (!interfaces)
		return -ENOMEM;
	server->interfaces = interfaces;
	interfaces[server->n_interfaces++] = interface;
	for (size_t i = 0; (method = idl_method_at(interface, i)); i++) {
		r = add_unbound(server, interface, method);
		if (r < 0)
			break;
	}
	(void)steal_ptr(interface);
	return r;
}

int varlink_server_bind(VarlinkServer *server, const char *method, unsigned flags,
			VarlinkHandler handler, void *userdata)
{
	Binding *binding = find_binding(server, method);

	if (!binding)
		return -ENOENT;
	if (binding->handler)
		return -EEXIST;
	binding->flags = flags;
	binding->handler = handler;
	binding->userdata = userdata;
	return 0;
}

int varlink_server_bind_all(VarlinkServer *server, const VarlinkMethod *methods, size_t n,
			    void *userdata)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = varlink_server_bind(server, methods[i].name, methods[i].flags,
					methods[i].handler, userdata);
	return r;
}

int server_check_complete(const VarlinkServer *server, char **ret_error)
{
	for (size_t i = 0; i < server->n_bindings; i++)
		if (!server->bindings[i].handler)
			return error_set(ret_error, -ENOSYS, "varlink: nothing serves method %s",
					 server->bindings[i].method);
	return 0;
}

/* --- connections --- */

unsigned varlink_server_connections(const VarlinkServer *server)
{
	return server->n_connections;
}

void server_remove_connection(VarlinkServer *server, Connection *connection)
{
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		server->connections = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	server->n_connections--;
	server->refusing = false;
	/* Last: a call's gone callback runs in here, and it may free the server. */
	connection_free(connection);
}

static bool over_limit(VarlinkServer *server, uid_t uid)
{
	unsigned same_uid = 0;

	for (Connection *c = server->connections; c; c = c->next)
		if (c->peer.uid == uid)
			same_uid++;
	if (server->n_connections < server->options.connections_max &&
	    same_uid < server->options.connections_per_uid_max)
		return false;
	/* Once per siege, or the log would be the next thing to fill up. */
	if (!server->refusing)
		log_warning("varlink: refusing uid %u: %u connections, %u of them its own",
			    (unsigned)uid, server->n_connections, same_uid);
	server->refusing = true;
	return true;
}

void server_accept(VarlinkServer *server, int fd)
{
	_cleanup_close_ int owned = fd;
	socklen_t size = sizeof(struct ucred);
	Connection *connection = NULL;
	struct ucred peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof(peer)) {
		log_warning("varlink: the peer of a new connection is unknown: %m");
		return;
	}
	if (server->options.allow && !server->options.allow(&peer, server->options.userdata)) {
		log_debug("varlink: pid %d, uid %u may not connect", (int)peer.pid,
			  (unsigned)peer.uid);
		return;
	}
	if (over_limit(server, peer.uid))
		return;
	if (connection_new(&connection, server, server->event, steal_fd(&owned), &peer,
			   server->options.input_max, server->options.output_max) < 0) {
		log_error("varlink: no memory or event source for a new connection");
		return;
	}
	connection->next = server->connections;
	if (connection->next)
		connection->next->previous = connection;
	server->connections = connection;
	server->n_connections++;
}
