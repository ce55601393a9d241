/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/log.h"
#include "rpc/varlink-client.h"
#include "rpc/varlink-server.h"

#include "raw-peer.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define I	"io.example.Sample"
#define TIMEOUT 1000000u /* usec; a test that waits for it fails anyway */

typedef struct Fixture {
	sd_event *event;
	IdlInterface *interface;
	VarlinkClient *client;
	char path[64];
	int listening, peer;
	char log[1024]; /* what the callbacks saw, as text */
	bool free_in_reply, free_in_disconnected, call_in_reply;
} Fixture;

static Fixture f;

static json_object *number(const char *name, int64_t value)
{
	json_object *object = NULL;

	cr_assert_eq(json_build(&object, J_INT(name, value)), 0);
	return object;
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	size_t used = strlen(f.log);
	va_list ap;

	va_start(ap, format);
	vsnprintf(f.log + used, sizeof(f.log) - used, format, ap);
	va_end(ap);
}

static int call_add(int64_t a, unsigned flags, uint64_t timeout, const char *tag);

static void on_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	cr_assert_eq(client, f.client);
	note("%s:", (const char *)userdata);
	if (reply->status < 0)
		note("%s", reply->status == -ETIME	  ? "timeout"
			   : reply->status == -ECONNRESET ? "reset"
			   : reply->status == -EBADMSG	  ? "bad"
							  : "?");
	else if (reply->error)
		note("%s %s", reply->error, json_object_to_json_string_ext(reply->parameters, 0));
	else
		note("%d", (int)json_get_int(reply->parameters, "sum", -1));
	note("%s ", reply->continues ? "+" : "");
	if (f.free_in_reply)
		f.client = varlink_client_free(f.client);
	if (f.call_in_reply) {
		f.call_in_reply = false;
		note("[%d] ", call_add(99, 0, 0, "again"));
	}
}

static void on_disconnected(VarlinkClient *client, int reason, void *userdata)
{
	note("disconnected:%s ", reason == -ECONNRESET ? "reset"
				 : reason == -EBADMSG  ? "bad"
				 : reason == -ENOBUFS  ? "full"
						       : "?");
	if (f.free_in_disconnected)
		f.client = varlink_client_free(f.client);
}

static int call_add(int64_t a, unsigned flags, uint64_t timeout, const char *tag)
{
	_cleanup_(json_unrefp) json_object *parameters = number("a", a);
	bool oneway = flags & VARLINK_CALL_ONEWAY;

	return varlink_client_call(f.client, I ".Add", parameters, flags, timeout,
				   oneway ? NULL : on_reply, (void *)(uintptr_t)tag);
}

static void start(void)
{
	_cleanup_free_ char *error = NULL;

	f = (Fixture){ .peer = -1 };
	log_set_level(0);
	raw_path(f.path);
	f.listening = raw_listen(f.path, 1);
	cr_assert_eq(sd_event_new(&f.event), 0);
	cr_assert_eq(idl_parse(&f.interface, SAMPLE_INTERFACE, NULL), 0);
	cr_assert_eq(
		varlink_client_connect(&f.client, f.event, f.path,
				       &(VarlinkClientOptions){ .interface = f.interface,
								.check_uid = true,
								.uid = getuid(),
								.input_max = 4096,
								.output_max = 4096,
								.disconnected = on_disconnected },
				       &error),
		0, "%s", error);
	f.peer = raw_accept(f.listening);
}

static void stop(void)
{
	f.client = varlink_client_free(f.client);
	if (f.peer >= 0)
		close(f.peer);
	close(f.listening);
	sd_event_unref(f.event);
	idl_free(f.interface);
	raw_done(f.path);
}

#define EXPECT_LOG(expected)                                                                       \
	({                                                                                         \
		cr_assert_str_eq(f.log, (expected), "saw %s", f.log);                              \
		f.log[0] = '\0';                                                                   \
	})

/* A fresh client per bad reply: the fixture's own is the first. */
static void restart(void)
{
	stop();
	start();
}

TestSuite(varlink_client, .init = start, .fini = stop);

Test(varlink_client, hostile_replies_end_the_connection)
{
	static const char *const bad[] = {
		"rubbish|",
		"[]|",
		"{\"parameters\":[]}|",
		"{\"parameters\":{}}|",
		"{}|",
		"{\"parameters\":{\"sum\":\"1\"}}|",
		"{\"parameters\":{\"sum\":1,\"extra\":1}}|",
		"{\"parameters\":{\"sum\":1,\"sum\":1}}|",
		"{\"parameters\":{\"sum\":1},\"id\":1}|",
		"{\"parameters\":{\"sum\":1},\"continues\":true}|",
		"{\"parameters\":{\"sum\":1},\"continues\":1}|",
		"{\"error\":1}|",
		"{\"error\":\"\"}|",
		"{\"error\":\"Refused\",\"parameters\":{\"reason\":\"r\"}}|",
		"{\"error\":\"" I ".Unknown\"}|",
		"{\"error\":\"" I ".Refused\"}|",
		"{\"error\":\"" I ".Refused\",\"parameters\":{\"reason\":1}}|",
		"{\"error\":\"" I
		".Refused\",\"parameters\":{\"reason\":\"r\"},\"continues\":true}|",
		"{\"error\":\"io.other.Refused\",\"parameters\":{\"reason\":\"r\"}}|",
		"{\"error\":\"org.varlink.service.Unknown\"}|",
		"{\"error\":\"org.varlink.service.MethodNotFound\"}|",
		"{\"error\":\"io.tdid.InternalError\",\"parameters\":{\"message\":1}}|",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
		cr_assert_eq(call_add(2, 0, TIMEOUT, "b"), 0);
		raw_send(f.peer, bad[i]);
		raw_run(f.event);
		cr_assert_str_eq(f.log, "a:bad b:bad disconnected:bad ", "%s: %s", bad[i], f.log);
		cr_assert_not_null(strstr(raw_received(f.peer), "<end>"), "%s", bad[i]);
		cr_assert_eq(call_add(3, 0, TIMEOUT, "c"), -ENOTCONN);
		restart();
	}
}

Test(varlink_client, reply_that_nobody_asked_for)
{
	raw_send(f.peer, "{\"parameters\":{\"sum\":1}}|");
	raw_run(f.event);
	EXPECT_LOG("disconnected:bad ");
}

Test(varlink_client, second_reply_to_one_call)
{
	cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
	raw_send(f.peer, "{\"parameters\":{\"sum\":1}}|{\"parameters\":{\"sum\":1}}|");
	raw_run(f.event);
	EXPECT_LOG("a:1 disconnected:bad ");
}

Test(varlink_client, oversize_reply)
{
	char text[4096 + 2];

	cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
	memset(text, ' ', sizeof(text));
	strcpy(text + 4096, "x");
	raw_send(f.peer, text);
	raw_send(f.peer, "|");
	raw_run(f.event);
	EXPECT_LOG("a:bad disconnected:bad ");
}

Test(varlink_client, refuses_calls_that_break_the_interface)
{
	_cleanup_(json_unrefp) json_object *wrong = number("name", 1);

	cr_assert_eq(varlink_client_call(f.client, I ".Wait", wrong, 0, 0, on_reply, NULL),
		     -EINVAL);
	cr_assert_eq(varlink_client_call(f.client, I ".Gone", NULL, 0, 0, on_reply, NULL), -EINVAL);
	cr_assert_eq(varlink_client_call(f.client, I ".Watch", NULL,
					 VARLINK_CALL_MORE | VARLINK_CALL_ONEWAY, 0, NULL, NULL),
		     -EINVAL);
	cr_assert_eq(varlink_client_call(f.client, I ".Watch", NULL, VARLINK_CALL_ONEWAY, 0,
					 on_reply, NULL),
		     -EINVAL);
	raw_run(f.event);
	EXPECT_RECEIVED(f.peer, "");
}

Test(varlink_client, calls_and_replies_in_order)
{
	cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
	cr_assert_eq(call_add(2, VARLINK_CALL_ONEWAY, 0, NULL), 0);
	cr_assert_eq(call_add(3, 0, 0, "b"), 0);
	EXPECT_RECEIVED(f.peer,
			"{\"method\":\"" I ".Add\",\"parameters\":{\"a\":1}}|"
			"{\"method\":\"" I ".Add\",\"parameters\":{\"a\":2},\"oneway\":true}|"
			"{\"method\":\"" I ".Add\",\"parameters\":{\"a\":3}}|");
	f.call_in_reply = true;
	raw_send(f.peer, "{\"parameters\":{\"sum\":10}}|{\"error\":\"" I
			 ".Refused\",\"parameters\":{\"reason\":\"r\"}}|");
	raw_run(f.event);
	EXPECT_LOG("a:10 [0] b:" I ".Refused {\"reason\":\"r\"} ");
	EXPECT_RECEIVED(f.peer, "{\"method\":\"" I ".Add\",\"parameters\":{\"a\":99}}|");
	raw_send(f.peer, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
			 "\"parameter\":\"a\"}}|");
	raw_run(f.event);
	EXPECT_LOG("again:org.varlink.service.InvalidParameter {\"parameter\":\"a\"} ");
}

Test(varlink_client, byte_at_a_time)
{
	static const char text[] = "{\"parameters\":{\"sum\":7}}||{\"error\":\"org.varlink.service."
				   "ExpectedMore\"}|";

	cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
	cr_assert_eq(call_add(1, 0, TIMEOUT, "b"), 0);
	for (const char *p = text; *p; p++) {
		raw_send(f.peer, (const char[]){ *p, '\0' });
		raw_run(f.event);
	}
	EXPECT_LOG("a:7 b:org.varlink.service.ExpectedMore {} ");
}

Test(varlink_client, more)
{
	cr_assert_eq(call_add(1, VARLINK_CALL_MORE, TIMEOUT, "a"), 0);
	EXPECT_RECEIVED(f.peer,
			"{\"method\":\"" I ".Add\",\"parameters\":{\"a\":1},\"more\":true}|");
	raw_send(f.peer,
		 "{\"parameters\":{\"sum\":1},\"continues\":true}|{\"parameters\":{\"sum\":"
		 "2},\"continues\":true}|{\"parameters\":{\"sum\":3},\"continues\":false}|");
	raw_run(f.event);
	EXPECT_LOG("a:1+ a:2+ a:3 ");
}

Test(varlink_client, late_reply_is_swallowed_and_not_taken_for_the_next)
{
	cr_assert_eq(call_add(1, 0, 1, "a"), 0);
	cr_assert_eq(call_add(2, 0, 0, "b"), 0);
	while (f.log[0] == '\0')
		cr_assert_geq(sd_event_run(f.event, UINT64_MAX), 0);
	EXPECT_LOG("a:timeout ");
	raw_send(f.peer, "{\"parameters\":{\"sum\":1}}|{\"parameters\":{\"sum\":2}}|");
	raw_run(f.event);
	EXPECT_LOG("b:2 ");
}

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

Test(varlink_client, timeout_counts_between_the_replies_of_a_more_call)
{
	uint64_t called = now_usec(), replied;

	cr_assert_eq(call_add(1, VARLINK_CALL_MORE, 100000, "a"), 0);
	while (now_usec() < called + 30000)
		cr_assert_geq(sd_event_run(f.event, 30000), 0);
	raw_send(f.peer, "{\"parameters\":{\"sum\":1},\"continues\":true}|");
	replied = now_usec();
	raw_run(f.event);
	EXPECT_LOG("a:1+ ");
	while (f.log[0] == '\0')
		cr_assert_geq(sd_event_run(f.event, UINT64_MAX), 0);
	EXPECT_LOG("a:timeout ");
	cr_assert_geq(now_usec(), replied + 100000, "it counted from the call");
	raw_send(f.peer, "{\"parameters\":{\"sum\":1},\"continues\":true}|");
	raw_run(f.event);
	EXPECT_LOG("");
}

Test(varlink_client, server_vanishes)
{
	cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
	cr_assert_eq(call_add(2, VARLINK_CALL_MORE, TIMEOUT, "b"), 0);
	raw_received(f.peer);
	raw_send(f.peer, "{\"parameters\":{\"sum\":1}}|{\"parameters\":{\"sum\":2},\"cont");
	close(steal_fd(&f.peer));
	raw_run(f.event);
	EXPECT_LOG("a:1 b:reset disconnected:reset ");
	cr_assert_eq(call_add(3, 0, TIMEOUT, "c"), -ENOTCONN);
	raw_run(f.event);
	EXPECT_LOG("");
}

Test(varlink_client, freed_in_a_reply)
{
	f.free_in_reply = true;
	cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
	cr_assert_eq(call_add(2, 0, TIMEOUT, "b"), 0);
	raw_send(f.peer, "{\"parameters\":{\"sum\":1}}|{\"parameters\":{\"sum\":2}}|");
	raw_run(f.event);
	EXPECT_LOG("a:1 ");
}

Test(varlink_client, freed_in_a_reply_that_continues)
{
	f.free_in_reply = true;
	cr_assert_eq(call_add(1, VARLINK_CALL_MORE, TIMEOUT, "a"), 0);
	raw_send(f.peer, "{\"parameters\":{\"sum\":1},\"continues\":true}|{\"parameters\":{\"sum\":"
			 "2},\"continues\":true}|");
	raw_run(f.event);
	EXPECT_LOG("a:1+ ");
}

Test(varlink_client, freed_in_a_timeout)
{
	f.free_in_reply = true;
	cr_assert_eq(call_add(1, 0, 1, "a"), 0);
	while (f.log[0] == '\0')
		cr_assert_geq(sd_event_run(f.event, UINT64_MAX), 0);
	raw_run(f.event);
	EXPECT_LOG("a:timeout ");
}

Test(varlink_client, freed_in_a_failed_reply)
{
	f.free_in_reply = true;
	cr_assert_eq(call_add(1, 0, TIMEOUT, "a"), 0);
	cr_assert_eq(call_add(2, 0, TIMEOUT, "b"), 0);
	close(steal_fd(&f.peer));
	raw_run(f.event);
	EXPECT_LOG("a:reset ");
}

Test(varlink_client, freed_in_disconnected)
{
	f.free_in_disconnected = true;
	close(steal_fd(&f.peer));
	raw_run(f.event);
	EXPECT_LOG("disconnected:reset ");
	cr_assert_null(f.client);
}

Test(varlink_client, server_that_does_not_read)
{
	unsigned n = 0;
	int r;

	while ((r = call_add(1, VARLINK_CALL_ONEWAY, 0, NULL)) == 0)
		cr_assert_lt(n++, 1000000);
	cr_assert_eq(r, -ENOBUFS);
	EXPECT_LOG("");
	raw_run(f.event);
	EXPECT_LOG("disconnected:full ");
}

Test(varlink_client, error_names)
{
	cr_assert_str_eq(varlink_error_name(I ".Refused", I), "Refused");
	cr_assert_null(varlink_error_name(NULL, I));
	cr_assert_null(varlink_error_name(I, I));
	cr_assert_null(varlink_error_name(I "x.Refused", I));
	cr_assert_null(varlink_error_name(I ".Refused", "io.example"));
}

Test(varlink_connect, refuses)
{
	VarlinkClientOptions other_uid = { .check_uid = true, .uid = getuid() + 1 };
	_cleanup_free_ char *error = NULL, *error2 = NULL;
	VarlinkClient *client = NULL, *clients[3] = { NULL };
	sd_event *event = NULL;
	char path[64], longer[200];
	int r = 0, fd;

	raw_path(path);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	cr_assert_eq(sd_event_new(&event), 0);
	cr_assert_eq(varlink_client_connect(&client, event, longer, NULL, NULL), -ENAMETOOLONG);
	cr_assert_eq(varlink_client_connect(&client, event, path, NULL, &error), -ENOENT);
	cr_assert_not_null(strstr(error, path), "%s", error);
	close(raw_listen(path, 1));
	cr_assert_eq(varlink_client_connect(&client, event, path, NULL, NULL), -ECONNREFUSED);
	unlink(path);

	fd = raw_listen(path, 0);
	cr_assert_eq(varlink_client_connect(&client, event, path, &other_uid, &error2), -EPERM);
	cr_assert_not_null(strstr(error2, "uid"), "%s", error2);
	cr_assert_null(client);
	for (size_t i = 0; i < ELEMENTSOF(clients) && r == 0; i++)
		r = varlink_client_connect(&clients[i], event, path, NULL, NULL);
	cr_assert_eq(r, -EAGAIN, "a full queue");
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		varlink_client_free(clients[i]);
	close(fd);
	sd_event_unref(event);
	raw_done(path);
}

/* --- the blocking call, against a real server in a child --- */

static int serve_add(VarlinkCall *call, json_object *parameters, void *userdata)
{
	int64_t a = json_get_int(parameters, "a", 0);

	if (a < 0)
		return varlink_call_errorb(call, "Refused", J_STRING("reason", "negative"));
	return varlink_call_replyb(call, J_INT("sum", a + 1));
}

static int serve_never(VarlinkCall *call, json_object *parameters, void *userdata)
{
	varlink_call_ref(call);
	return 0;
}

static pid_t serve(const char *path)
{
	/* Listens before the fork: whoever connects early waits in the queue. */
	int fd = raw_listen(path, 8);
	VarlinkServer *server = NULL;
	sd_event *event = NULL;
	pid_t pid = fork();

	if (pid == 0) {
		if (sd_event_new(&event) < 0 || varlink_server_new(&server, event, NULL) < 0 ||
		    varlink_server_add_interface(server, SAMPLE_INTERFACE, NULL) < 0 ||
		    varlink_server_bind(server, I ".Add", 0, serve_add, NULL) < 0 ||
		    varlink_server_bind(server, I ".Wait", 0, serve_never, NULL) < 0 ||
		    varlink_server_bind(server, I ".Watch", 0, serve_never, NULL) < 0 ||
		    varlink_server_listen_fd(server, fd, NULL) < 0)
			_exit(1);
		_exit(sd_event_loop(event) < 0 ? 2 : 0);
	}
	close(fd);
	return pid;
}

Test(varlink_blocking, calls_a_server)
{
	_cleanup_(json_unrefp) json_object *good = number("a", 41), *negative = number("a", -1),
					   *reply = NULL, *refusal = NULL, *name = NULL;
	_cleanup_free_ char *error_name = NULL, *none = NULL, *error = NULL, *late = NULL;
	char path[64];
	pid_t pid;
	int status;

	log_set_level(0);
	raw_path(path);
	cr_assert_eq(
		varlink_call_blocking(path, NULL, I ".Add", good, TIMEOUT, &reply, NULL, &error),
		-ENOENT);
	cr_assert_not_null(error);
	pid = serve(path);

	cr_assert_eq(
		varlink_call_blocking(path, NULL, I ".Add", good, TIMEOUT, &reply, &none, NULL), 0);
	cr_assert_eq(json_get_int(reply, "sum", 0), 42);
	cr_assert_null(none);
	cr_assert_eq(varlink_call_blocking(path, NULL, I ".Add", negative, UINT64_MAX, &refusal,
					   &error_name, NULL),
		     1);
	cr_assert_str_eq(error_name, I ".Refused");
	cr_assert_str_eq(json_get_string(refusal, "reason"), "negative");

	cr_assert_eq(json_build(&name, J_STRING("name", "")), 0);
	cr_assert_eq(varlink_call_blocking(path, NULL, I ".Wait", name, 1000, NULL, NULL, &late),
		     -ETIME);
	cr_assert_not_null(strstr(late, "unknown"), "%s", late);
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status), "the server ended by itself: %d", status);
	raw_done(path);
}

Test(varlink_blocking, gives_up_when_nobody_accepts)
{
	char path[64];
	int fd, first, second;

	raw_path(path);
	fd = raw_listen(path, 0);
	cr_assert_eq(varlink_call_blocking(path, NULL, I ".Watch", NULL, 1000, NULL, NULL, NULL),
		     -ETIME);
	/* The queue has one place, and a closed connection holds it until it is accepted. */
	first = raw_accept(fd);
	second = raw_connect(path);
	cr_assert_eq(varlink_call_blocking(path, NULL, I ".Watch", NULL, 1000, NULL, NULL, NULL),
		     -EAGAIN);
	close(first);
	close(second);
	close(fd);
	raw_done(path);
}
