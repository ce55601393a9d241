/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * connect -> send, all of it at once -> 4 bytes of frame -> the message -> done. QGS reads a
 * request that comes in two pieces as if each were the first, hence one send(). Every wait is for
 * the descriptor and ends with the one deadline. Whatever follows the message is left unread: a
 * service may keep the connection, and nobody has to wait for its end.
 */
#include "agent/qgs-client.h"

#include "agent/loop.h"
#include "core/cleanup.h"
#include "core/qgs-message.h"
#include "core/refusal.h"
#include "core/tdx-quote.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

typedef struct QgsClient {
	int fd;
	uint64_t deadline; /* of loop_now() */
	uint64_t time_usec;
	const char *title;
	char **ret_error;
} QgsClient;

static int client_late(const QgsClient *client, const char *step)
{
	return refuse(
		client->ret_error, -ETIMEDOUT,
		"%s: %s: nothing for %llu ms (service hangs? QGS does so after a request that "
		"it could not read; see its log on the host)",
		client->title, step, (unsigned long long)(client->time_usec / USEC_PER_MS));
}

/* Until the descriptor is ready. */
static int client_wait(const QgsClient *client, short events, const char *step)
{
	struct pollfd p = { .fd = client->fd, .events = events };

	for (;;) {
		uint64_t now = loop_now();
		int n;

		if (now >= client->deadline)
			return client_late(client, step);
		n = poll(&p, 1, (int)((client->deadline - now) / USEC_PER_MS) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return refuse(client->ret_error, -errno, "%s: %s: %s", client->title, step,
				      strerror(errno));
	}
}

/* What to look at, by what connect() said. */
static const char *connect_advice(int family, int error)
{
	if (family == AF_VSOCK && (error == ENODEV || error == EAFNOSUPPORT))
		return "this VM has no vsock: <vsock> in the domain's XML? module "
		       "vmw_vsock_virtio_transport loaded?";
	if (family == AF_VSOCK && error == ECONNRESET)
		return "nobody listens there on the host: tdi-quoted or QGS running, and on vsock?";
	if (error == ECONNREFUSED || error == ECONNRESET)
		return "nobody listens there: tdi-quoted or QGS running, and on this address?";
	if (error == ENETUNREACH || error == EHOSTUNREACH)
		return "no way there: network up in this VM? address right?";
	return "address right?";
}

static int client_refused(const QgsClient *client, const StreamAddress *address, int error)
{
	return refuse(client->ret_error, -error, "%s: connect: %s (%s)", client->title,
		      strerror(error), connect_advice(address->address.ss_family, error));
}

static int client_connect(QgsClient *client, const StreamAddress *address)
{
	socklen_t size = sizeof(int);
	int error = 0, r;

	client->fd =
		socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		return client_refused(client, address, errno);
	if (connect(client->fd, (const struct sockaddr *)&address->address, address->size) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return client_refused(client, address, errno);
	r = client_wait(client, POLLOUT, "connect");
	if (r < 0)
		return r;
	if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	return error ? client_refused(client, address, error) : 0;
}

static int client_send(const QgsClient *client, const uint8_t *bytes, size_t size)
{
	ssize_t n;

	do
		n = send(client->fd, bytes, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return refuse(client->ret_error, -errno, "%s: send: %s", client->title,
			      strerror(errno));
	if ((size_t)n != size)
		return refuse(client->ret_error, -EIO,
			      "%s: send: the kernel took %zd bytes of %zu, and QGS takes a request "
			      "in one piece only (memory short in this VM?)",
			      client->title, n, size);
	return 0;
}

/* Exactly so many bytes. */
static int client_receive(const QgsClient *client, uint8_t *bytes, size_t size, const char *step)
{
	size_t used = 0;

	while (used < size) {
		ssize_t n;
		int r = client_wait(client, POLLIN, step);

		if (r < 0)
			return r;
		n = recv(client->fd, bytes + used, size - used, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return refuse(client->ret_error, -errno, "%s: %s: %s", client->title, step,
				      strerror(errno));
		if (n == 0)
			return refuse(client->ret_error, -ECONNABORTED,
				      "%s: %s: closed after %zu of %zu bytes (QGS does so when it "
				      "fails; its log on the host says why)",
				      client->title, step, used, size);
		used += (size_t)n;
	}
	return 0;
}

static int client_ask(QgsClient *client, const StreamAddress *address, const uint8_t *request,
		      size_t request_size, uint8_t **ret, uint32_t *ret_size)
{
	_cleanup_free_ uint8_t *message = NULL;
	uint8_t frame[QGS_FRAME_SIZE];
	uint32_t size;
	int r;

	r = client_connect(client, address);
	if (r == 0)
		r = client_send(client, request, request_size);
	if (r == 0)
		r = client_receive(client, frame, sizeof(frame), "answer");
	if (r < 0)
		return r;
	r = qgs_frame_parse(&size, frame, QGS_MESSAGE_MAX);
	if (r < 0)
		return refuse(client->ret_error, r,
			      "%s: answer: says that it has %u bytes, expected %u to %u (not a "
			      "quoting service?)",
			      client->title, size, QGS_HEADER_SIZE, QGS_MESSAGE_MAX);
	message = malloc(size);
	if (!message)
		return -ENOMEM;
	r = client_receive(client, message, size, "answer");
	if (r < 0)
		return r;
	*ret = steal_ptr(message);
	*ret_size = size;
	return 0;
}

int qgs_client_read(const uint8_t **ret, size_t *ret_size, const uint8_t *data, size_t size,
		    char **ret_error)
{
	char text[QGS_ERROR_TEXT_SIZE];
	const char *why = NULL;
	QgsMessage message;
	int r;

	r = qgs_message_parse(&message, data, size, &why);
	if (r == -EPROTONOSUPPORT)
		return refuse(ret_error, r, "is of version %u.%u, expected %u.x (service too new?)",
			      message.major, message.minor, QGS_MAJOR);
	if (r < 0)
		return refuse(ret_error, r, "is malformed: %s (not a quoting service?)",
			      why ? why : "of no known type");
	if (message.type != QGS_GET_QUOTE_RESPONSE)
		return refuse(ret_error, -EBADMSG, "is a %s, expected a %s",
			      qgs_type_text(message.type), qgs_type_text(QGS_GET_QUOTE_RESPONSE));
	if (message.error != QGS_SUCCESS)
		return refuse(ret_error, -EREMOTEIO,
			      "the service refuses: %s (its log on the host says more)",
			      qgs_error_text(message.error, text));
	if (message.quote_response.quote.size == 0 ||
	    message.quote_response.quote.size > TDX_QUOTE_MAX)
		return refuse(ret_error, -EBADMSG, "has a quote of %zu bytes, expected 1 to %u",
			      message.quote_response.quote.size, TDX_QUOTE_MAX);
	*ret = message.quote_response.quote.data;
	*ret_size = message.quote_response.quote.size;
	return 0;
}

int qgs_client_quote(uint8_t **ret, size_t *ret_size, const StreamAddress *address,
		     const uint8_t report[static TDREPORT_SIZE], uint64_t time_usec,
		     char **ret_error)
{
	const QgsMessage asked = { .major = QGS_MAJOR,
				   .minor = QGS_MINOR,
				   .type = QGS_GET_QUOTE_REQUEST,
				   .quote_request.report = { report, TDREPORT_SIZE } };
	QgsClient client = { .fd = -1,
			     .deadline = loop_now() + time_usec,
			     .time_usec = time_usec,
			     .title = address->text,
			     .ret_error = ret_error };
	_cleanup_free_ uint8_t *request = NULL, *message = NULL, *copy = NULL;
	_cleanup_free_ char *cause = NULL;
	size_t request_size;
	const uint8_t *quote;
	uint32_t size = 0;
	int r;

	r = qgs_message_format(&request, &request_size, &asked);
	if (r < 0)
		return r;
	r = client_ask(&client, address, request, request_size, &message, &size);
	if (client.fd >= 0)
		close(client.fd);
	if (r < 0)
		return r;
	r = qgs_client_read(&quote, ret_size, message, size, &cause);
	if (r < 0)
		return refuse(ret_error, r, "%s: answer: %s", address->text,
			      cause ? cause : strerror(-r));
	copy = malloc(*ret_size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, quote, *ret_size);
	*ret = steal_ptr(copy);
	return 0;
}
