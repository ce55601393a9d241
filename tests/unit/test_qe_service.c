/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* service.c and service-control.c: the whole through its sockets. What it says is looked at in
 * tests/quote as well. */
#include "testing-qe.h"

#include "common/platform-key.h"
#include "core/qgs-message.h"
#include "quote/emulated/client.h"
#include "quote/emulated/service.h"
#include "rpc/event-loop.h"
#include "rpc/varlink-client.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWER_MAX (256u * 1024)

static Config *config;
static sd_event *event;
static Service *service;
static uint8_t report[TDREPORT_SIZE];
static Blob question; /* a framed request for its quote */
static uint8_t answer[ANSWER_MAX];

static void write_platform_key(void)
{
	_cleanup_free_ char *path = strdup(testing_path("key"));

	testing_write(path, testing_platform_key, sizeof(testing_platform_key));
	cr_assert_eq(chmod(path, 0600), 0);
}

static void set_up(void)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	QgsMessage message = { .major = QGS_MAJOR,
			       .minor = QGS_MINOR,
			       .type = QGS_GET_QUOTE_REQUEST,
			       .quote_request.report = { report, sizeof(report) } };

	testing_host_new();
	write_platform_key();
	testing_report(report);
	cr_assert_eq(qgs_message_format(&question.data, &question.size, &message), 0);
	cr_assert_geq(asprintf(&text,
			       "{\"socket\": \"%s/qgs\", \"state\": \"%s/state\","
			       " \"platform_key\": \"%s/key\", \"control\": \"%s/control\"}",
			       testing_root, testing_root, testing_root, testing_root),
		      0);
	cr_assert_eq(config_parse(&config, text, strlen(text), &error), 0, "%s", error);
	cr_assert_geq(sd_event_new(&event), 0);
	cr_assert_eq(service_new(&service, event, config, &error), 0, "%s", error);
}

static void tear_down(void)
{
	service_free(service);
	sd_event_unref(event);
	config_free(config);
	blob_done(&question);
	testing_host_remove();
}

TestSuite(qe_service, .init = set_up, .fini = tear_down);

static void run_until_idle(void)
{
	int r;

	while ((r = sd_event_run(event, 0)) > 0)
		;
	cr_assert_eq(r, 0);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0, "%m");
	return fd;
}

static void say(int fd, const void *data, size_t size)
{
	cr_assert_eq(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size, "%m");
	run_until_idle();
}

/* All that comes until the service closes; -1 when it does not within a second. */
static ssize_t hear(int fd)
{
	uint64_t end = boottime_usec() + 1000000;
	size_t used = 0;
	ssize_t n;

	while (boottime_usec() < end) {
		n = recv(fd, answer + used, sizeof(answer) - used, 0);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return (ssize_t)used;
		if (n > 0)
			used += (size_t)n;
		else
			cr_assert_geq(sd_event_run(event, 1000), 0);
	}
	return -1;
}

static ssize_t ask(const void *data, size_t size)
{
	_cleanup_close_ int fd = connect_to(config->socket);

	say(fd, data, size);
	return hear(fd);
}

/* Whether the last answer is a quote in a frame. */
static bool is_quote(ssize_t size)
{
	QgsMessage message;

	return size > (ssize_t)QGS_FRAME_SIZE &&
	       qgs_message_parse(&message, answer + QGS_FRAME_SIZE, (size_t)size - QGS_FRAME_SIZE,
				 NULL) == 0 &&
	       message.type == QGS_GET_QUOTE_RESPONSE && message.error == QGS_SUCCESS;
}

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	bool *done = userdata;

	cr_assert_eq(reply->status, 0);
	cr_assert_null(reply->error, "%s", reply->error);
	*done = true;
}

static void control(const char *method, const char *text)
{
	_cleanup_(json_unrefp) json_object *parameters = json_tokener_parse(text);
	_cleanup_(varlink_client_freep) VarlinkClient *client = NULL;
	_cleanup_free_ char *error = NULL;
	bool done = false;

	cr_assert_eq(varlink_client_connect(&client, event, config->control, NULL, &error), 0, "%s",
		     error);
	cr_assert_eq(varlink_client_call(client, method, parameters, 0, 0, on_reply, &done), 0);
	while (!done)
		cr_assert_geq(sd_event_run(event, 1000000), 0);
}

Test(qe_service, closes_on_nonsense)
{
	static const uint8_t small[] = { 0, 0, 0, 15 }, large[] = { 0, 1, 0, 1 },
			     other[] = { 0x80, 0, 0, 0 };
	uint8_t header[QGS_FRAME_SIZE + QGS_HEADER_SIZE] = { 0, 0, 0, QGS_HEADER_SIZE };

	cr_assert_eq(ask(small, sizeof(small)), 0);
	cr_assert_eq(ask(large, sizeof(large)), 0);
	cr_assert_eq(ask(other, sizeof(other)), 0);
	cr_assert_eq(ask(header, sizeof(header)), 0, "version 0.0");
	cr_assert(is_quote(ask(question.data, question.size)));
}

Test(qe_service, bare_reports)
{
	_cleanup_close_ int fd = connect_to(config->socket);

	cr_assert_gt(ask(report, sizeof(report)), 4000);
	cr_assert_eq(answer[0], 4, "a quote's version");
	say(fd, report, sizeof(report) - 1);
	cr_assert_eq(recv(fd, answer, 1, 0), -1);
	say(fd, report + sizeof(report) - 1, 1);
	cr_assert_gt(hear(fd), 4000);
	report[TDREPORT_MAC_OFFSET] ^= 1;
	cr_assert_eq(ask(report, sizeof(report)), 0);
}

Test(qe_service, requests_in_pieces_and_with_more_behind)
{
	_cleanup_close_ int fd = connect_to(config->socket), both = connect_to(config->socket);

	for (size_t i = 0; i < question.size; i++)
		say(fd, question.data + i, 1);
	cr_assert(is_quote(hear(fd)));
	cr_assert_eq(send(both, question.data, question.size, MSG_NOSIGNAL | MSG_MORE),
		     (ssize_t)question.size);
	cr_assert_eq(send(both, question.data, question.size, MSG_NOSIGNAL),
		     (ssize_t)question.size);
	cr_assert(is_quote(hear(both)), "one request per connection, one answer");
}

Test(qe_service, clients_that_leave)
{
	int fd = connect_to(config->socket);

	say(fd, question.data, question.size - 1);
	close(fd);
	run_until_idle();
	control("io.tdid.QeEmulated.Delay", "{\"milliseconds\": 20}");
	fd = connect_to(config->socket);
	say(fd, question.data, question.size);
	close(fd);
	run_until_idle();
	control("io.tdid.QeEmulated.Fail", "{\"mishap\": \"silent\"}");
	fd = connect_to(config->socket);
	say(fd, question.data, question.size);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	cr_assert_eq(hear(fd), 0, "who has no more to say to the silent has gone");
	close(fd);
	/* But to who is only late it still answers. */
	fd = connect_to(config->socket);
	say(fd, question.data, question.size);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	cr_assert(is_quote(hear(fd)));
	close(fd);
}

Test(qe_service, many_at_once)
{
	enum { CLIENTS = 200 };
	int fds[CLIENTS];

	control("io.tdid.QeEmulated.Delay", "{\"milliseconds\": 20}");
	for (size_t i = 0; i < CLIENTS; i++) {
		fds[i] = connect_to(config->socket);
		cr_assert_eq(send(fds[i], question.data, question.size, MSG_NOSIGNAL),
			     (ssize_t)question.size);
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		cr_assert(is_quote(hear(fds[i])), "%zu", i);
		close(fds[i]);
	}
}

/* Larger than a socket's buffer, to a client that begins to read late. */
Test(qe_service, large_quotes_to_slow_readers)
{
	_cleanup_close_ int fd = connect_to(config->socket);

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int)), 0);
	control("io.tdid.QeEmulated.SetQuoteSize", "{\"bytes\": 131072}");
	say(fd, question.data, question.size);
	cr_assert(is_quote(hear(fd)));
}

Test(qe_service, its_socket_is_its_own)
{
	_cleanup_free_ char *error = NULL, *other = NULL;
	Service *second = NULL;

	free(config->control); /* that is looked at first */
	config->control = NULL;
	cr_assert_eq(service_new(&second, event, config, &error), -EADDRINUSE, "%s", error);
	cr_assert(strstr(error, config->socket), "%s", error);
	service = service_free(service);
	cr_assert_eq(access(config->socket, F_OK), -1, "it is gone with the service");
	testing_write(config->socket, "x", 1);
	cr_assert_eq(service_new(&second, event, config, &other), -EEXIST, "%s", other);
	cr_assert_eq(unlink(config->socket), 0);
	cr_assert_eq(service_new(&service, event, config, NULL), 0);
}
