/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call of a provider, and the connection that it is on. */
#include "fake-tsm.h"
#include "raw-peer.h"
#include "raw-tsm.h"
#include "testing-daemon.h"

#include <errno.h>
#include <signal.h>

static sd_event *event;
static char path[64];
static FakeTsm *tsm;
static Provider *provider;
static unsigned int n_ready, n_replies;
static int last_status;
static char last_error[64];
static int listening = -1, watch = -1, first = -1; /* of a provider in raw bytes */

static void on_ready(Provider *p, const ProviderTdi *tdis, size_t n_tdis, const ProviderDsm *dsms,
		     size_t n_dsms, void *userdata)
{
	n_ready++;
}

static void on_lost(Provider *p, const char *reason, void *userdata)
{
}

static void start(void)
{
	static const ProviderHandlers handlers = { .ready = on_ready, .lost = on_lost };
	ConfigTsm config = { .name = (char *)"fake", .socket = path, .uid = getuid() };

	cr_assert_eq(provider_new(&provider, event, &config, &handlers, NULL), 0);
}

static void serve(void)
{
	tsm = fake_tsm_new(event, path);
	start();
	UNTIL(event, n_ready == 1);
}

/* Served by the test itself. `first` is the connection that is kept. */
static void come_up(void)
{
	listening = raw_listen(path, 8);
	start();
	cr_assert(testing_turn(event));
	watch = raw_accept(listening);
	raw_send(watch, CAPABILITIES);
	testing_idle(event);
	raw_send(watch, DEVICES);
	testing_idle(event);
	raw_send(watch, STANDS);
	testing_idle(event);
	first = raw_accept(listening);
	raw_send(first, HOLDS_NOTHING);
	UNTIL(event, n_ready == 1);
	raw_received(first);
}

static void set_up(void)
{
	signal(SIGPIPE, SIG_IGN);
	cr_assert_geq(sd_event_new(&event), 0);
	raw_path(path);
}

static void tear_down(void)
{
	provider = provider_free(provider);
	if (tsm)
		fake_tsm_free(tsm);
	close(listening);
	close(watch);
	close(first);
	sd_event_unref(event);
	raw_done(path);
}

TestSuite(daemon_provider_call, .init = set_up, .fini = tear_down);

static void on_reply(const VarlinkReply *reply, const char *error, void *userdata)
{
	n_replies++;
	last_status = reply->status;
	snprintf(last_error, sizeof(last_error), "%s", error ?: "");
}

Test(daemon_provider_call, calls)
{
	ProviderCall *call;

	serve();
	cr_assert_eq(provider_call(provider, "io.tdid.Tsm.Bind", NULL, 0, 0, on_reply, NULL, NULL),
		     -EINVAL, "parameters are missing");
	tsm->answers[FAKE_QUERY] = FAKE_HOLD;
	cr_assert_eq(
		provider_call(provider, "io.tdid.Tsm.Query", NULL, 0, 1000, on_reply, NULL, NULL),
		0);
	UNTIL(event, n_replies == 1);
	cr_assert_eq(last_status, -ETIME);
	cr_assert_eq(
		provider_call(provider, "io.tdid.Tsm.Query", NULL, 0, 0, on_reply, NULL, &call), 0);
	UNTIL(event, tsm->n_held >= 1);
	cr_assert_null(provider_call_forget(call));
	cr_assert_eq(provider_call(provider, "io.tdid.Tsm.Query", NULL, 0, 0, on_reply, NULL, NULL),
		     0);
	testing_idle(event);
	fake_tsm_stop(tsm);
	UNTIL(event, n_replies == 2);
	cr_assert_eq(last_status, -ECONNRESET);
	cr_assert_lt(provider_call(provider, "io.tdid.Tsm.Query", NULL, 0, 0, on_reply, NULL, NULL),
		     0);
}

static void query(ProviderCall **ret)
{
	cr_assert_eq(provider_call(provider, "io.tdid.Tsm.Query", NULL, 0, 0, on_reply, NULL, ret),
		     0);
}

Test(daemon_provider_call, calls_in_turn_have_one_connection)
{
	serve();
	for (unsigned int i = 1; i < 5; i++) {
		query(NULL);
		UNTIL(event, n_replies == i);
		cr_assert_eq(last_status, 0);
		cr_assert_eq(varlink_server_connections(tsm->server), 2, "with the watch's");
	}
}

Test(daemon_provider_call, one_that_hangs_holds_up_nothing)
{
	serve();
	tsm->answers[FAKE_QUERY] = FAKE_HOLD;
	query(NULL);
	UNTIL(event, tsm->n_held == 1);
	tsm->answers[FAKE_QUERY] = FAKE_DONE;
	query(NULL);
	UNTIL(event, n_replies == 1);
	cr_assert_eq(tsm->n_held, 1);
}

/* What comes late of a call that was given up is nobody's. */
Test(daemon_provider_call, late_answer)
{
	int second;
	ProviderCall *call;

	come_up();

	query(&call);
	testing_idle(event);
	cr_assert_null(provider_call_forget(call));
	EXPECT_RECEIVED(first, "{\"method\":\"io.tdid.Tsm.Query\"}|<end>");
	query(NULL);
	testing_idle(event);
	second = raw_accept(listening);
	cr_assert_eq(n_replies, 0);
	/* And one too many is not the answer of the call after. */
	raw_send(second, HOLDS_NOTHING HOLDS_NOTHING);
	UNTIL(event, n_replies == 1);
	query(NULL);
	testing_idle(event);
	cr_assert_eq(n_replies, 1);
	close(raw_accept(listening));
	close(second);
}

/* The kept one may be that of a provider which stops and reads no more; nor is this one kept. */
Test(daemon_provider_call, call_on_a_connection_of_its_own)
{
	int own;

	come_up();

	cr_assert_eq(provider_call(provider, "io.tdid.Tsm.Query", NULL, PROVIDER_CALL_OWN, 0,
				   on_reply, NULL, NULL),
		     0);
	testing_idle(event);
	own = raw_accept(listening);
	close(first);
	testing_idle(event);
	EXPECT_RECEIVED(own, "{\"method\":\"io.tdid.Tsm.Query\"}|");
	raw_send(own, HOLDS_NOTHING HOLDS_NOTHING);
	UNTIL(event, n_replies == 1);
	cr_assert_eq(last_status, 0);
	cr_assert_eq(provider_kept_connections(provider), 0);
	EXPECT_RECEIVED(own, "<end>");
	close(own);
}

/* It dies while nothing is under way: the next call is for who serves now. */
Test(daemon_provider_call, restarts_between_calls)
{
	serve();
	query(NULL);
	UNTIL(event, n_replies == 1);
	fake_tsm_stop(tsm);
	fake_tsm_start(tsm);
	query(NULL);
	UNTIL(event, n_replies == 2);
	cr_assert_eq(last_status, 0);
	UNTIL(event, n_ready == 2);
	query(NULL);
	UNTIL(event, n_replies == 3);
	cr_assert_eq(last_status, 0);
}

Test(daemon_provider_call, freed_within_a_call)
{
	serve();
	tsm->answers[FAKE_QUERY] = FAKE_HOLD;
	provider_call(provider, "io.tdid.Tsm.Query", NULL, 0, 0, on_reply, NULL, NULL);
	UNTIL(event, tsm->n_held == 1);
	provider = provider_free(provider);
	fake_tsm_let_go(tsm);
	testing_idle(event);
	cr_assert_eq(n_replies, 0);
}

/* --- verbs --- */

#define CALL(id)                                                                                   \
	"{\"method\":\"io.tdid.Tsm.Unbind\",\"parameters\":{\"operation\":\"" id                   \
	"\",\"device\":\"0000:41:00.1\"},\"more\":true}|"
#define UNBOUND(id)                                                                                \
	"{\"parameters\":{\"operation\":\"" id "\",\"progress\":\"done\",\"freed\":true}}|"
#define SOMETHING_UNBOUND "{\"parameters\":{\"progress\":\"done\",\"freed\":true}}|"
#define STARTED(id)                                                                                \
	"{\"parameters\":{\"operation\":\"" id "\",\"progress\":\"started\"},\"continues\":true}|"

static void unbind(const char *operation)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;

	cr_assert_eq(json_build(&parameters, J_STRING("operation", operation),
				J_STRING("device", "0000:41:00.1")),
		     0);
	cr_assert_eq(provider_call(provider, "io.tdid.Tsm.Unbind", parameters,
				   VARLINK_CALL_MORE | PROVIDER_CALL_VERB, 0, on_reply, NULL, NULL),
		     0);
	testing_idle(event);
}

/* The connection that was kept is not for them, and theirs is closed. */
static int first_verb(const char *answer)
{
	int fd;

	come_up();
	unbind("1");
	fd = raw_accept(listening);
	EXPECT_RECEIVED(fd, CALL("1"));
	raw_send(fd, answer);
	UNTIL(event, n_replies == 1);
	cr_assert_eq(last_status, 0);
	return fd;
}

Test(daemon_provider_call, verbs_that_are_not_named_have_new_connections)
{
	int one = first_verb(SOMETHING_UNBOUND), two;

	testing_idle(event);
	EXPECT_RECEIVED(one, "<end>");
	unbind("2");
	two = raw_accept(listening);
	EXPECT_RECEIVED(two, CALL("2"));
	EXPECT_RECEIVED(first, "");
	close(one);
	close(two);
}

Test(daemon_provider_call, verbs_that_are_named_have_one_connection)
{
	int fd = first_verb(UNBOUND("1"));

	unbind("2");
	EXPECT_RECEIVED(fd, CALL("2"));
	raw_send(fd, STARTED("2") UNBOUND("2"));
	UNTIL(event, n_replies == 3);
	unbind("3");
	EXPECT_RECEIVED(fd, CALL("3"));
	cr_assert_eq(accept(listening, NULL, NULL), -1);
	close(fd);
}

/* Of two at a time the second has another one, and both are kept. */
Test(daemon_provider_call, verbs_at_the_same_time)
{
	int fd = first_verb(UNBOUND("1"));

	unbind("2");
	unbind("3");
	EXPECT_RECEIVED(fd, CALL("2"));
	EXPECT_RECEIVED(first, CALL("3"));
	raw_send(first, UNBOUND("3"));
	raw_send(fd, UNBOUND("2"));
	UNTIL(event, n_replies == 3);
	testing_idle(event);
	cr_assert_eq(provider_kept_connections(provider), 2);
	close(fd);
}

static void expect_asked_anew(int used, const char *answer)
{
	int fd;

	raw_send(used, answer);
	testing_idle(event);
	cr_assert_eq(n_replies, 1, "%s is believed", answer);
	EXPECT_RECEIVED(used, "<end>");
	fd = raw_accept(listening);
	EXPECT_RECEIVED(fd, CALL("2"));
	/* On a connection of its own it is whose it must be, with a name or without. */
	raw_send(fd, SOMETHING_UNBOUND);
	UNTIL(event, n_replies == 2);
	cr_assert_eq(last_status, 0);
	testing_idle(event);
	EXPECT_RECEIVED(fd, "<end>");
	close(fd);
	close(used);
}

#define ASKED_ANEW(name, answer)                                                                   \
	Test(daemon_provider_call, name)                                                           \
	{                                                                                          \
		int fd = first_verb(UNBOUND("1"));                                                 \
                                                                                                   \
		unbind("2");                                                                       \
		EXPECT_RECEIVED(fd, CALL("2"));                                                    \
		expect_asked_anew(fd, answer);                                                     \
	}

ASKED_ANEW(late_answer_of_the_verb_before, UNBOUND("1"))
ASKED_ANEW(late_progress_of_the_verb_before, STARTED("1"))
ASKED_ANEW(answer_without_a_name, SOMETHING_UNBOUND)
ASKED_ANEW(
	error_that_may_be_the_verbs_before,
	"{\"error\":\"io.tdid.Tsm.Refused\",\"parameters\":{\"object\":\"x\",\"reason\":\"y\"}}|")
ASKED_ANEW(answer_that_is_none, "{\"parameters\":{\"operation\":\"2\"}}|")
ASKED_ANEW(answer_that_is_rubbish, "nonsense|")

/* Nobody knows what has come of it: whoever asked has to ask again. */
Test(daemon_provider_call, used_connection_is_lost)
{
	int fd = first_verb(UNBOUND("1"));

	unbind("2");
	close(fd);
	UNTIL(event, n_replies == 2);
	cr_assert_eq(last_status, -ECONNRESET);
}

Test(daemon_provider_call, cannot_be_asked_anew)
{
	int fd = first_verb(UNBOUND("1"));

	unbind("2");
	close(listening);
	listening = -1;
	unlink(path);
	raw_send(fd, UNBOUND("1"));
	UNTIL(event, n_replies == 2);
	cr_assert_eq(last_status, -ECONNRESET);
	close(fd);
}

/* It may be another one's answer; and the one that serves now is asked when it is ready. */
Test(daemon_provider_call, is_not_asked_anew_before_it_is_ready)
{
	int fd = first_verb(UNBOUND("1"));

	unbind("2");
	close(watch);
	watch = -1;
	raw_send(fd, "{\"error\":\"io.tdid.Tsm.OutcomeUnknown\",\"parameters\":{\"object\":\"x\","
		     "\"reason\":\"y\"}}|");
	UNTIL(event, n_replies == 2);
	cr_assert_eq(last_status, -ECONNRESET);
	cr_assert_eq(accept(listening, NULL, NULL), -1);
	close(fd);
}

/* Errors have a name as well. */
Test(daemon_provider_call, refusal_with_a_name)
{
	int fd = first_verb(UNBOUND("1"));

	unbind("2");
	EXPECT_RECEIVED(fd, CALL("2"));
	raw_send(fd, "{\"error\":\"io.tdid.Tsm.Refused\",\"parameters\":{\"object\":\"x\","
		     "\"reason\":\"y\",\"operation\":\"2\"}}|");
	UNTIL(event, n_replies == 2);
	cr_assert_str_eq(last_error, "Refused");
	unbind("3");
	EXPECT_RECEIVED(fd, CALL("3"));
	close(fd);
}

/* Then the connection is not kept, and the next verb has a new one. */
Test(daemon_provider_call, names_its_outcome_only)
{
	int fd, next;

	come_up();
	unbind("1");
	fd = raw_accept(listening);
	raw_send(fd,
		 "{\"parameters\":{\"progress\":\"started\"},\"continues\":true}|" UNBOUND("1"));
	UNTIL(event, n_replies == 2);
	unbind("2");
	next = raw_accept(listening);
	EXPECT_RECEIVED(next, CALL("2"));
	close(fd);
	close(next);
}

/* After one mistake it is no longer taken for one that names them, until it has done so again. */
Test(daemon_provider_call, names_them_no_more_and_again)
{
	int fd = first_verb(UNBOUND("1")), next;

	unbind("2");
	EXPECT_RECEIVED(fd, CALL("2"));
	expect_asked_anew(fd, SOMETHING_UNBOUND);
	unbind("3");
	next = raw_accept(listening);
	EXPECT_RECEIVED(next, CALL("3"));
	raw_send(next, UNBOUND("3"));
	UNTIL(event, n_replies == 3);
	unbind("4");
	EXPECT_RECEIVED(next, CALL("4"));
	close(next);
}
