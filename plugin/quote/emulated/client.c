/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *	READING   until the request is there: a frame and what it announces, or 1,024 bytes of which
 *	          the first is 0x81, which no frame begins with: it would be of 2 GiB
 *	WAITING   the answer is made; a delay, or the pause of a split answer, runs
 *	WRITING   until the answer, or the part of it that is due, is written
 *	SILENT    nothing more will be said; until the client goes away
 *	LOST      as QGS after half a request: what comes is read and forgotten
 *
 * A timer ends READING, LOST and WRITING after CLIENT_TIMEOUT_USEC, and WAITING in its time.
 */
#include "client.h"

#include "answer.h"
#include "core/qgs-message.h"
#include "core/tdreport.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define REQUEST_MAX	    (QGS_FRAME_SIZE + QGS_REQUEST_MAX)
#define SPLIT_DEFAULT_PAUSE 50

typedef enum State {
	STATE_READING,
	STATE_WAITING,
	STATE_WRITING,
	STATE_SILENT,
	STATE_LOST,
} State;

struct Client {
	ClientOptions options;
	int fd;
	sd_event_source *io, *timer;
	State state;
	bool is_bare; /* a report without a frame */
	uint8_t *request;
	size_t used;
	Blob answer;
	size_t written;
	size_t due;	/* up to where it may be written now */
	uint32_t pause; /* then, in milliseconds */
};

static void ended(Client *client)
{
	client->options.ended(client, client->options.userdata);
}

static int timer_start(Client *client, uint64_t usec)
{
	int r = sd_event_source_set_time(client->timer, boottime_usec() + usec);

	return r < 0 ? r : sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
}

/* --- writing --- */

static int write_on(Client *client)
{
	while (client->written < client->due) {
		ssize_t n = send(client->fd, client->answer.data + client->written,
				 client->due - client->written, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		client->written += (size_t)n;
	}
	if (client->due == client->answer.size)
		return 1;
	client->due = client->answer.size;
	client->state = STATE_WAITING;
	sd_event_source_set_io_events(client->io, 0);
	return timer_start(client, client->pause * UINT64_C(1000));
}

static int write_begin(Client *client)
{
	int r;

	client->state = STATE_WRITING;
	r = timer_start(client, CLIENT_TIMEOUT_USEC);
	if (r < 0)
		return r;
	r = write_on(client);
	if (r != 0 || client->state != STATE_WRITING)
		return r;
	return sd_event_source_set_io_events(client->io, EPOLLOUT);
}

/* --- answering --- */

static int be_silent(Client *client)
{
	client->state = STATE_SILENT;
	sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
	return sd_event_source_set_io_events(client->io, EPOLLRDHUP);
}

static int make_answer(Client *client, Mishap mishap)
{
	const uint8_t *message = client->request + QGS_FRAME_SIZE;
	const Enclave *enclave = client->options.enclave;
	Behaviour *behaviour = client->options.behaviour;
	size_t size = client->used - QGS_FRAME_SIZE;
	const char *why = NULL;
	int r;

	if (mishap.kind == MISHAP_REFUSE) {
		why = "as it was told to";
		r = client->is_bare
			    ? -EBADMSG
			    : answer_refusal(message, size, mishap.value ?: QGS_ERROR_UNEXPECTED,
					     &client->answer);
	} else if (client->is_bare) {
		r = answer_report(enclave, client->request, client->used, behaviour->quote_size,
				  &client->answer, &why);
	} else {
		r = answer_message(enclave, message, size, behaviour->quote_size, &client->answer,
				   &why);
	}
	if (r < 0 || why) {
		behaviour->refused++;
		log_info("a request is refused: %s", why ?: strerror(-r));
	}
	return r;
}

/* What of the mishap is the connection's, once the answer is there. */
static void arrange(Client *client, Mishap mishap)
{
	client->due = client->answer.size;
	if (mishap.kind != MISHAP_SPLIT && mishap.kind != MISHAP_CUT)
		return;
	client->due /= 2;
	client->pause = mishap.value ?: SPLIT_DEFAULT_PAUSE;
	if (mishap.kind == MISHAP_CUT)
		client->answer.size = client->due;
}

/* Positive: it has come to its end. */
static int answer_request(Client *client)
{
	Behaviour *behaviour = client->options.behaviour;
	Mishap mishap = behaviour_take_mishap(behaviour);
	uint64_t refused = behaviour->refused;
	int r;

	behaviour->requests++;
	if (mishap.kind == MISHAP_SILENT)
		return be_silent(client);
	if (mishap.kind == MISHAP_CLOSE)
		return 1;
	r = make_answer(client, mishap);
	if (r < 0)
		return 1;
	if (behaviour->refused == refused)
		behaviour->answered++;
	if (!client->is_bare)
		r = mishap_spoil(mishap.kind, &client->answer);
	if (r < 0)
		return r;
	arrange(client, mishap);
	if (!behaviour->delay_ms)
		return write_begin(client);
	client->state = STATE_WAITING;
	sd_event_source_set_io_events(client->io, 0);
	return timer_start(client, behaviour->delay_ms * UINT64_C(1000));
}

/* --- reading --- */

/* How many bytes the request has, as far as can be told; -EMSGSIZE. */
static int request_size(const Client *client, size_t *ret)
{
	uint32_t size;
	int r;

	if (client->used > 0 && client->request[0] == TDREPORT_TYPE) {
		*ret = TDREPORT_SIZE;
		return 0;
	}
	*ret = QGS_FRAME_SIZE;
	if (client->used < QGS_FRAME_SIZE)
		return 0;
	r = qgs_frame_parse(&size, client->request, QGS_REQUEST_MAX);
	if (r == 0)
		*ret += size;
	return r;
}

static int lose(Client *client)
{
	log_info("half a request is lost");
	client->state = STATE_LOST;
	return 0;
}

/* Positive: it has come to its end. */
static int read_on(Client *client)
{
	size_t wanted;
	ssize_t n;
	int r;

	n = recv(client->fd, client->request + client->used, REQUEST_MAX - client->used, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return 1;
	if (client->state == STATE_LOST)
		return 0;
	client->used += (size_t)n;
	r = request_size(client, &wanted);
	if (r < 0) {
		log_info("a frame announces what no request can be");
		return 1;
	}
	if (client->used < wanted)
		return client->options.behaviour->lose_split_requests ? lose(client) : 0;
	client->used = wanted; /* what comes behind it is nobody's */
	client->is_bare = client->request[0] == TDREPORT_TYPE;
	return answer_request(client);
}

/* --- events --- */

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	Client *client = userdata;
	int r = 0;

	switch (client->state) {
	case STATE_READING:
	case STATE_LOST: r = read_on(client); break;
	case STATE_WRITING: r = write_on(client); break;
	case STATE_WAITING:
	case STATE_SILENT: r = 1; break; /* the client has gone away */
	}
	if (r < 0)
		log_debug("a connection ends: %s", strerror(-r));
	if (r != 0)
		ended(client);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	Client *client = userdata;

	if (client->state != STATE_WAITING || write_begin(client) != 0)
		ended(client);
	return 0;
}

int client_new(Client **ret, sd_event *event, int fd, const ClientOptions *options)
{
	_cleanup_(client_freep) Client *client = calloc(1, sizeof(*client));
	int r;

	if (!client) {
		close(fd);
		return -ENOMEM;
	}
	client->fd = fd;
	client->options = *options;
	client->request = malloc(REQUEST_MAX);
	if (!client->request)
		return -ENOMEM;
	r = sd_event_add_io(event, &client->io, fd, EPOLLIN, on_io, client);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &client->timer, CLOCK_BOOTTIME,
					       CLIENT_TIMEOUT_USEC, 1, on_timer, client);
	if (r < 0)
		return r;
	*ret = steal_ptr(client);
	return 0;
}

Client *client_free(Client *client)
{
	if (!client)
		return NULL;
	sd_event_source_disable_unref(client->io);
	sd_event_source_disable_unref(client->timer);
	close(client->fd);
	free(client->request);
	blob_done(&client->answer);
	free(client);
	return NULL;
}
