/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How to wait for the host. A virtio port (drivers/char/virtio_console.c, port_fops_poll()) reports
 * EPOLLHUP for as long as nobody has the host's end open, so that a plain poll() would return at
 * once, for ever; and read() returns 0 meanwhile. But the driver wakes the port's waiters whenever
 * the host opens or closes its end (handle_control_message(), VIRTIO_CONSOLE_PORT_OPEN). An
 * edge-triggered epoll set reports exactly these wake-ups: the port sits in one of its own, and the
 * agent polls that set's descriptor. EPOLLOUT is among the events all the time, since a connection
 * without data shows as nothing else.
 *
 * If the host closes and opens again before we look, both wake-ups are one and the state seems not
 * to have changed. Therefore each side begins with a NUL, which is an empty frame wherever it
 * stands between two frames; behind half a frame it ends that, which then does not parse.
 *
 * Edge-triggered means: read until there is nothing left. A host that never stops sending is cut
 * off after some reads; EPOLL_CTL_MOD then makes the set report what is still there.
 */
#include "agent/port.h"

#include "rpc/frame.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define PORTS "/sys/class/virtio-ports"

struct Port {
	Loop *loop;
	const Tree *tree;
	PortHandlers handlers;
	void *userdata;

	int fd;
	int epoll_fd;
	LoopFd source;
	bool connected;
	bool between_frames; /* the last byte that came was a NUL, or none came */
	FrameReader *reader;

	char *out;
	size_t out_size, out_capacity;
};

#define PORT_EVENTS (EPOLLIN | EPOLLOUT | EPOLLET)

int port_new(Port **ret, Loop *loop, const Tree *tree, const PortHandlers *handlers, void *userdata)
{
	_cleanup_(port_freep) Port *port = calloc(1, sizeof(*port));
	int r;

	if (!port)
		return -ENOMEM;
	port->loop = loop;
	port->tree = tree;
	port->handlers = *handlers;
	port->userdata = userdata;
	port->fd = port->epoll_fd = -1;
	r = frame_reader_new(&port->reader, FRAME_SIZE_MAX);
	if (r < 0)
		return r;
	*ret = steal_ptr(port);
	return 0;
}

static void port_close(Port *port)
{
	loop_fd_off(&port->source);
	if (port->epoll_fd >= 0)
		close(port->epoll_fd);
	if (port->fd >= 0)
		close(port->fd);
	port->fd = port->epoll_fd = -1;
}

Port *port_free(Port *port)
{
	port_close(port);
	if (port->reader)
		frame_reader_free(port->reader);
	free(port->out);
	free(port);
	return NULL;
}

static void port_disconnected(Port *port)
{
	port->out_size = 0;
	if (!port->connected)
		return;
	port->connected = false;
	port->handlers.closed(port->userdata);
}

static void port_opened(Port *port)
{
	frame_reader_reset(port->reader);
	port->between_frames = true;
	port->out_size = 0;
	port->connected = true;
	port_send(port, "", 1);
	port->handlers.opened(port->userdata, false);
}

/* The port itself is gone: a new one announces itself by uevent. */
static void port_lost(Port *port)
{
	port_close(port);
	port_disconnected(port);
}

static void port_flush(Port *port)
{
	size_t done = 0;

	while (port->connected && done < port->out_size) {
		ssize_t n = write(port->fd, port->out + done, port->out_size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			/* Full: EPOLLOUT tells. Gone: EPOLLHUP or a failing read does. */
			break;
		done += (size_t)n;
	}
	memmove(port->out, port->out + done, port->out_size - done);
	port->out_size -= done;
}

int port_send(Port *port, const char *bytes, size_t size)
{
	if (!port->connected)
		return -ENOTCONN;
	if (size > PORT_OUT_MAX - port->out_size)
		return -ENOBUFS;
	if (port->out_size + size > port->out_capacity) {
		char *grown = realloc(port->out, port->out_size + size);

		if (!grown)
			return -ENOMEM;
		port->out = grown;
		port->out_capacity = port->out_size + size;
	}
	memcpy(port->out + port->out_size, bytes, size);
	port->out_size += size;
	port_flush(port);
	return 0;
}

/* The frames of what was read. Any handler may lead to the port being closed. */
static void port_take(Port *port, const char *bytes, size_t size)
{
	const char *text;
	size_t len;
	int r = FRAME_NONE;

	while (size > 0 && port->connected) {
		if (port->between_frames && *bytes == '\0') {
			bytes++;
			size--;
			port->handlers.opened(port->userdata, true);
			continue;
		}
		r = frame_reader_next(port->reader, &bytes, &size, &text, &len);
		port->between_frames = r != FRAME_NONE;
		if (r == FRAME_READY)
			port->handlers.frame(port->userdata, text, len);
		else if (r == FRAME_OVERSIZE)
			port->handlers.frame(port->userdata, NULL, 0);
		else if (r < 0)
			break;
	}
}

static void port_read(Port *port)
{
	char buffer[16 * 1024];

	for (unsigned int i = 0; port->connected && i < PORT_READS_PER_TURN; i++) {
		ssize_t n = read(port->fd, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			port_lost(port);
			return;
		}
		if (n == 0) {
			port_disconnected(port);
			return;
		}
		port_take(port, buffer, (size_t)n);
	}
	if (port->connected) {
		struct epoll_event again = { .events = PORT_EVENTS };

		epoll_ctl(port->epoll_fd, EPOLL_CTL_MOD, port->fd, &again);
	}
}

/* What was still on its way belongs to nobody. The read also tells "closed" from "unplugged". */
static void port_hung_up(Port *port)
{
	char buffer[4096];
	ssize_t n;

	do
		n = read(port->fd, buffer, sizeof(buffer));
	while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0 && errno != EAGAIN)
		port_lost(port);
	else
		port_disconnected(port);
}

static void on_port(void *userdata, short revents)
{
	struct epoll_event event;
	Port *port = userdata;

	if (epoll_wait(port->epoll_fd, &event, 1, 0) != 1)
		return;
	if (event.events & EPOLLHUP) {
		port_hung_up(port);
		return;
	}
	if (!port->connected)
		port_opened(port);
	if (event.events & EPOLLIN)
		port_read(port);
	if (port->connected && event.events & EPOLLOUT)
		port_flush(port);
}

int port_attach(Port *port, int fd)
{
	struct epoll_event event = { .events = PORT_EVENTS };
	int r;

	port_lost(port);
	port->fd = fd;
	port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (port->epoll_fd < 0)
		r = -errno;
	else if (epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		r = -errno;
	else
		r = loop_fd_on(port->loop, &port->source, port->epoll_fd, POLLIN, on_port, port);
	if (r < 0)
		port_close(port);
	return r;
}

static int port_open(Port *port, const char *device)
{
	int fd = tree_open(port->tree, O_RDWR | O_NONBLOCK, "/dev/%s", device);

	return fd < 0 ? fd : port_attach(port, fd);
}

int port_find(Port *port)
{
	_cleanup_free_ char *path = NULL;
	struct dirent *entry;
	int r = -ENOENT;
	DIR *ports;

	if (port->fd >= 0)
		return 0;
	if (tree_path(port->tree, &path, PORTS) < 0)
		return -ENOMEM;
	ports = opendir(path);
	if (!ports)
		return -errno;
	while ((entry = readdir(ports))) {
		char name[64];

		if (entry->d_name[0] == '.' ||
		    tree_read_line(port->tree, name, sizeof(name), PORTS "/%s/name",
				   entry->d_name) < 0 ||
		    strcmp(name, PORT_NAME) != 0)
			continue;
		r = port_open(port, entry->d_name);
		if (r == 0)
			break;
	}
	closedir(ports);
	return r;
}
