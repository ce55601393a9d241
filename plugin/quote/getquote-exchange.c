/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/getquote-exchange.h"
#include "core/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static void end(Exchange *e, ExchangeState state,
						      const char *format, ...)
{
	va_list arguments;

	e->state = state;
	va_start(arguments, format);
	vsnprintf(e->why, sizeof(e->why), format, arguments);
	va_end(arguments);
}

int getquote_exchange_make(Exchange *ret, const void *report, size_t size)
{
	QgsMessage m = {
		.major = QGS_MAJOR,
		.minor = QGS_MINOR,
		.type = QGS_GET_QUOTE_REQUEST,
		.quote_request.report = { report, size },
	};

	*ret = (Exchange){ .fd = -1 };
	return qgs_message_format(&ret->request, &ret->request_size, &m);
}

void getquote_exchange_free_contents(Exchange *e)
{
	cleanup_closep(&e->fd);
	e->fd = -1;
	free(e->request);
	free(e->reply);
	e->request = e->reply = NULL;
}

/*
 * A unix socket whose queue is full says EAGAIN, and nothing tells when it is not any more: the
 * state stays idle, and the caller comes back after a while.
 */
static void step_connect(Exchange *e, const struct sockaddr *address, socklen_t size)
{
	if (e->fd < 0) {
		e->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (e->fd < 0) {
			end(e, EXCHANGE_UNAVAILABLE, "socket: %s", strerror(errno));
			return;
		}
	}
	if (connect(e->fd, address, size) == 0)
		e->state = EXCHANGE_SENDING;
	else if (errno == EINPROGRESS)
		e->state = EXCHANGE_CONNECTING;
	else if (errno != EAGAIN && errno != EINTR)
		end(e, EXCHANGE_UNAVAILABLE, "connect: %s", strerror(errno));
}

static void step_connecting(Exchange *e)
{
	struct pollfd fd = { .fd = e->fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	if (poll(&fd, 1, 0) <= 0)
		return;
	if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error != 0)
		end(e, EXCHANGE_UNAVAILABLE, "connect: %s", strerror(error));
	else
		e->state = EXCHANGE_SENDING;
}

/*
 * In one piece, since QGS loses a request that comes in two. A new connection's buffer has room for
 * a TDREPORT many times over; only a report that is far larger could be sent in part.
 */
static void step_send(Exchange *e)
{
	ssize_t n = send(e->fd, e->request + e->sent, e->request_size - e->sent, MSG_NOSIGNAL);

	if (n >= 0)
		e->sent += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		end(e, EXCHANGE_FAILED, "cannot send the request: %s", strerror(errno));
	if (e->sent == e->request_size)
		e->state = EXCHANGE_RECEIVING;
}

/* The frame is there. */
static void begin_reply(Exchange *e)
{
	uint32_t size;

	if (qgs_frame_parse(&size, e->frame, QGS_MESSAGE_MAX) < 0) {
		end(e, EXCHANGE_FAILED, "the reply is said to be of %u bytes", size);
		return;
	}
	e->reply = malloc(size);
	if (!e->reply)
		end(e, EXCHANGE_FAILED, "no memory for a reply of %u bytes", size);
	e->reply_size = QGS_FRAME_SIZE + size;
}

static void end_reply(Exchange *e)
{
	char buffer[QGS_ERROR_TEXT_SIZE];
	const char *why = NULL;
	QgsMessage m;
	int r = qgs_message_parse(&m, e->reply, e->reply_size - QGS_FRAME_SIZE, &why);

	if (r < 0)
		end(e, EXCHANGE_FAILED, "the reply is malformed: %s", why);
	else if (m.type != QGS_GET_QUOTE_RESPONSE)
		end(e, EXCHANGE_FAILED, "the reply is a %s", qgs_type_text(m.type));
	else if (m.error != 0)
		end(e, EXCHANGE_FAILED, "refused: %s", qgs_error_text(m.error, buffer));
	else
		end(e, EXCHANGE_DONE, "done");
	e->quote = e->state == EXCHANGE_DONE ? m.quote_response.quote : (QgsBytes){};
}

static ssize_t receive(Exchange *e)
{
	if (!e->reply)
		return recv(e->fd, e->frame + e->received, QGS_FRAME_SIZE - e->received, 0);
	return recv(e->fd, e->reply + (e->received - QGS_FRAME_SIZE), e->reply_size - e->received,
		    0);
}

/* Bytes behind the reply are not looked at. Returns whether there may be more to read. */
static bool step_receive(Exchange *e)
{
	char progress[EXCHANGE_WHY_SIZE];
	ssize_t n = receive(e);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0)
		end(e, EXCHANGE_FAILED, "cannot receive the reply: %s", strerror(errno));
	else if (n == 0)
		end(e, EXCHANGE_FAILED, "the connection was closed: %s",
		    getquote_exchange_progress(e, progress));
	else
		e->received += (size_t)n;
	if (e->state == EXCHANGE_RECEIVING && !e->reply && e->received == QGS_FRAME_SIZE)
		begin_reply(e);
	if (e->state == EXCHANGE_RECEIVING && e->reply && e->received == e->reply_size)
		end_reply(e);
	return e->state == EXCHANGE_RECEIVING;
}

bool getquote_exchange_step(Exchange *e, const struct sockaddr *address, socklen_t address_size)
{
	if (e->state == EXCHANGE_IDLE)
		step_connect(e, address, address_size);
	if (e->state == EXCHANGE_CONNECTING)
		step_connecting(e);
	if (e->state == EXCHANGE_SENDING)
		step_send(e);
	if (e->state == EXCHANGE_RECEIVING)
		while (step_receive(e))
			;
	return e->state >= EXCHANGE_DONE;
}

short getquote_exchange_events(const Exchange *e)
{
	if (e->state == EXCHANGE_CONNECTING || e->state == EXCHANGE_SENDING)
		return POLLOUT;
	return e->state == EXCHANGE_RECEIVING ? POLLIN : 0;
}

const char *getquote_exchange_progress(const Exchange *e, char buffer[static EXCHANGE_WHY_SIZE])
{
	if (e->state <= EXCHANGE_CONNECTING)
		return "not connected";
	if (e->sent < e->request_size)
		snprintf(buffer, EXCHANGE_WHY_SIZE, "%zu bytes of %zu sent", e->sent,
			 e->request_size);
	else if (!e->reply)
		snprintf(buffer, EXCHANGE_WHY_SIZE, "request sent, %zu bytes received",
			 e->received);
	else
		snprintf(buffer, EXCHANGE_WHY_SIZE, "request sent, %zu bytes of %zu received",
			 e->received, e->reply_size);
	return buffer;
}
