/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-tsm.h"
#include "raw-peer.h"
#include "raw-tsm.h"
#include "testing-daemon.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static sd_event *event;
static char path[64];
static FakeTsm *tsm;
static Provider *provider;
static unsigned int n_ready, n_lost, n_tdi, n_dsm;
static size_t last_n_tdis;
static ProviderTdi last_tdi;
static ProviderDsm last_dsm;
static char lost_reason[256];

static void on_ready(Provider *p, const ProviderTdi *tdis, size_t n_tdis, const ProviderDsm *dsms,
		     size_t n_dsms, void *userdata)
{
	n_ready++;
	last_n_tdis = n_tdis;
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

/* A provider that answers the n-th call with the n-th text. The third is the watch, which stays. */
static void answer_with(const char *const *answers)
{
	int listening = raw_listen(path, 8), fds[2] = { -1, -1 };

	start(getuid());
	for (size_t n = 0; answers[n]; n++) {
		int *fd = &fds[n > 2];

		if (n == 0)
			cr_assert(testing_turn(event));
		if (*fd < 0)
			*fd = raw_accept(listening);
		raw_received(*fd);
		raw_send(*fd, answers[n]);
		testing_idle(event);
	}
	close(fds[0]);
	close(fds[1]);
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
	cr_assert_str_eq(provider_title(provider), "fake (emulated, no protection)");
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

/* --- everything anew --- */

/* The provider is the same one: nothing is lost, nobody has to wait. */
Test(daemon_provider, watch_that_ends_in_order)
{
	Bdf bdf;

	serve();
	bdf_parse(&bdf, "0000:41:00.7");
	cr_assert_null(provider_view_device(provider_view(provider), bdf));
	tsm->tdis[0].generation = 5;
	tsm->tdis[0].state = "run";
	tsm->plain = "0000:41:00.7";
	fake_tsm_end_watches(tsm, "the list of devices has changed");
	while (n_ready == 1) {
		cr_assert(testing_turn(event));
		cr_assert(provider_is_ready(provider));
		cr_assert_null(provider_trouble(provider));
	}
	cr_assert_eq(n_lost, 0);
	cr_assert_eq(last_n_tdis, FAKE_TSM_TDIS);
	cr_assert_eq(last_tdi.generation, 5);
	cr_assert_not_null(provider_view_device(provider_view(provider), bdf));
	/* And the new watch works. */
	fake_tsm_set(tsm, &tsm->tdis[0], "error", false);
	UNTIL(event, n_tdi == 1);
}

/* A wish to be asked while it is asked anyway. */
Test(daemon_provider, asked_again_while_coming_up_anew)
{
	serve();
	fake_tsm_end_watches(tsm, NULL);
	for (int i = 0; i < 8; i++) {
		provider_ask_again(provider);
		cr_assert(testing_turn(event));
	}
	UNTIL(event, n_ready == 2);
	cr_assert_eq(n_lost, 0);
}

Test(daemon_provider, another_instance_voids_all_binds)
{
	Bdf bdf;

	serve();
	tsm->tdis[0].generation = 5;
	tsm->tdis[0].state = "run";
	tsm->tdis[0].accepted = true;
	tsm->instance = "2";
	fake_tsm_end_watches(tsm, "the TSM is another one now");
	UNTIL(event, n_ready == 2);
	cr_assert_eq(n_lost, 0);
	cr_assert_eq(last_n_tdis, 0, "whatever it says it holds");
	/* What it says is known all the same. */
	bdf_parse(&bdf, "0000:41:00.1");
	cr_assert_eq(provider_view_device(provider_view(provider), bdf)->state, TDISP_RUN);
	/* Only once: what is bound from now on is this instance's. */
	provider_ask_again(provider);
	UNTIL(event, n_ready == 3);
	cr_assert_eq(last_n_tdis, FAKE_TSM_TDIS);
}

Test(daemon_provider, another_instance_after_a_loss)
{
	serve();
	fake_tsm_stop(tsm);
	UNTIL(event, n_lost == 1);
	tsm->instance = "2";
	fake_tsm_start(tsm);
	UNTIL(event, n_ready == 2);
	cr_assert_eq(last_n_tdis, 0);
}

/* Verbs are for an instance whose binds are known. */
Test(daemon_provider, another_instance_is_not_ready_before_it_is_asked)
{
	serve();
	tsm->instance = "2";
	tsm->answers[FAKE_QUERY] = FAKE_HOLD;
	fake_tsm_end_watches(tsm, NULL);
	UNTIL(event, tsm->n_held == 1);
	cr_assert(!provider_is_ready(provider));
	tsm->answers[FAKE_QUERY] = FAKE_DONE;
	fake_tsm_let_go(tsm);
	UNTIL(event, n_ready == 2);
}

/* One that ends every watch at once is not asked without a pause. */
Test(daemon_provider, watch_that_never_stays)
{
	struct timespec start, end;

	serve();
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned int i = 2; i < 6; i++) {
		fake_tsm_end_watches(tsm, NULL);
		UNTIL(event, n_ready == i);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	cr_assert_geq((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000,
		      300);
	cr_assert_eq(n_lost, 0);
}

/* --- trouble --- */

Test(daemon_provider, trouble_of_one_that_is_not_ready)
{
	start(getuid());
	cr_assert(strstr(provider_trouble(provider), "not answered yet"));
	UNTIL(event, n_lost == 1);
	cr_assert_str_eq(provider_trouble(provider), lost_reason);
	tsm = fake_tsm_new(event, path);
	UNTIL(event, n_ready == 1);
	cr_assert_null(provider_trouble(provider));
}

Test(daemon_provider, stalled)
{
	serve();
	tsm->stalled = "tdi_bind hangs in the kernel";
	fake_tsm_note(tsm, "tdi_bind hangs in the kernel");
	UNTIL(event, provider_trouble(provider));
	cr_assert(provider_is_ready(provider));
	UNTIL(event, n_ready == 2);
	cr_assert_str_eq(provider_trouble(provider), tsm->stalled);
	/* Good news are news too; Query tells them from bad ones. */
	tsm->stalled = NULL;
	fake_tsm_note(tsm, "it works again");
	UNTIL(event, n_ready == 3);
	cr_assert_null(provider_trouble(provider));
	/* One without a reason. */
	fake_tsm_note(tsm, NULL);
	testing_idle(event);
	cr_assert_null(provider_trouble(provider));
	cr_assert_eq(n_lost, 0);
}

/* --- what it said last --- */

static TdispState said(const char *address)
{
	const ProviderDevice *device;
	Bdf bdf;

	bdf_parse(&bdf, address);
	device = provider_view_device(provider_view(provider), bdf);
	cr_assert_not_null(device);
	return device->state_known ? device->state : TDISP_N_STATES;
}

Test(daemon_provider, what_it_said_last)
{
	const ProviderView *view;
	Bdf dsm;

	tsm = fake_tsm_new(event, path);
	tsm->plain = "0000:41:00.0";
	start(getuid());
	UNTIL(event, n_ready == 1);
	view = provider_view(provider);
	cr_assert_eq(view->n_devices, FAKE_TSM_TDIS + 1);
	for (size_t i = 0; i < view->n_devices; i++)
		cr_assert_eq(view->devices[i].device.function, i, "by address");
	cr_assert(!view->devices[0].tee_io);
	cr_assert_null(view->devices[0].driver);
	cr_assert_eq(view->devices[0].iommu_group, -1);
	cr_assert_str_eq(view->devices[1].driver, "vfio-pci");
	cr_assert_eq(view->devices[1].iommu_group, 7);
	cr_assert_eq(said("0000:41:00.0"), TDISP_N_STATES);
	cr_assert_eq(said("0000:41:00.1"), TDISP_CONFIG_UNLOCKED);

	dsm = view->devices[0].device;
	cr_assert(!provider_view_dsm_is_connected(view, dsm));
	provider_dsm_said(provider, dsm, true);
	cr_assert(provider_view_dsm_is_connected(view, dsm));
	fake_tsm_lose_dsm(tsm);
	UNTIL(event, n_dsm == 1);
	cr_assert(!provider_view_dsm_is_connected(view, dsm));
	cr_assert(!provider_view_dsm_is_connected(view, view->devices[1].device));
	fake_tsm_set(tsm, &tsm->tdis[0], "error", false);
	UNTIL(event, n_tdi == 1);
	cr_assert_eq(said("0000:41:00.1"), TDISP_ERROR);
	fake_tsm_stop(tsm);
	UNTIL(event, n_lost == 1);
	cr_assert_eq(said("0000:41:00.1"), TDISP_ERROR, "it stays known");
}
