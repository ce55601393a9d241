/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-tsm.h"
#include "raw-peer.h"
#include "testing-daemon.h"

#include <errno.h>
#include <signal.h>

#define CAPABILITIES                                                                               \
	"{\"parameters\":{\"instance\":\"1\",\"capabilities\":{\"platform\":\"emulated\","         \
	"\"protection\":false,\"bind_when\":\"added\",\"lock_by\":\"host\",\"start_by\":\"tvm\","  \
	"\"state_source\":\"tsm\",\"evidence\":\"shown\",\"concurrency\":1}}}|"
#define DEVICES "{\"parameters\":{\"devices\":[]}}|"
#define STANDS	"{\"parameters\":{\"instance\":\"1\",\"sequence\":1},\"continues\":true}|"

static sd_event *event;
static char path[64];
static FakeTsm *tsm;
static Provider *provider;
static unsigned int n_ready, n_lost, n_tdi, n_dsm;
static ProviderTdi last_tdi;
static ProviderDsm last_dsm;
static char lost_reason[256];

static void on_ready(Provider *p, const ProviderTdi *tdis, size_t n_tdis, const ProviderDsm *dsms,
		     size_t n_dsms, void *userdata)
{
	n_ready++;
	if (n_tdis > 0)
		last_tdi = tdis[0];
}

static void on_tdi(Provider *p, const ProviderTdi *t, const char *reason, void *userdata)
{
	n_tdi++;
	last_tdi = *t;
}

static void on_dsm(Provider *p, const ProviderDsm *s, const char *reason, void *userdata)
{
	n_dsm++;
	last_dsm = *s;
}

static void on_lost(Provider *p, const char *reason, void *userdata)
{
	n_lost++;
	snprintf(lost_reason, sizeof(lost_reason), "%s", reason);
}

static void start(uid_t uid)
{
	static const ProviderHandlers handlers = { on_ready, on_tdi, on_dsm, on_lost };
	ConfigTsm config = { .name = (char *)"fake", .socket = path, .uid = uid };

	cr_assert_eq(provider_new(&provider, event, &config, &handlers, NULL), 0);
}

static void serve(void)
{
	tsm = fake_tsm_new(event, path);
	start(getuid());
	UNTIL(event, n_ready == 1);
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
	sd_event_unref(event);
	raw_done(path);
}

TestSuite(daemon_provider, .init = set_up, .fini = tear_down);

/* A provider that answers its n-th connection with the n-th text. */
static void answer_with(const char *const *answers)
{
	int listening = raw_listen(path, 8), fds[8];
	size_t n = 0;

	start(getuid());
	for (; answers[n]; n++) {
		if (n == 0)
			cr_assert(testing_turn(event));
		fds[n] = raw_accept(listening);
		raw_received(fds[n]);
		raw_send(fds[n], answers[n]);
		testing_idle(event);
	}
	while (n-- > 0)
		close(fds[n]);
	close(listening);
}

static void expect_lost(const char *first, const char *second, const char *third,
			const char *fourth, const char *reason)
{
	answer_with((const char *const[]){ first, second, third, fourth, NULL });
	cr_assert_eq(n_ready, 0);
	cr_assert_eq(n_lost, 1);
	cr_assert(strstr(lost_reason, reason), "%s", lost_reason);
	cr_assert(!provider_is_ready(provider));
}

Test(daemon_provider, nobody_there)
{
	start(getuid());
	UNTIL(event, n_lost == 2);
	cr_assert_eq(n_ready, 0);
}

Test(daemon_provider, somebody_else_there)
{
	tsm = fake_tsm_new(event, path);
	start(getuid() + 1);
	UNTIL(event, n_lost == 1);
	cr_assert(!provider_is_ready(provider));
}

Test(daemon_provider, capabilities_are_rubbish)
{
	expect_lost("rubbish|", NULL, NULL, NULL, "malformed");
}

Test(daemon_provider, capabilities_break_the_interface)
{
	expect_lost("{\"parameters\":{\"instance\":\"1\"}}|", NULL, NULL, NULL, "malformed");
}

Test(daemon_provider, capabilities_are_refused)
{
	expect_lost("{\"error\":\"io.tdid.Tsm.Refused\",\"parameters\":{\"object\":\"o\","
		    "\"reason\":\"no key\"}}|",
		    NULL, NULL, NULL, "no key");
}

Test(daemon_provider, devices_are_rubbish)
{
	expect_lost(CAPABILITIES, "{\"parameters\":{\"devices\":[{}]}}|", NULL, NULL, "malformed");
}

Test(daemon_provider, watch_is_refused)
{
	expect_lost(CAPABILITIES, DEVICES,
		    "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":"
		    "\"m\"}}|",
		    NULL, "MethodNotFound");
}

Test(daemon_provider, watch_ends_at_once)
{
	expect_lost(CAPABILITIES, DEVICES, "{\"parameters\":{\"instance\":\"1\",\"sequence\":1}}|",
		    NULL, "ended its Monitor");
}

Test(daemon_provider, query_is_rubbish)
{
	expect_lost(CAPABILITIES, DEVICES, STANDS, "{\"parameters\":{\"instance\":\"1\"}}|",
		    "malformed");
}

Test(daemon_provider, addresses_that_are_none)
{
	tsm = fake_tsm_new(event, path);
	tsm->device_text = "41:00.1";
	start(getuid());
	UNTIL(event, n_lost == 1);
	cr_assert(strstr(lost_reason, "ListDevices"));
	tsm->device_text = NULL;
	tsm->query_text = "0000:41:00.9";
	UNTIL(event, n_lost == 2);
	cr_assert(strstr(lost_reason, "Query"));
	tsm->query_text = NULL;
	UNTIL(event, n_ready == 1);
}

Test(daemon_provider, what_it_serves)
{
	Bdf bdf, dsm;

	serve();
	bdf_parse(&bdf, "0000:41:00.2");
	cr_assert(provider_serves(provider, bdf, &dsm));
	cr_assert_eq(dsm.function, 0);
	cr_assert(provider_has_dsm(provider, dsm));
	cr_assert(!provider_has_dsm(provider, bdf));
	bdf.function = 7;
	cr_assert(!provider_serves(provider, bdf, &dsm));
	cr_assert_str_eq(provider_title(provider), "fake (no protection)");
	cr_assert(!provider_protects(provider));
	cr_assert(provider_binds_when_guest_ready(provider));
	/* It keeps what it knew while it is away. */
	fake_tsm_stop(tsm);
	UNTIL(event, n_lost == 1);
	bdf.function = 2;
	cr_assert(provider_serves(provider, bdf, &dsm));
}

Test(daemon_provider, changes)
{
	serve();
	tsm->tdis[0].generation = 5;
	fake_tsm_set(tsm, &tsm->tdis[0], "run", true);
	UNTIL(event, n_tdi == 1);
	cr_assert_eq(last_tdi.generation, 5);
	cr_assert_eq(last_tdi.state, TDISP_RUN);
	cr_assert(last_tdi.accepted);
	fake_tsm_lose_dsm(tsm);
	UNTIL(event, n_dsm == 1);
	cr_assert(!last_dsm.connected);
}

Test(daemon_provider, what_happened_while_it_was_away)
{
	serve();
	fake_tsm_stop(tsm);
	tsm->tdis[0].generation = 5;
	tsm->tdis[0].state = "error";
	UNTIL(event, n_lost == 1);
	fake_tsm_start(tsm);
	UNTIL(event, n_ready == 2);
	cr_assert_eq(last_tdi.state, TDISP_ERROR);
	cr_assert_eq(n_tdi, 0);
}

static unsigned int n_replies;
static int last_status;

static void on_reply(const VarlinkReply *reply, const char *error, void *userdata)
{
	n_replies++;
	last_status = reply->status;
}

Test(daemon_provider, calls)
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

Test(daemon_provider, freed_within_a_call)
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

/* Two connections have no common order: nobody knows which of the two is newer. */
Test(daemon_provider, change_while_query_is_under_way)
{
	tsm = fake_tsm_new(event, path);
	tsm->answers[FAKE_QUERY] = FAKE_HOLD;
	start(getuid());
	UNTIL(event, tsm->n_held == 1);
	snprintf(tsm->tdis[0].tvm, sizeof(tsm->tdis[0].tvm), "%s",
		 "11111111-2222-4333-8444-555555555555");
	tsm->tdis[0].generation = 1;
	fake_tsm_set(tsm, &tsm->tdis[0], "run", true);
	testing_idle(event);
	cr_assert_eq(n_tdi, 0);
	tsm->answers[FAKE_QUERY] = FAKE_DONE;
	fake_tsm_let_go(tsm);
	UNTIL(event, n_ready == 1);
	cr_assert_eq(tsm->calls[FAKE_QUERY], 2, "asked again");
	cr_assert_eq(n_tdi, 0);
	cr_assert_eq(last_tdi.state, TDISP_RUN);
}

Test(daemon_provider, asked_again)
{
	serve();
	provider_ask_again(provider);
	provider_ask_again(provider);
	UNTIL(event, n_ready == 2);
	cr_assert_eq(tsm->calls[FAKE_QUERY], 3, "the second wish came while it was being asked");
	cr_assert_eq(n_lost, 0);
}
