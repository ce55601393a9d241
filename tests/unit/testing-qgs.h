/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A quoting service on a unix socket, good or bad, on threads of its own. Like QGS it wants its
 * request in one piece.
 */
#pragma once

#include "core/cleanup.h"
#include "core/qgs-message.h"

#include "../scratch-folder.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

typedef enum TestingQgsManner {
	QGS_HONEST,
	QGS_SLOW,	   /* 60 ms */
	QGS_SPLITS,	   /* one byte, and the rest in seven more pieces */
	QGS_SILENT,	   /* says nothing until it is ended */
	QGS_DRIPS,	   /* a byte each 10 ms, of a reply of 4,000 */
	QGS_CLOSES_EARLY,  /* without a byte */
	QGS_CLOSES_MIDWAY, /* behind half of the reply */
	QGS_REFUSES,	   /* an error's reply */
	QGS_VERSION_1_0,
	QGS_VERSION_2,
	QGS_SAYS_ID, /* which QE it was */
	QGS_OTHER_TYPE,
	QGS_FRAME_HUGE,	 /* said to be of 4 GiB */
	QGS_FRAME_SMALL, /* said to be of one byte less than it is */
	QGS_FRAME_LARGE, /* said to be of one byte more, and then it closes */
	QGS_SIZE_LIES,	 /* in the message's header */
	QGS_QUOTE_LIES,	 /* the quote is said to be of 4 GiB */
	QGS_EMPTY_QUOTE, /* success, with nothing in it */
	QGS_UNFRAMED,
	QGS_TALKS_ON, /* more bytes behind the reply */
} TestingQgsManner;

#define TESTING_QGS_CONNECTIONS 4096

typedef struct TestingQgs {
	char folder[32], path[64];
	int fd, end;
	pthread_t thread;
	TestingQgsManner manner;
	size_t quote_size; /* atomic */
	unsigned int n_requests, n_malformed;
	size_t report_min, report_max;
	pthread_mutex_t lock;
	unsigned int n_connections;
	pthread_t connections[TESTING_QGS_CONNECTIONS];
} TestingQgs;

typedef struct TestingQgsConnection {
	TestingQgs *qgs;
	int fd;
} TestingQgsConnection;

static inline uint8_t testing_quote_byte(size_t i)
{
	return (uint8_t)(i * 7 + i / 251 + 1);
}

/* Waits for so long, or until the service is ended. */
static inline void testing_qgs_pause(TestingQgs *qgs, int ms)
{
	poll(&(struct pollfd){ .fd = qgs->end, .events = POLLIN }, 1, ms);
}

static inline bool testing_qgs_ended(TestingQgs *qgs)
{
	return poll(&(struct pollfd){ .fd = qgs->end, .events = POLLIN }, 1, 0) > 0;
}

/* Whether a good request came, in one piece. */
static inline bool testing_qgs_take(TestingQgs *qgs, int fd)
{
	static __thread uint8_t request[QGS_REQUEST_MAX];
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
				{ .fd = qgs->end, .events = POLLIN } };
	uint32_t framed;
	QgsMessage m;
	ssize_t n;
	bool good;

	if (poll(fds, 2, -1) < 0 || fds[1].revents)
		return false;
	n = recv(fd, request, sizeof(request), 0);
	if (n == 0)
		return false; /* it has gone */
	good = n > (ssize_t)QGS_FRAME_SIZE &&
	       qgs_frame_parse(&framed, request, QGS_REQUEST_MAX) == 0 &&
	       framed == (size_t)n - QGS_FRAME_SIZE &&
	       qgs_message_parse(&m, request + QGS_FRAME_SIZE, framed, NULL) == 0 &&
	       m.type == QGS_GET_QUOTE_REQUEST && m.minor == 1 && m.quote_request.ids.size == 0;
	pthread_mutex_lock(&qgs->lock);
	qgs->n_requests++;
	qgs->n_malformed += !good;
	if (good && m.quote_request.report.size > qgs->report_max)
		qgs->report_max = m.quote_request.report.size;
	if (good && (!qgs->report_min || m.quote_request.report.size < qgs->report_min))
		qgs->report_min = m.quote_request.report.size;
	pthread_mutex_unlock(&qgs->lock);
	return good;
}

static inline uint8_t *testing_qgs_reply(TestingQgs *qgs, size_t *ret_size)
{
	static const uint8_t id[16] = { 1 };
	size_t size = __atomic_load_n(&qgs->quote_size, __ATOMIC_RELAXED);
	uint8_t *quote = malloc(size), *reply = NULL;
	QgsMessage m = { .major = 1, .minor = 1, .type = QGS_GET_QUOTE_RESPONSE };

	for (size_t i = 0; i < size; i++)
		quote[i] = testing_quote_byte(i);
	m.quote_response.quote = (QgsBytes){ quote, size };
	if (qgs->manner == QGS_SAYS_ID)
		m.quote_response.selected_id = (QgsBytes){ id, sizeof(id) };
	if (qgs->manner == QGS_VERSION_1_0)
		m.minor = 0;
	if (qgs->manner == QGS_REFUSES) {
		m.error = QGS_ERROR_INVALID_PARAMETER;
		m.quote_response.quote.size = 0;
	}
	if (qgs->manner == QGS_OTHER_TYPE)
		m = (QgsMessage){ .major = 1, .type = QGS_GET_PLATFORM_INFO_REQUEST };
	if (qgs_message_format(&reply, ret_size, &m) < 0)
		abort();
	free(quote);
	switch (qgs->manner) {
	case QGS_VERSION_2: reply[4] = 2; break;
	case QGS_FRAME_HUGE: memset(reply, 0xff, 4); break;
	case QGS_FRAME_SMALL: reply[3]--; break;
	case QGS_FRAME_LARGE: reply[3]++; break;
	case QGS_SIZE_LIES: reply[12] ^= 1; break;
	case QGS_QUOTE_LIES: memset(reply + 24, 0xff, 4); break;
	case QGS_EMPTY_QUOTE:
		*ret_size = 28;
		memcpy(reply, (uint8_t[]){ 0, 0, 0, 24 }, 4);
		memcpy(reply + 12, (uint8_t[]){ 24, 0, 0, 0 }, 4);
		memset(reply + 24, 0, 4);
		break;
	default: break;
	}
	return reply;
}

static inline void testing_qgs_send(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0)
			return; /* it has gone */
		data += n;
		size -= (size_t)n;
	}
}

static inline void testing_qgs_send_pieces(TestingQgs *qgs, int fd, const uint8_t *data,
					   size_t size)
{
	size_t piece = 1;

	while (size > 0) {
		testing_qgs_send(fd, data, piece);
		testing_qgs_pause(qgs, qgs->manner == QGS_DRIPS ? 10 : 2);
		if (testing_qgs_ended(qgs))
			return;
		data += piece;
		size -= piece;
		if (qgs->manner == QGS_SPLITS)
			piece = size / 7 ? size / 7 : size;
	}
}

static inline void testing_qgs_answer(TestingQgs *qgs, int fd)
{
	_cleanup_free_ uint8_t *reply = NULL;
	size_t size;

	reply = testing_qgs_reply(qgs, &size);
	switch (qgs->manner) {
	case QGS_CLOSES_EARLY: return;
	case QGS_SILENT: testing_qgs_pause(qgs, -1); return;
	case QGS_CLOSES_MIDWAY: testing_qgs_send(fd, reply, size / 2); return;
	case QGS_UNFRAMED: testing_qgs_send(fd, reply + 4, size - 4); return;
	case QGS_SPLITS:
	case QGS_DRIPS: testing_qgs_send_pieces(qgs, fd, reply, size); return;
	case QGS_SLOW: testing_qgs_pause(qgs, 60); break;
	default: break;
	}
	testing_qgs_send(fd, reply, size);
	if (qgs->manner == QGS_TALKS_ON)
		testing_qgs_send(fd, reply, size);
}

static inline void *testing_qgs_serve(void *userdata)
{
	TestingQgsConnection *c = userdata;

	if (testing_qgs_take(c->qgs, c->fd))
		testing_qgs_answer(c->qgs, c->fd);
	close(c->fd);
	free(c);
	return NULL;
}

static inline void *testing_qgs_run(void *userdata)
{
	TestingQgs *qgs = userdata;
	struct pollfd fds[] = { { .fd = qgs->fd, .events = POLLIN },
				{ .fd = qgs->end, .events = POLLIN } };

	while (poll(fds, 2, -1) >= 0 && !fds[1].revents) {
		TestingQgsConnection *c = malloc(sizeof(*c));

		*c = (TestingQgsConnection){ qgs, accept4(qgs->fd, NULL, NULL, SOCK_CLOEXEC) };
		if (qgs->n_connections == TESTING_QGS_CONNECTIONS ||
		    pthread_create(&qgs->connections[qgs->n_connections++], NULL, testing_qgs_serve,
				   c) != 0)
			abort();
	}
	return NULL;
}

/* Whether the reports that came had these sizes at the least and at the most. */
static inline void testing_qgs_had_reports(TestingQgs *qgs, size_t min, size_t max)
{
	pthread_mutex_lock(&qgs->lock);
	cr_assert_eq(qgs->report_min, min);
	cr_assert_eq(qgs->report_max, max);
	pthread_mutex_unlock(&qgs->lock);
}

/* A path where nobody listens. */
static inline TestingQgs *testing_qgs_place(void)
{
	TestingQgs *qgs = calloc(1, sizeof(*qgs));

	cr_assert(scratch_folder(qgs->folder, sizeof(qgs->folder), NULL));
	snprintf(qgs->path, sizeof(qgs->path), "%s/qgs.socket", qgs->folder);
	qgs->fd = qgs->end = -1;
	pthread_mutex_init(&qgs->lock, NULL);
	return qgs;
}

/* Listens, and does not accept. */
static inline TestingQgs *testing_qgs_listen(int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	TestingQgs *qgs = testing_qgs_place();

	strcpy(address.sun_path, qgs->path);
	qgs->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(qgs->fd, 0);
	cr_assert_eq(bind(qgs->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(qgs->fd, backlog), 0);
	return qgs;
}

static inline TestingQgs *testing_qgs(TestingQgsManner manner, size_t quote_size)
{
	TestingQgs *qgs = testing_qgs_listen(128);

	qgs->manner = manner;
	qgs->quote_size = quote_size;
	qgs->end = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(pthread_create(&qgs->thread, NULL, testing_qgs_run, qgs), 0);
	return qgs;
}

/* Ends all it does, and holds against it that each request was a good one. */
static inline void testing_qgs_done(TestingQgs *qgs)
{
	const uint64_t one = 1;

	if (qgs->end >= 0) {
		cr_assert_eq(write(qgs->end, &one, sizeof(one)), (ssize_t)sizeof(one));
		pthread_join(qgs->thread, NULL);
		for (unsigned int i = 0; i < qgs->n_connections; i++)
			pthread_join(qgs->connections[i], NULL);
		close(qgs->end);
	}
	cr_assert_eq(qgs->n_malformed, 0);
	if (qgs->fd >= 0)
		close(qgs->fd);
	unlink(qgs->path);
	rmdir(qgs->folder);
	pthread_mutex_destroy(&qgs->lock);
	free(qgs);
}
