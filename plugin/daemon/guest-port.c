/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connection. Output is bounded: a guest that does not read loses its port, and opens a new
 * session when it reads again.
 */
#include "daemon/guest-port-private.h"

#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define PORT_NAME  "io.tdid.guest.0"
#define READ_SIZE  4096
#define OUTPUT_MAX (512 * 1024)
#define RETRY_USEC (1000 * UINT64_C(1000))
#define LINES_MAX  16 /* in the log, that a guest can cause, per opened port */

const char *guest_port_domain(const GuestPort *port)
{
	return port->tvm->domain ? port->tvm->domain->name : "?";
}

void guest_port_say(GuestPort *port, LogLevel level, const char *what, const char *detail)
{
	if (port->lines >= LINES_MAX)
		return;
	port->lines++;
	log_message(level, "%s: guest port: %s%s%s", guest_port_domain(port), what, detail,
		    port->lines == LINES_MAX ? " (no more is said until it is opened again)" : "");
}

static void close_port(GuestPort *port)
{
	port->io = sd_event_source_disable_unref(port->io);
	if (port->fd >= 0)
		close(port->fd);
	port->fd = -1;
	port->output_used = 0;
	port->session[0] = '\0';
	guest_tsm_end_session(port->tsm);
	frame_reader_reset(port->reader);
}

static void destroy(GuestPort *port)
{
	close_port(port);
	sd_event_source_disable_unref(port->retry);
	port->tsm = guest_tsm_free(port->tsm);
	frame_reader_free(port->reader);
	idl_free(port->idl);
	free(port->output);
	free(port);
}

void guest_port_provider_ready(GuestPort *port)
{
	if (port)
		guest_tsm_provider_ready(port->tsm);
}

GuestPort *guest_port_free(GuestPort *port)
{
	if (!port)
		return NULL;
	if (port->opening) {
		/* Its TVM goes; nothing but the answer to the open may touch it from here on. */
		port->tsm = guest_tsm_free(port->tsm);
		port->orphan = true;
		return NULL;
	}
	destroy(port);
	return NULL;
}

static void try_open(GuestPort *port);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	GuestPort *port = userdata;

	port->retry = sd_event_source_disable_unref(port->retry);
	try_open(port);
	return 0;
}

/* libvirt tells nothing when another opener has let go of the port, so this is on a timer too. */
static void retry_later(GuestPort *port)
{
	port->retry = sd_event_source_disable_unref(port->retry);
	sd_event_add_time_relative(port->tdid->event, &port->retry, CLOCK_MONOTONIC, RETRY_USEC, 0,
				   on_retry, port);
}

static void give_up_connection(GuestPort *port, const char *why)
{
	log_info("%s: guest port closed: %s", guest_port_domain(port), why);
	close_port(port);
	retry_later(port);
}

void guest_port_end_session(GuestPort *port)
{
	if (!port || port->fd < 0)
		return;
	log_info("%s: guest port closed: the guest was reset", guest_port_domain(port));
	close_port(port);
	try_open(port);
}

/* Writes what is queued. False when the port had to be closed. */
static bool flush(GuestPort *port)
{
	while (port->output_used > 0) {
		ssize_t n = write(port->fd, port->output, port->output_used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			give_up_connection(port, strerror(errno));
			return false;
		}
		port->output_used -= (size_t)n;
		memmove(port->output, port->output + n, port->output_used);
	}
	sd_event_source_set_io_events(port->io, EPOLLIN | (port->output_used > 0 ? EPOLLOUT : 0));
	return true;
}

static void send_bytes(GuestPort *port, const char *data, size_t len)
{
	if (port->fd < 0)
		return;
	if (len > OUTPUT_MAX - port->output_used) {
		give_up_connection(port, "the guest does not read");
		return;
	}
	memcpy(port->output + port->output_used, data, len);
	port->output_used += len;
	flush(port);
}

void guest_port_send(GuestPort *port, const GuestFrame *frame)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = guest_frame_format(&text, &len, frame, FRAME_SIZE_MAX);

	if (r < 0)
		log_error("%s: guest port: %s cannot be sent: %s", guest_port_domain(port),
			  frame->method, strerror(-r));
	else
		send_bytes(port, text, len);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	GuestPort *port = userdata;
	char buffer[READ_SIZE];
	const char *data = buffer, *text;
	size_t len, text_len;
	ssize_t n;
	int r;

	if ((revents & EPOLLOUT) && !flush(port))
		return 0;
	if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = read(fd, buffer, sizeof(buffer));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		give_up_connection(port, n < 0 ? strerror(errno) : "end of file");
		return 0;
	}
	len = (size_t)n;
	while (port->fd == fd &&
	       (r = frame_reader_next(port->reader, &data, &len, &text, &text_len)) > 0) {
		if (r == FRAME_OVERSIZE)
			guest_port_say(port, LOG_LEVEL_WARNING, "a frame over 64 KiB was dropped",
				       "");
		else
			guest_session_frame(port, text, text_len);
	}
	return 0;
}

static void on_opened(int r, int fd, const char *message, void *userdata)
{
	GuestPort *port = userdata;

	port->opening = false;
	if (port->orphan) {
		if (fd >= 0)
			close(fd);
		destroy(port);
		return;
	}
	if (r < 0) {
		log_debug("%s: guest port: %s", guest_port_domain(port), message ?: strerror(-r));
		retry_later(port);
		return;
	}
	port->fd = fd;
	port->lines = 0;
	r = sd_event_add_io(port->tdid->event, &port->io, fd, EPOLLIN, on_io, port);
	if (r < 0) {
		give_up_connection(port, strerror(-r));
		return;
	}
	log_info("%s: guest port open", guest_port_domain(port));
	send_bytes(port, "", 1);
}

static void try_open(GuestPort *port)
{
	char uuid[UUID_STRING_SIZE];
	int r;

	if (port->opening || port->fd >= 0)
		return;
	port->retry = sd_event_source_disable_unref(port->retry);
	r = vmm_open_channel(port->tdid->vmm, uuid_format(port->tvm->uuid, uuid), PORT_NAME, 0,
			     on_opened, port);
	if (r < 0)
		retry_later(port);
	else
		port->opening = true;
}

int guest_port_open(Tvm *tvm)
{
	GuestPort *port;
	int r;

	if (tvm->port)
		return 0;
	port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	port->tdid = tvm->tdid;
	port->tvm = tvm;
	port->fd = -1;
	port->output = malloc(OUTPUT_MAX);
	r = port->output ? frame_reader_new(&port->reader, FRAME_SIZE_MAX) : -ENOMEM;
	if (r >= 0)
		r = idl_parse(&port->idl, schema_io_tdid_guest, NULL);
	if (r >= 0)
		r = guest_tsm_new(&port->tsm, port->tdid, tvm, guest_session_tsm_answered, port);
	if (r < 0) {
		destroy(port);
		return r;
	}
	tvm->port = port;
	try_open(port);
	return 0;
}

void guest_port_nudge(GuestPort *port)
{
	if (port)
		try_open(port);
}
