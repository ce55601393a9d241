/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CONNECTING -> SENDING -> READING -> done.
 *
 * A local service takes connection and request at once, so that the loop sees the reply only.
 */
#include "quote/exchange.h"

#include "quote/monotonic.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* Of most quotes. */
#define FIRST_CAPACITY 16384u

struct Exchange {
	int fd;
	sd_event_source *io;
	Expiry expiry;
	Expiries *timeout;
	const uint8_t *request;
	size_t size, sent;
	bool connecting;
	QgsType wanted;
	uint8_t *reply; /* frame and message */
	size_t capacity, got;
	size_t reply_size; /* 0: not known yet */
	ExchangeDone done;
	void *userdata;
};

static void finish(Exchange *exchange, ExchangeOutcome outcome, const char *why)
{
	ExchangeResult result = { .outcome = outcome, .why = why };

	exchange->done(exchange, &result, exchange->userdata);
}

static void finish_answered(Exchange *exchange)
{
	ExchangeResult result = {
		.outcome = EXCHANGE_ANSWERED,
		.frame = exchange->reply,
		.size = exchange->reply_size,
	};
	const char *why = NULL;
	int r = qgs_message_parse(&result.message, exchange->reply + QGS_FRAME_SIZE,
				  exchange->reply_size - QGS_FRAME_SIZE, &why);

	if (r == -EBADMSG)
		finish(exchange, EXCHANGE_BROKEN, why ?: "its reply is malformed");
	else if (r < 0)
		finish(exchange, EXCHANGE_BROKEN, "its reply is of another version or type");
	else if (result.message.type != exchange->wanted)
		finish(exchange, EXCHANGE_BROKEN, "it has answered something else");
	else
		exchange->done(exchange, &result, exchange->userdata);
}

/* The size is known: room for all of it. */
static int begin_reply(Exchange *exchange)
{
	uint8_t *more;
	uint32_t size;

	if (qgs_frame_parse(&size, exchange->reply, QGS_MESSAGE_MAX) < 0)
		return -EMSGSIZE;
	exchange->reply_size = QGS_FRAME_SIZE + size;
	if (exchange->reply_size <= exchange->capacity)
		return 0;
	more = realloc(exchange->reply, exchange->reply_size);
	if (!more)
		return -ENOMEM;
	exchange->reply = more;
	exchange->capacity = exchange->reply_size;
	return 0;
}

static void go_on_reading(Exchange *exchange)
{
	for (;;) {
		ssize_t n = recv(exchange->fd, exchange->reply + exchange->got,
				 exchange->capacity - exchange->got, MSG_DONTWAIT);
		int r = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			finish(exchange, EXCHANGE_BROKEN,
			       exchange->got ? "it hung up in the middle of its reply"
					     : "it hung up without a reply");
			return;
		}
		exchange->got += (size_t)n;
		if (exchange->reply_size == 0 && exchange->got >= QGS_FRAME_SIZE)
			r = begin_reply(exchange);
		if (r < 0) {
			finish(exchange, EXCHANGE_BROKEN,
			       r == -ENOMEM
				       ? "out of memory"
				       : "the frame of its reply has a size that no message has");
			return;
		}
		if (exchange->reply_size > 0 && exchange->got >= exchange->reply_size) {
			finish_answered(exchange);
			return;
		}
	}
}

/* 1: all sent. 0: the socket is full. */
static int go_on_sending(Exchange *exchange)
{
	ssize_t n;

	do
		n = send(exchange->fd, exchange->request + exchange->sent,
			 exchange->size - exchange->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	exchange->sent += (size_t)n;
	return exchange->sent == exchange->size;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Exchange *exchange = userdata;
	int error = 0, r;
	socklen_t size = sizeof(error);

	if (exchange->sent == exchange->size) {
		go_on_reading(exchange);
		return 0;
	}
	if (exchange->connecting) {
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
			error = errno;
		if (error) {
			finish(exchange, EXCHANGE_REFUSED,
			       strerrordesc_np(error) ?: "it cannot be reached");
			return 0;
		}
		exchange->connecting = false;
	}
	r = go_on_sending(exchange);
	if (r > 0)
		r = sd_event_source_set_io_events(exchange->io, EPOLLIN);
	if (r < 0)
		finish(exchange, EXCHANGE_BROKEN, "it does not take the request");
	return 0;
}

static void on_expired(void *userdata)
{
	Exchange *exchange = userdata;

	if (exchange->connecting)
		finish(exchange, EXCHANGE_REFUSED, "it does not take the connection");
	else
		finish(exchange, EXCHANGE_LATE, "no reply within its time");
}

void exchange_go_on(Exchange *exchange)
{
	expiry_begin(&exchange->expiry, exchange->timeout, monotonic_usec(), on_expired, exchange);
}

int exchange_begin(Exchange **ret, sd_event *event, const Address *address, const uint8_t *request,
		   size_t size, QgsType wanted, Expiries *timeout, ExchangeDone done,
		   void *userdata)
{
	_cleanup_(exchange_freep) Exchange *exchange = calloc(1, sizeof(*exchange));
	int r;

	if (!exchange)
		return -ENOMEM;
	exchange->fd = -1;
	exchange->capacity = FIRST_CAPACITY;
	exchange->reply = malloc(exchange->capacity);
	if (!exchange->reply)
		return -ENOMEM;
	exchange->request = request;
	exchange->size = size;
	exchange->wanted = wanted;
	exchange->done = done;
	exchange->userdata = userdata;
	exchange->fd = address_connect(address, &exchange->connecting);
	if (exchange->fd < 0)
		return exchange->fd;
	r = exchange->connecting ? 0 : go_on_sending(exchange);
	if (r >= 0)
		r = sd_event_add_io(event, &exchange->io, exchange->fd, r > 0 ? EPOLLIN : EPOLLOUT,
				    on_io, exchange);
	if (r < 0)
		return r;
	exchange->timeout = timeout;
	exchange_go_on(exchange);
	*ret = steal_ptr(exchange);
	return 0;
}

Exchange *exchange_free(Exchange *exchange)
{
	if (!exchange)
		return NULL;
	sd_event_source_disable_unref(exchange->io);
	expiry_end(&exchange->expiry);
	if (exchange->fd >= 0)
		close(exchange->fd);
	free(exchange->reply);
	free(exchange);
	return NULL;
}
