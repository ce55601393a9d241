/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every port has a connection to libvirtd of its own. libvirtd counts what it cannot pass on to a
 * guest against the requests that it takes from the same connection (five), and then reads nothing
 * more from there: on a shared connection a guest that does not read its port would stop all calls,
 * for all domains. On its own it stops only itself; keepalive, here or libvirtd's, then breaks it
 * (20 to 30 s after the kernel's socket buffer and five messages of 64 KiB have filled up).
 *
 * A port is in the list from its opening to the end of its pump. Then a thread of the closer gives
 * the stream and the connection back, which can block as long as the keepalive allows.
 */
#include "vmm/ports.h"

#include "vmm/channel.h"
#include "vmm/connection.h"
#include "vmm/deadline.h"
#include "vmm/sentence.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/queue.h>

typedef struct Port {
	TAILQ_ENTRY(Port) in_list;
	Ports *ports;
	virConnectPtr conn;
	virStreamPtr stream;
	Channel *channel;
	void (*on_event)(int events, void *opaque);
	void *opaque;
} Port;

struct Ports {
	pthread_mutex_t lock;
	pthread_cond_t ended; /* a port has left the list */
	unsigned refs;
	bool closed;
	TAILQ_HEAD(, Port) list;
	Closer *closer;
};

static ssize_t port_send(void *stream, const void *data, size_t len)
{
	int n = virStreamSend(((Port *)stream)->stream, data, len);

	return n >= 0 ? n : n == -2 ? -EAGAIN : -EIO;
}

static ssize_t port_receive(void *stream, void *data, size_t len)
{
	int n = virStreamRecv(((Port *)stream)->stream, data, len);

	return n >= 0 ? n : n == -2 ? -EAGAIN : -EIO;
}

static void on_stream(virStreamPtr stream, int events, void *opaque)
{
	Port *port = opaque;

	port->on_event(events, port->opaque);
}

static int port_watch(void *stream, int events, void (*fn)(int events, void *opaque), void *opaque)
{
	Port *port = stream;

	port->on_event = fn;
	port->opaque = opaque;
	return virStreamEventAddCallback(port->stream, events, on_stream, port, NULL) < 0 ? -EIO
											  : 0;
}

static int port_update(void *stream, int events)
{
	return virStreamEventUpdateCallback(((Port *)stream)->stream, events) < 0 ? -EIO : 0;
}

static int port_unwatch(void *stream)
{
	return virStreamEventRemoveCallback(((Port *)stream)->stream) < 0 ? -EIO : 0;
}

static const ChannelStreamOps port_ops = {
	.send = port_send,
	.receive = port_receive,
	.watch = port_watch,
	.update = port_update,
	.unwatch = port_unwatch,
};

/* Blocks. */
static void port_close(void *data)
{
	Port *port = data;

	if (port->stream) {
		virStreamAbort(port->stream);
		virStreamFree(port->stream);
	}
	if (port->conn)
		virConnectClose(port->conn);
	channel_unref(port->channel);
	ports_unref(port->ports);
	free(port);
}

/* On libvirt's event thread. */
static void on_ended(void *userdata)
{
	Port *port = userdata;
	Ports *ports = port->ports;

	pthread_mutex_lock(&ports->lock);
	TAILQ_REMOVE(&ports->list, port, in_list);
	/* With the lock: who sees the list empty finds all closings under way. */
	closer_run(ports->closer, port_close, port);
	pthread_cond_broadcast(&ports->ended);
	pthread_mutex_unlock(&ports->lock);
}

static int open_error(Port *port, const char *uuid, const char *name, char **ret_error)
{
	int code = virGetLastErrorCode(), r;
	_cleanup_free_ char *object = NULL;
	bool no_channel;

	if (asprintf(&object, "domain %s: port %s", uuid, name) < 0)
		return -ENOMEM;
	/* It has no code of its own. */
	no_channel = strstr(virGetLastErrorMessage(), "cannot find channel") != NULL;
	r = connection_error(port->conn, ret_error, object, "cannot open");
	if (r == -ENOTCONN)
		return r;
	/* qemuDomainOpenChannel: not active; no channel of that name; somebody has it open. */
	switch (code) {
	case VIR_ERR_NO_DOMAIN:
	case VIR_ERR_OPERATION_INVALID:
	case VIR_ERR_INVALID_ARG: return -ENOENT;
	case VIR_ERR_OPERATION_FAILED: return -EBUSY;
	case VIR_ERR_INTERNAL_ERROR: return no_channel ? -ENOENT : r;
	default: return r;
	}
}

static int open_stream(Port *port, const char *uuid, const char *name, char **ret_error)
{
	virDomainPtr domain = virDomainLookupByUUIDString(port->conn, uuid);
	int r = 0;

	if (domain)
		port->stream = virStreamNew(port->conn, VIR_STREAM_NONBLOCK);
	if (!domain || !port->stream || virDomainOpenChannel(domain, name, port->stream, 0) < 0)
		r = open_error(port, uuid, name, ret_error);
	if (domain)
		virDomainFree(domain);
	return r;
}

/* The pump may end before this returns; that waits for the lock. */
static int start_pump(Port *port, int *ret_fd)
{
	Ports *ports = port->ports;
	int r = -ECANCELED;

	pthread_mutex_lock(&ports->lock);
	if (!ports->closed)
		r = channel_new(&port->channel, ret_fd, &port_ops, port, on_ended, port);
	if (r == 0)
		TAILQ_INSERT_TAIL(&ports->list, port, in_list);
	pthread_mutex_unlock(&ports->lock);
	return r;
}

int ports_open(Ports *ports, const char *uri, const char *uuid, const char *name, int *ret_fd,
	       char **ret_error)
{
	Port *port = calloc(1, sizeof(*port));
	int r;

	if (!port)
		return -ENOMEM;
	port->ports = ports_ref(ports);
	r = connection_dial(&port->conn, uri, ret_error);
	if (r == 0)
		r = open_stream(port, uuid, name, ret_error);
	if (r == 0) {
		r = start_pump(port, ret_fd);
		if (r < 0)
			sentence(ret_error, r, "domain %s: port %s: cannot pump its bytes: %m",
				 uuid, (errno = -r, name));
	}
	if (r < 0)
		port_close(port);
	return r;
}

void ports_stop(Ports *ports)
{
	Port *port;

	pthread_mutex_lock(&ports->lock);
	TAILQ_FOREACH(port, &ports->list, in_list)
	channel_stop(port->channel);
	pthread_mutex_unlock(&ports->lock);
}

int ports_new(Ports **ret, Closer *closer)
{
	Ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return -ENOMEM;
	pthread_mutex_init(&ports->lock, NULL);
	deadline_cond_init(&ports->ended);
	TAILQ_INIT(&ports->list);
	ports->refs = 1;
	ports->closer = closer_ref(closer);
	*ret = ports;
	return 0;
}

Ports *ports_free_wait(Ports *ports, uint64_t wait_usec)
{
	struct timespec until = deadline_from_now(wait_usec);
	int r = 0;

	if (!ports)
		return NULL;
	pthread_mutex_lock(&ports->lock);
	ports->closed = true;
	pthread_mutex_unlock(&ports->lock);
	ports_stop(ports);
	pthread_mutex_lock(&ports->lock);
	while (!TAILQ_EMPTY(&ports->list) && r == 0)
		r = pthread_cond_timedwait(&ports->ended, &ports->lock, &until);
	pthread_mutex_unlock(&ports->lock);
	return ports_unref(ports);
}

Ports *ports_ref(Ports *ports)
{
	pthread_mutex_lock(&ports->lock);
	ports->refs++;
	pthread_mutex_unlock(&ports->lock);
	return ports;
}

Ports *ports_unref(Ports *ports)
{
	bool last;

	if (!ports)
		return NULL;
	pthread_mutex_lock(&ports->lock);
	last = --ports->refs == 0;
	pthread_mutex_unlock(&ports->lock);
	if (!last)
		return NULL;
	closer_unref(ports->closer);
	pthread_cond_destroy(&ports->ended);
	pthread_mutex_destroy(&ports->lock);
	free(ports);
	return NULL;
}
