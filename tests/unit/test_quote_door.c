/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is turned away at a door for all, which tests/quote cannot reach: it has no 256 addresses. */
#include "quote/door.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static const char text[] = "{\"upstreams\": [\"unix:/nonexistent/quote-door\"]}";

static Config *config;
static sd_event *event;
static Relay *relay;
static Door *door;
static struct sockaddr_in where;

/* A port that nobody has. */
static void find_port(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(where);

	where = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	cr_assert_eq(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&where, &size), 0);
}

/* A door, and no room for any peer. */
static void set_up(void)
{
	_cleanup_free_ char *error = NULL;
	Address address = { .size = sizeof(where) };

	cr_assert_eq(config_parse(&config, text, strlen(text), &error), 0, "%s", error);
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_geq(relay_new(&relay, event, config), 0);
	relay->domains.n_strangers[DOMAIN_HOST] = DOMAINS_STRANGERS_MAX;
	find_port();
	memcpy(&address.storage, &where, sizeof(where));
	cr_assert_geq(door_of_address(&door, relay, &address, &error), 0, "%s", error);
}

static void tear_down(void)
{
	door_free(door);
	relay_free(relay);
	sd_event_unref(event);
	config_free(config);
}

TestSuite(quote_door, .init = set_up, .fini = tear_down, .timeout = 20);

/* What comes until the other end closes. */
static size_t answer_to(const void *request, size_t size, uint8_t *buffer, size_t room)
{
	_cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t got = 0;
	ssize_t n;

	cr_assert_eq(connect(client, (struct sockaddr *)&where, sizeof(where)), 0);
	cr_assert_eq(send(client, request, size, MSG_NOSIGNAL), (ssize_t)size);
	while ((n = recv(client, buffer + got, room - got, MSG_DONTWAIT)) != 0) {
		if (n > 0)
			got += (size_t)n;
		else if (errno == EAGAIN)
			cr_assert_geq(sd_event_run(event, 100000), 0);
		else
			cr_assert_fail("%s", strerror(errno));
	}
	return got;
}

/* Whatever it has sent by then: what is not read would cost it the answer. */
Test(quote_door, a_peer_too_many_gets_an_error)
{
	static const size_t sizes[] = { 1, 1024, 60 * 1024 };
	static uint8_t request[60 * 1024];
	uint8_t answer[256];
	QgsMessage message;
	size_t size;

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		size = answer_to(request, sizes[i], answer, sizeof(answer));
		cr_assert_gt(size, QGS_FRAME_SIZE);
		cr_assert_eq(qgs_message_parse(&message, answer + QGS_FRAME_SIZE,
					       size - QGS_FRAME_SIZE, NULL),
			     0);
		cr_assert_eq(message.type, QGS_GET_QUOTE_RESPONSE);
		cr_assert_eq(message.error, QGS_ERROR_UNEXPECTED);
	}
}

/* It would take any byte for its quote. */
Test(quote_door, a_bare_report_gets_none)
{
	static const uint8_t report[1024] = { 0x81 };
	uint8_t answer[256];

	cr_assert_eq(answer_to(report, sizeof(report), answer, sizeof(answer)), 0);
}
