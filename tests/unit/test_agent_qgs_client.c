/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/loop.h"
#include "agent/qgs-client.h"
#include "testing-quoting-service.h"

#include <errno.h>

#define SHORT_USEC (150 * USEC_PER_MS)
#define LONG_USEC  (20 * USEC_PER_SEC)

static uint8_t report[TDREPORT_SIZE] = { [128] = 1, [191] = 2 };

TestSuite(agent_qgs_client, .timeout = 30);

static void refused(TestingQgsWay way, uint64_t time_usec, int code, const char *words)
{
	_cleanup_free_ char *error = NULL;
	StreamAddress address;
	uint8_t *quote = NULL;
	TestingQgs qgs;
	size_t size;
	int r;

	testing_qgs_start(&qgs, way);
	cr_assert_eq(stream_address_tcp(&address, qgs.address, NULL), 0);
	r = qgs_client_quote(&quote, &size, &address, report, time_usec, &error);
	testing_qgs_stop(&qgs);
	cr_assert_eq(r, code, "%d: %s", r, error);
	cr_assert_null(quote);
	cr_assert(strstr(error, words), "\"%s\" does not say %s", error, words);
	cr_assert_eq(strncmp(error, address.text, strlen(address.text)), 0, "%s", error);
}

Test(agent_qgs_client, nobody)
{
	_cleanup_free_ char *error = NULL;
	StreamAddress address;
	uint8_t *quote;
	TestingQgs qgs;
	size_t size;

	/* A port that was somebody's and is nobody's now. */
	testing_qgs_start(&qgs, QGS_CLOSES);
	cr_assert_eq(stream_address_tcp(&address, qgs.address, NULL), 0);
	cr_assert_lt(qgs_client_quote(&quote, &size, &address, report, LONG_USEC, NULL), 0);
	testing_qgs_stop(&qgs);
	cr_assert_eq(qgs_client_quote(&quote, &size, &address, report, LONG_USEC, &error),
		     -ECONNREFUSED);
	cr_assert(strstr(error, "connect: ") && strstr(error, "nobody listens"), "%s", error);
}

Test(agent_qgs_client, closes)
{
	refused(QGS_CLOSES, LONG_USEC, -ECONNABORTED, "closed after 0 of 4 bytes");
	refused(QGS_CLOSES_MIDWAY, LONG_USEC, -ECONNABORTED, "closed after");
}

Test(agent_qgs_client, late)
{
	refused(QGS_SILENT, SHORT_USEC, -ETIMEDOUT, "nothing for 150 ms");
	refused(QGS_STALLS, SHORT_USEC, -ETIMEDOUT, "nothing for 150 ms");
}

Test(agent_qgs_client, lies)
{
	refused(QGS_LIES_LONG, LONG_USEC, -EMSGSIZE, "says that it has 2139062143 bytes");
	refused(QGS_LIES_SHORT, LONG_USEC, -EMSGSIZE, "says that it has 15 bytes");
	refused(QGS_GARBAGE, LONG_USEC, -EPROTONOSUPPORT, "version 9.1");
	refused(QGS_OTHER_MESSAGE, LONG_USEC, -EBADMSG, "GET_PLATFORM_INFO request");
	refused(QGS_NO_QUOTE, LONG_USEC, -EBADMSG, "quote");
}

Test(agent_qgs_client, refusal)
{
	refused(QGS_REFUSES, LONG_USEC, -EREMOTEIO, "0x12003");
}

static void good(TestingQgsWay way)
{
	_cleanup_free_ uint8_t *quote = NULL;
	_cleanup_free_ char *error = NULL;
	uint8_t wanted[TESTING_QUOTE_ROOM];
	StreamAddress address;
	TestingQgs qgs;
	size_t size;
	int r;

	testing_qgs_start(&qgs, way);
	cr_assert_eq(stream_address_tcp(&address, qgs.address, NULL), 0);
	r = qgs_client_quote(&quote, &size, &address, report, LONG_USEC, &error);
	testing_qgs_stop(&qgs);
	cr_assert_eq(r, 0, "%s", error);
	cr_assert(qgs.in_one_piece);
	cr_assert_eq(size, testing_quote_make(wanted, 4, report + 128));
	cr_assert_arr_eq(quote, wanted, size);
}

Test(agent_qgs_client, quote)
{
	good(QGS_GOOD);
	good(QGS_IN_PIECES);
	good(QGS_KEEPS_OPEN);
}
