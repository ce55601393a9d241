/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/log.h"
#include "rpc/varlink-server.h"

#include "raw-peer.h"

#include <sys/resource.h>

#define S "{\"method\":\"io.example.Sample."

typedef struct Fixture {
	sd_event *event;
	VarlinkServer *server;
	char path[64];
	VarlinkCall *kept[8]; /* of Wait and Watch */
	size_t n_kept;
	unsigned gone;
	unsigned added;
} Fixture;

static Fixture f;

/* What "a" is tells Add how to misbehave. */
static int on_add(VarlinkCall *call, json_object *parameters, void *userdata)
{
	int64_t a = json_get_int(parameters, "a", -1);

	cr_assert_eq(userdata, &f);
	cr_assert_eq(varlink_call_peer(call)->uid, getuid());
	cr_assert_eq(varlink_call_peer(call)->pid, getpid());
	f.added++;
	switch (a) {
	case 1000: return varlink_call_replyb(call, J_STRING("sum", "not a number"));
	case 1001: return varlink_call_reply(call, NULL);
	case 1002: return varlink_call_errorb(call, "NotDescribed", J_INT("x", 1));
	case 1003: return varlink_call_errorb(call, "Refused", J_INT("reason", 1));
	case 1004: return 0;
	case 1005: return -EIO;
	case 1006: varlink_call_unref(varlink_call_ref(call)); return 0;
	case 1007: return varlink_call_errorb(call, "Refused", J_STRING("reason", "\xff"));
	case 1008: return varlink_call_errorb(call, "Refused", J_STRING("reason", "full"));
	case 1009: return varlink_call_invalid_parameter(call, "a");
	case 1010:
	case 1012: /* asked for one way */
		cr_assert_eq(varlink_call_notifyb(call, J_INT("sum", 1)), a == 1012 ? 0 : -EINVAL);
		cr_assert_eq(varlink_call_replyb(call, J_INT("sum", 2)), 0);
		cr_assert_eq(varlink_call_replyb(call, J_INT("sum", 3)), -EALREADY);
		cr_assert_eq(varlink_call_errorb(call, "Refused", J_STRING("reason", "")),
			     -EALREADY);
		return -EIO;
	case 1011: f.server = varlink_server_free(f.server); return 0;
	}
	return varlink_call_replyb(call, J_INT("sum", a + json_get_int(parameters, "b", 0)));
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	f.gone++;
	cr_assert_eq(userdata, &f.n_kept);
	cr_assert_eq(varlink_call_reply(call, NULL), -ECONNRESET);
	cr_assert_eq(varlink_call_errorb(call, "Refused", J_STRING("reason", "")), -ECONNRESET);
}

static int keep(VarlinkCall *call, json_object *parameters, void *userdata)
{
	f.kept[f.n_kept++] = varlink_call_ref(call);
	varlink_call_on_gone(call, on_gone, &f.n_kept);
	return 0;
}

static void server_start(const VarlinkServerOptions *options)
{
	_cleanup_free_ char *error = NULL;

	log_set_level(0); /* the bugs are meant */
	raw_path(f.path);
	cr_assert_eq(sd_event_new(&f.event), 0);
	cr_assert_eq(varlink_server_new(&f.server, f.event, options), 0);
	cr_assert_eq(varlink_server_add_interface(f.server, SAMPLE_INTERFACE, NULL), 0);
	cr_assert_eq(varlink_server_bind(f.server, "io.example.Sample.Add", 0, on_add, &f), 0);
	cr_assert_eq(varlink_server_bind(f.server, "io.example.Sample.Wait", 0, keep, NULL), 0);
	cr_assert_eq(varlink_server_bind(f.server, "io.example.Sample.Watch", VARLINK_MORE_ONLY,
					 keep, NULL),
		     0);
	cr_assert_eq(varlink_server_listen(f.server, f.path, 0600, &error), 0, "%s", error);
}

static void start(void)
{
	server_start(&(VarlinkServerOptions){ .vendor = "v",
					      .product = "p",
					      .version = "1",
					      .input_max = 4096,
					      .output_max = 8192 });
}

static void stop(void)
{
	f.server = varlink_server_free(f.server);
	while (f.n_kept > 0)
		varlink_call_unref(f.kept[--f.n_kept]);
	f.event = sd_event_unref(f.event);
	raw_done(f.path);
}

/* Sends on a connection of its own and expects exactly this back. */
static void exchange(const char *sent, const char *expected)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_run(f.event);
	raw_send(fd, sent);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, expected);
}

TestSuite(varlink_server, .init = start, .fini = stop);

Test(varlink_server, malformed_calls_end_the_connection)
{
	static const char *const bad[] = {
		"rubbish|",
		"[]|",
		"{}|",
		"{\"method\":1}|",
		"{\"parameters\":{}}|",
		S "Add\",\"parameters\":[]}|",
		S "Add\",\"parameters\":{\"a\":1,\"a\":1}}|",
		S "Add\",\"parameters\":{\"a\":1},\"more\":1}|",
		S "Add\",\"parameters\":{\"a\":1},\"more\":true,\"oneway\":true}|",
		S "Add\",\"parameters\":{\"a\":1},\"upgrade\":true}|",
		S "Add\",\"parameters\":{\"a\":1},\"id\":1}|",
		S "Add\",\"parameters\":{\"a\":NaN}}|",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		exchange(bad[i], "<end>");
	cr_assert_eq(f.added, 0);
	cr_assert_eq(varlink_server_connections(f.server), 0);
}

Test(varlink_server, oversize_call_ends_the_connection)
{
	char text[4096 + 64] = S "Add\",\"parameters\":{\"a\":1}}";
	_cleanup_close_ int fd = raw_connect(f.path);
	size_t len = strlen(text);

	/* At the limit, padded with spaces; then one over. */
	memset(text + len, ' ', sizeof(text) - len);
	strcpy(text + 4096, "|");
	raw_send(fd, text);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "{\"parameters\":{\"sum\":1}}|");
	strcpy(text + 4096, " |");
	raw_send(fd, text);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "<end>");
	cr_assert_eq(f.added, 1);
}

Test(varlink_server, names_what_it_does_not_know)
{
	exchange("{\"method\":\"io.example.Other.Add\"}|",
		 "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{"
		 "\"interface\":\"io.example.Other\"}}|");
	exchange("{\"method\":\"Add\"}|",
		 "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{"
		 "\"interface\":\"\"}}|");
	exchange(S "Sub\"}|", "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{"
			      "\"method\":\"io.example.Sample.Sub\"}}|");
}

Test(varlink_server, checks_parameters_before_the_handler)
{
	static const char *const bad[][2] = {
		{ S "Add\"}|", "a" },
		{ S "Add\",\"parameters\":{}}|", "a" },
		{ S "Add\",\"parameters\":{\"a\":\"1\"}}|", "a" },
		{ S "Add\",\"parameters\":{\"a\":1,\"c\":1}}|", "c" },
		{ S "Add\",\"parameters\":{\"a\":1,\"inner\":{\"x\":true}}}|", "inner.x" },
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		char expected[256];

		snprintf(expected, sizeof(expected),
			 "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
			 "\"parameter\":\"%s\"}}|",
			 bad[i][1]);
		exchange(bad[i][0], expected);
	}
	cr_assert_eq(f.added, 0);
}

Test(varlink_server, bugs_of_handlers_are_internal_errors)
{
	static const char expected[] = "{\"error\":\"io.tdid.InternalError\",\"parameters\":{"
				       "\"message\":\"io.example.Sample.Add failed inside the "
				       "service; its log says why\"}}|";

	for (int a = 1000; a <= 1007; a++) {
		char call[128];

		snprintf(call, sizeof(call), S "Add\",\"parameters\":{\"a\":%d}}|", a);
		exchange(call, expected);
	}
	/* Twice, so that the connection is seen to go on. */
	exchange(S "Add\",\"parameters\":{\"a\":1004}}|" S "Add\",\"parameters\":{\"a\":1}}|",
		 "{\"error\":\"io.tdid.InternalError\",\"parameters\":{\"message\":\"io.example."
		 "Sample.Add failed inside the service; its log says why\"}}|"
		 "{\"parameters\":{\"sum\":1}}|");
}

Test(varlink_server, answers)
{
	exchange(S "Add\",\"parameters\":{\"a\":1,\"b\":null}}|", "{\"parameters\":{\"sum\":1}}|");
	exchange(S "Add\",\"parameters\":{\"a\":2,\"b\":3}}|", "{\"parameters\":{\"sum\":5}}|");
	exchange(S "Add\",\"parameters\":{\"a\":1008}}|",
		 "{\"error\":\"io.example.Sample.Refused\",\"parameters\":{\"reason\":\"full\"}}|");
	exchange(S "Add\",\"parameters\":{\"a\":1009}}|",
		 "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{"
		 "\"parameter\":\"a\"}}|");
	exchange(S "Add\",\"parameters\":{\"a\":1010}}|", "{\"parameters\":{\"sum\":2}}|");
}

Test(varlink_server, byte_at_a_time)
{
	static const char text[] =
		S "Add\",\"parameters\":{\"a\":1}}|||" S "Add\",\"parameters\":{\"a\":2}}|";
	_cleanup_close_ int fd = raw_connect(f.path);

	for (const char *p = text; *p; p++) {
		raw_send(fd, (const char[]){ *p, '\0' });
		raw_run(f.event);
	}
	EXPECT_RECEIVED(fd, "{\"parameters\":{\"sum\":1}}|{\"parameters\":{\"sum\":2}}|");
}

Test(varlink_server, pipelined_calls_wait_their_turn)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_send(fd, S "Wait\",\"parameters\":{\"name\":\"one\"}}|" S
		       "Add\",\"parameters\":{\"a\":7}}|" S
		       "Wait\",\"parameters\":{\"name\":\"two\"}}|");
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "");
	cr_assert_eq(f.n_kept, 1);
	cr_assert_eq(f.added, 0);

	raw_send(fd, S "Add\",\"parameters\":{\"a\":8}}|");
	raw_run(f.event);
	cr_assert_eq(varlink_call_replyb(f.kept[0], J_STRING("name", "one")), 0);
	cr_assert_eq(varlink_call_replyb(f.kept[0], J_STRING("name", "one")), -EALREADY);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "{\"parameters\":{\"name\":\"one\"}}|{\"parameters\":{\"sum\":7}}|");
	cr_assert_eq(f.n_kept, 2);
	cr_assert_str_eq(json_get_string(varlink_call_parameters(f.kept[1]), "name"), "two");
	cr_assert_str_eq(varlink_call_method(f.kept[1]), "io.example.Sample.Wait");

	cr_assert_eq(varlink_call_errorb(f.kept[1], "Refused", J_STRING("reason", "no")), 0);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "{\"error\":\"io.example.Sample.Refused\",\"parameters\":{\"reason\":"
			    "\"no\"}}|{\"parameters\":{\"sum\":8}}|");
	cr_assert_eq(f.gone, 0);
}

Test(varlink_server, many_pipelined_calls)
{
	_cleanup_close_ int fd = raw_connect(f.path);
	unsigned sent = 0, answered = 0;

	/* More than a chunk holds, and frames that lie across its end. */
	while (sent < 1500) {
		for (unsigned i = 0; i < 100; i++, sent++)
			raw_send(fd, S "Add\",\"parameters\":{\"a\":1}}|");
		raw_run(f.event);
		for (const char *p = raw_received(fd); (p = strchr(p, '|')); p++)
			answered++;
		cr_assert_eq(answered, sent);
	}
}

/* As much as the socket takes, in large pieces. */
static void refill(int fd)
{
	static const char call[] = S "Add\",\"parameters\":{\"a\":1},\"oneway\":true}";
	static char calls[256 * sizeof(call)];
	static size_t sent;
	ssize_t n;

	for (size_t i = 0; i < sizeof(calls); i += sizeof(call))
		memcpy(calls + i, call, sizeof(call));
	while ((n = send(fd, calls + sent, sizeof(calls) - sent, MSG_DONTWAIT)) > 0)
		sent = (sent + (size_t)n) % sizeof(calls);
}

/* One that never stops does not keep the others from their turn. */
Test(varlink_server, busy_client_beside_another)
{
	_cleanup_close_ int busy = raw_connect(f.path), other = raw_connect(f.path);
	unsigned int turns = 0;
	char byte;

	raw_run(f.event);
	refill(busy);
	cr_assert_geq(sd_event_run(f.event, 0), 0);
	raw_send(other, S "Add\",\"parameters\":{\"a\":1}}|");
	while (recv(other, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && turns++ < 20) {
		refill(busy);
		cr_assert_geq(sd_event_run(f.event, 0), 0);
	}
	cr_assert_leq(turns, 20);
	cr_assert_gt(f.added, 2);
}

/* As much as is read at once, to the byte, and its end behind it. */
Test(varlink_server, end_of_input_at_the_end_of_a_chunk)
{
	static const char call[] = S "Add\",\"parameters\":{\"a\":1}";
	_cleanup_close_ int fd = raw_connect(f.path);
	_cleanup_free_ char *text = malloc(16384);
	unsigned int answers = 0;
	size_t n = 0;

	while (n + 2 * 256 < 16384)
		n += (size_t)snprintf(text + n, 16384 - n, "%s%*s}", call,
				      (int)(255 - strlen(call)), "") +
		     1;
	n += (size_t)snprintf(text + n, 16384 - n, "%s%*s}", call,
			      (int)(16384 - n - strlen(call) - 2), "") +
	     1;
	cr_assert_eq(n, 16384);
	cr_assert_eq(send(fd, text, n, 0), (ssize_t)n);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	raw_run(f.event);
	for (const char *p = raw_received(fd); (p = strchr(p, '|')); p++)
		answers++;
	cr_assert_eq(answers, f.added);
	cr_assert_gt(answers, 50);
	cr_assert_eq(varlink_server_connections(f.server), 0);
}

Test(varlink_server, held_call_dropped_without_an_answer)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_send(fd, S "Wait\",\"parameters\":{\"name\":\"\"}}|");
	raw_run(f.event);
	varlink_call_unref(f.kept[--f.n_kept]);
	EXPECT_RECEIVED(fd, "{\"error\":\"io.tdid.InternalError\",\"parameters\":{\"message\":\"io."
			    "example.Sample.Wait failed inside the service; its log says why\"}}|");
	cr_assert_eq(f.gone, 0);
}

Test(varlink_server, oneway)
{
	/* Not even mistakes are answered. */
	exchange(S "Add\",\"parameters\":{\"a\":1},\"oneway\":true}|" S "Sub\",\"oneway\":true}|" S
		   "Add\",\"oneway\":true}|" S
		   "Add\",\"parameters\":{\"a\":1004},\"oneway\":true}|" S
		   "Add\",\"parameters\":{\"a\":1005},\"oneway\":true}|" S
		   "Add\",\"parameters\":{\"a\":1012},\"oneway\":true}|" S
		   "Add\",\"parameters\":{\"a\":5}}|",
		 "{\"parameters\":{\"sum\":5}}|");
	cr_assert_eq(f.added, 5);
}

Test(varlink_server, oneway_of_a_client_that_leaves_at_once)
{
	int fd = raw_connect(f.path);

	raw_send(fd, S "Add\",\"parameters\":{\"a\":1},\"oneway\":true}|");
	close(fd);
	raw_run(f.event);
	cr_assert_eq(f.added, 1);
	cr_assert_eq(varlink_server_connections(f.server), 0);
}

Test(varlink_server, more)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_send(fd, S "Watch\"}|");
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}|");
	cr_assert_eq(f.n_kept, 0);

	raw_send(fd, S "Watch\",\"more\":true}|" S "Add\",\"parameters\":{\"a\":1}}|");
	raw_run(f.event);
	cr_assert(varlink_call_is_more(f.kept[0]));
	cr_assert_eq(varlink_call_notifyb(f.kept[0], J_INT("n", 1)), 0);
	cr_assert_eq(varlink_call_notifyb(f.kept[0], J_INT("n", 2)), 0);
	EXPECT_RECEIVED(fd, "{\"parameters\":{\"n\":1},\"continues\":true}|"
			    "{\"parameters\":{\"n\":2},\"continues\":true}|");
	cr_assert_eq(varlink_call_replyb(f.kept[0], J_INT("n", 3)), 0);
	cr_assert_eq(varlink_call_notifyb(f.kept[0], J_INT("n", 4)), -EALREADY);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "{\"parameters\":{\"n\":3}}|{\"parameters\":{\"sum\":1}}|");
}

Test(varlink_server, bad_notification_ends_the_call)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_send(fd, S "Watch\",\"more\":true}|");
	raw_run(f.event);
	cr_assert_eq(varlink_call_notifyb(f.kept[0], J_STRING("n", "")), -EPROTO);
	cr_assert_eq(varlink_call_notifyb(f.kept[0], J_INT("n", 1)), -EALREADY);
	cr_assert_not_null(strstr(raw_received(fd), "io.tdid.InternalError"));
}

Test(varlink_server, client_vanishes)
{
	int fds[2] = { raw_connect(f.path), raw_connect(f.path) };

	raw_send(fds[0],
		 S "Wait\",\"parameters\":{\"name\":\"\"}}|" S "Add\",\"parameters\":{\"a\":1}}|");
	raw_send(fds[1], S "Watch\",\"more\":true}|");
	raw_run(f.event);
	cr_assert_eq(f.n_kept, 2);
	for (unsigned i = 0; i < 2; i++) {
		close(fds[i]);
		cr_assert_eq(f.gone, i, "only the loop may report it");
		raw_run(f.event);
		cr_assert_eq(f.gone, i + 1);
		cr_assert_eq(varlink_server_connections(f.server), 1 - i);
	}
	cr_assert_eq(varlink_call_replyb(f.kept[0], J_STRING("name", "")), -ECONNRESET);
	cr_assert_eq(f.added, 0);
}

Test(varlink_server, client_that_only_ends_its_sending_is_answered)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_send(fd, S "Wait\",\"parameters\":{\"name\":\"\"}}|" S
		       "Add\",\"parameters\":{\"a\":1}}|{\"partial");
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	raw_run(f.event);
	cr_assert_eq(f.n_kept, 1);
	EXPECT_RECEIVED(fd, "");
	cr_assert_eq(varlink_call_replyb(f.kept[0], J_STRING("name", "n")), 0);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "{\"parameters\":{\"name\":\"n\"}}|{\"parameters\":{\"sum\":1}}|<end>");
	cr_assert_eq(f.gone, 0);
	cr_assert_eq(varlink_server_connections(f.server), 0);
}

Test(varlink_server, client_that_does_not_read_is_dropped)
{
	_cleanup_close_ int slow = raw_connect(f.path), other = raw_connect(f.path);
	unsigned n = 0;
	int r;

	raw_send(slow, S "Watch\",\"more\":true}|");
	raw_run(f.event);
	while ((r = varlink_call_notifyb(f.kept[0], J_INT("n", n))) == 0)
		cr_assert_lt(n++, 1000000);
	cr_assert_eq(r, -ENOBUFS);
	cr_assert_eq(varlink_call_notifyb(f.kept[0], J_INT("n", n)), -ECONNRESET);
	cr_assert_eq(f.gone, 0, "not from inside notify");
	raw_run(f.event);
	cr_assert_eq(f.gone, 1);
	raw_send(other, S "Add\",\"parameters\":{\"a\":1}}|");
	raw_run(f.event);
	EXPECT_RECEIVED(other, "{\"parameters\":{\"sum\":1}}|");
	cr_assert_eq(varlink_server_connections(f.server), 1);
}

Test(varlink_server, describes_itself)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	exchange("{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}|",
		 "{\"parameters\":{\"vendor\":\"v\",\"product\":\"p\",\"version\":\"1\",\"url\":"
		 "\"\",\"interfaces\":[\"org.varlink.service\",\"io.example.Sample\"]}}|");
	exchange("{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{"
		 "\"interface\":\"io.example\"}}|",
		 "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{"
		 "\"interface\":\"io.example\"}}|");
	raw_send(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{"
		     "\"interface\":\"io.example.Sample\"}}|");
	raw_run(f.event);
	cr_assert_not_null(strstr(raw_received(fd), "error Refused (reason: string)\\n\"}}|"));
	raw_send(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{"
		     "\"interface\":\"org.varlink.service\"}}|");
	raw_run(f.event);
	cr_assert_not_null(strstr(raw_received(fd), "interface org.varlink.service\\n"));
}

Test(varlink_server, freed_by_a_handler)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_send(fd, S "Add\",\"parameters\":{\"a\":1011}}|" S "Add\",\"parameters\":{\"a\":1}}|");
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "<end>");
	cr_assert_eq(f.added, 1);
}

Test(varlink_server, freed_under_a_held_call)
{
	_cleanup_close_ int fd = raw_connect(f.path);

	raw_send(fd, S "Wait\",\"parameters\":{\"name\":\"x\"}}|");
	raw_run(f.event);
	f.server = varlink_server_free(f.server);
	cr_assert_eq(f.gone, 1);
	cr_assert_eq(varlink_call_replyb(f.kept[0], J_STRING("name", "x")), -ECONNRESET);
	cr_assert_str_eq(json_get_string(varlink_call_parameters(f.kept[0]), "name"), "x");
	cr_assert_eq(access(f.path, F_OK), -1, "the socket stays behind");
}

Test(varlink_server, out_of_descriptors_refuses_and_does_not_spin)
{
	_cleanup_close_ int fd = raw_connect(f.path);
	struct rlimit limit, low;
	int next = dup(fd);

	close(next);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)next;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	raw_run(f.event);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	EXPECT_RECEIVED(fd, "<end>");
	exchange(S "Add\",\"parameters\":{\"a\":1}}|", "{\"parameters\":{\"sum\":1}}|");
}

/* --- limits and admission, with options of their own --- */

TestSuite(varlink_server_options, .fini = stop);

static bool refuse_all(const struct ucred *peer, void *userdata)
{
	(*(unsigned *)userdata)++;
	return peer->uid != getuid();
}

Test(varlink_server_options, allow)
{
	unsigned asked = 0;
	int fd;

	server_start(&(VarlinkServerOptions){ .allow = refuse_all, .userdata = &asked });
	fd = raw_connect(f.path);
	raw_run(f.event);
	EXPECT_RECEIVED(fd, "<end>");
	cr_assert_eq(asked, 1);
	close(fd);
}

Test(varlink_server_options, slow_client_gets_everything_in_order)
{
	_cleanup_free_ char *expected = calloc(1, 1 << 20);
	size_t len = 0, received = 0;
	char piece[5000];
	ssize_t n;
	int fd;

	server_start(NULL);
	fd = raw_connect(f.path);
	raw_send(fd, S "Watch\",\"more\":true}|");
	raw_run(f.event);
	/* Ten times what the socket holds, read in pieces that end inside frames. */
	for (int i = 0; i < 3000; i++) {
		cr_assert_eq(varlink_call_notifyb(f.kept[0], J_INT("n", i)), 0);
		len += (size_t)sprintf(expected + len,
				       "{\"parameters\":{\"n\":%d},\"continues\":true}", i) +
		       1;
		if (i < 1000 || i % 10 != 0)
			continue;
		n = recv(fd, piece, 313, 0);
		cr_assert_gt(n, 0);
		cr_assert_eq(memcmp(piece, expected + received, (size_t)n), 0, "at %zu", received);
		received += (size_t)n;
		raw_run(f.event);
	}
	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0) {
		cr_assert_eq(memcmp(piece, expected + received, (size_t)n), 0, "at %zu", received);
		received += (size_t)n;
		raw_run(f.event);
	}
	cr_assert_eq(received, len);
	close(fd);
}

static void expect_two_connections(void)
{
	int fds[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = raw_connect(f.path);
		raw_run(f.event);
	}
	EXPECT_RECEIVED(fds[0], "");
	EXPECT_RECEIVED(fds[1], "");
	EXPECT_RECEIVED(fds[2], "<end>");
	close(fds[2]);
	close(fds[0]);
	raw_run(f.event);
	fds[0] = raw_connect(f.path);
	raw_run(f.event);
	EXPECT_RECEIVED(fds[0], "");
	cr_assert_eq(varlink_server_connections(f.server), 2);
	close(fds[0]);
	close(fds[1]);
}

Test(varlink_server_options, connections_max)
{
	server_start(&(VarlinkServerOptions){ .connections_max = 2 });
	expect_two_connections();
}

Test(varlink_server_options, connections_per_uid_max)
{
	server_start(&(VarlinkServerOptions){ .connections_per_uid_max = 2 });
	expect_two_connections();
}
