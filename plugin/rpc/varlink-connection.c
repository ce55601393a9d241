/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection serves one call at a time: while `call` is set the stream is paused, and what the
 * client has pipelined waits. The final answer (varlink-call.c) clears `call` and resumes.
 */
#include "rpc/varlink-connection.h"

#include "rpc/log.h"

#include <errno.h>

static int on_frame(const char *text, size_t len, void *userdata)
{
	_cleanup_(varlink_call_unrefp) VarlinkCall *call = NULL;
	Connection *connection = userdata;
	int r;

	r = call_new(&call, text, len);
	if (r < 0)
		return r;
	call->connection = connection;
	call->peer = connection->peer;
	call->binding = server_find_binding(connection->server, call->method);
	connection->call = varlink_call_ref(call);
	varlink_stream_pause(connection->stream);
	/* From here on the handler may have freed the server, and with it the connection. */
	call_run(call);
	return 0;
}

static void on_closed(int reason, void *userdata)
{
	Connection *connection = userdata;

	if (reason != -ECONNRESET)
		log_warning("varlink: connection of pid %d, uid %u closed: %s",
			    (int)connection->peer.pid, (unsigned)connection->peer.uid,
			    reason == -ENOBUFS	  ? "it does not read its replies"
			    : reason == -EMSGSIZE ? "its call is over the size limit"
			    : reason == -EBADMSG  ? "it does not speak varlink"
						  : "no memory or no event source");
	server_remove_connection(connection->server, connection);
}

static void on_drained(void *userdata)
{
	VarlinkCall *call = ((Connection *)userdata)->call;

	if (call && call->drained)
		call->drained(call, call->drained_userdata);
}

static const VarlinkStreamOps stream_ops = { .frame = on_frame,
					     .closed = on_closed,
					     .drained = on_drained };

/* SO_PEERGROUPS says with ERANGE how much room it wants. */
static int read_groups(Connection *connection, int fd)
{
	socklen_t size = 0;
	gid_t *grown;

	while (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, connection->groups, &size) < 0) {
		if (errno != ERANGE)
			return -errno;
		grown = realloc(connection->groups, size);
		if (!grown)
			return -ENOMEM;
		connection->groups = grown;
	}
	connection->n_groups = size / sizeof(*connection->groups);
	return 0;
}

int connection_new(Connection **ret, VarlinkServer *server, sd_event *event, int fd,
		   const struct ucred *peer, size_t input_max, size_t output_max)
{
	_cleanup_(connection_freep) Connection *connection = calloc(1, sizeof(*connection));
	int r;

	if (!connection) {
		close(fd);
		return -ENOMEM;
	}
	connection->server = server;
	connection->peer = *peer;
	r = read_groups(connection, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = varlink_stream_new(&connection->stream, event, fd, input_max, output_max, &stream_ops,
			       connection);
	if (r < 0)
		return r;
	*ret = steal_ptr(connection);
	return 0;
}

Connection *connection_free(Connection *connection)
{
	if (!connection)
		return NULL;
	connection->stream = varlink_stream_free(connection->stream);
	if (connection->call)
		call_lose_client(steal_ptr(connection->call));
	free(connection->groups);
	free(connection);
	return NULL;
}
