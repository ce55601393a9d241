/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A quoting service on TCP loopback that answers one request, in good ways and bad. */
#pragma once

#include "core/cleanup.h"
#include "core/qgs-message.h"
#include "core/tdreport.h"
#include "testing-quote.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

typedef enum TestingQgsWay {
	QGS_GOOD,
	QGS_IN_PIECES, /* every byte by itself */
	QGS_KEEPS_OPEN,
	QGS_CLOSES, /* without a byte */
	QGS_CLOSES_MIDWAY,
	QGS_SILENT,
	QGS_STALLS,    /* in the middle */
	QGS_LIES_LONG, /* the frame says more than there may be */
	QGS_LIES_SHORT,
	QGS_GARBAGE,
	QGS_OTHER_MESSAGE,
	QGS_REFUSES,
	QGS_NO_QUOTE,
	QGS_OTHER_DATA, /* the quote is over something else */
	QGS_NO_TDX_QUOTE,
} TestingQgsWay;

typedef struct TestingQgs {
	TestingQgsWay way;
	uint16_t quote_version;
	int fd;
	char address[32]; /* "127.0.0.1:PORT" */
	pthread_t thread;
	bool in_one_piece; /* the request was */
	uint8_t report_data[TDREPORT_DATA_SIZE];
} TestingQgs;

static inline void testing_qgs_quote(TestingQgs *qgs, QgsMessage *answer,
				     uint8_t room[static TESTING_QUOTE_ROOM])
{
	uint8_t data[TDREPORT_DATA_SIZE];

	memcpy(data, qgs->report_data, sizeof(data));
	if (qgs->way == QGS_OTHER_DATA)
		data[0] ^= 1;
	answer->quote_response.quote.data = room;
	answer->quote_response.quote.size = testing_quote_make(room, qgs->quote_version, data);
	if (qgs->way == QGS_NO_TDX_QUOTE)
		room[4] = 0;
}

static inline void testing_qgs_say(int fd, const uint8_t *bytes, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece)
		if (send(fd, bytes + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL) < 0)
			break;
}

static inline void testing_qgs_answer(TestingQgs *qgs, int fd)
{
	uint8_t room[TESTING_QUOTE_ROOM];
	QgsMessage answer = { .major = 1, .minor = 1, .type = QGS_GET_QUOTE_RESPONSE };
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;

	if (qgs->way == QGS_REFUSES || qgs->way == QGS_NO_QUOTE)
		answer.error = QGS_ERROR_INVALID_PARAMETER;
	else if (qgs->way == QGS_OTHER_MESSAGE)
		answer.type = QGS_GET_PLATFORM_INFO_REQUEST;
	else
		testing_qgs_quote(qgs, &answer, room);
	cr_assert_eq(qgs_message_format(&bytes, &size, &answer), 0);
	switch (qgs->way) {
	case QGS_CLOSES:
	case QGS_SILENT: size = 0; break;
	case QGS_CLOSES_MIDWAY:
	case QGS_STALLS: size -= 7; break;
	case QGS_LIES_LONG: memset(bytes, 0x7f, 4); break;
	case QGS_LIES_SHORT: memset(bytes, 0, 3), bytes[3] = 15; break;
	case QGS_GARBAGE: bytes[4] = 9; break;
	case QGS_NO_QUOTE: memset(bytes + 16, 0, 4); break; /* the error's place */
	default: break;
	}
	testing_qgs_say(fd, bytes, size, qgs->way == QGS_IN_PIECES ? 1 : size + 1);
}

static inline void *testing_qgs_serve(void *userdata)
{
	uint8_t request[4096];
	TestingQgs *qgs = userdata;
	int fd = accept(qgs->fd, NULL, NULL);
	ssize_t n = recv(fd, request, sizeof(request), 0);
	QgsMessage message;

	qgs->in_one_piece = n > (ssize_t)QGS_FRAME_SIZE &&
			    qgs_message_parse(&message, request + QGS_FRAME_SIZE,
					      (size_t)n - QGS_FRAME_SIZE, NULL) == 0 &&
			    message.type == QGS_GET_QUOTE_REQUEST &&
			    message.quote_request.report.size == TDREPORT_SIZE;
	if (qgs->in_one_piece)
		memcpy(qgs->report_data, message.quote_request.report.data + 128,
		       TDREPORT_DATA_SIZE);
	testing_qgs_answer(qgs, fd);
	if (qgs->way == QGS_SILENT || qgs->way == QGS_STALLS || qgs->way == QGS_KEEPS_OPEN)
		/* Until the other end has had enough. */
		recv(fd, request, sizeof(request), 0);
	close(fd);
	return NULL;
}

/* Takes one connection. */
static inline void testing_qgs_start(TestingQgs *qgs, TestingQgsWay way)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	*qgs = (TestingQgs){ .way = way, .quote_version = 4 };
	qgs->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(qgs->fd, 0);
	cr_assert_eq(bind(qgs->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(qgs->fd, 1), 0);
	cr_assert_eq(getsockname(qgs->fd, (struct sockaddr *)&address, &size), 0);
	snprintf(qgs->address, sizeof(qgs->address), "127.0.0.1:%u", ntohs(address.sin_port));
	cr_assert_eq(pthread_create(&qgs->thread, NULL, testing_qgs_serve, qgs), 0);
}

static inline void testing_qgs_stop(TestingQgs *qgs)
{
	pthread_join(qgs->thread, NULL);
	close(qgs->fd);
}
