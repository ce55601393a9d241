/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirtd waits for every answer: there has to be one, once, in time. */
#include "testing-hook.h"

#include <sys/resource.h>

#define ALIAS "ua-tdi-nic0"
#define WITH  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))
#define WITH1 TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))
#define TDX                                                                                        \
	"<domain type='kvm'><name>tvm</name><uuid>" TVM0                                           \
	"</uuid><launchSecurity type='tdx'/><devices>" TESTING_PORT                                \
	TESTING_HOSTDEV(ALIAS, "1") "</devices></domain>"
#define PORT_ONLY TESTING_DOMAIN(TVM0, TESTING_PORT)

static void set_up(void)
{
	if (getuid() != 0)
		cr_skip_test("only root may call the hook");
	testing_daemon_init(&d);
	fake_vmm_place(ALIAS, 5, 0, 0);
	d.stop_timeout_ms = 60;
}

static void tear_down(void)
{
	client = varlink_client_free(client);
	if (d.event)
		testing_daemon_done(&d);
}

TestSuite(daemon_hook_service, .init = set_up, .fini = tear_down);

static void run_until_waiting(void)
{
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

static void guest_is_ready(void)
{
	testing_guest_event(SESSION_A, "Ready",
			    "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\"");
}

static void run_until_locked(void)
{
	run_until_waiting();
	guest_is_ready();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
}

Test(daemon_hook_service, xml_that_is_none)
{
	testing_daemon_start(&d);
	call("prepare", "<domain", 0);
	expect("its XML");
	call("stopped", "<domain", 0);
	expect("");
	call("release", "", 0);
	expect("");
}

Test(daemon_hook_service, domains_that_are_not_ours)
{
	testing_daemon_start(&d);
	call("prepare", TESTING_DOMAIN(TVM0, ""), 0);
	expect("");
	call("stopped", TESTING_DOMAIN(TVM0, ""), 0);
	expect("");
	call("no-such-operation", WITH, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 0);
}

Test(daemon_hook_service, start_with_what_nobody_gets)
{
	Dsm *dsm;
	Bdf bdf;

	d.config = "\"excluded\":[\"0000:41:00.1\"],";
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	expect("device " ALIAS " (0000:41:00.1): tdid.conf excludes it ('0000:41:00.1' in");
	bdf_parse(&bdf, FAKE_TSM_DSM);
	cr_assert_eq(registry_dsm(d.tdid.registry, bdf, &dsm), 0);
	dsm->drained = true;
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")), 0);
	expect("device " ALIAS " (0000:41:00.2): its DSM " FAKE_TSM_DSM " is being drained");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 0);
}

#define OWN_TOO                                                                                    \
	TESTING_DOMAIN(TVM0,                                                                       \
		       TESTING_PORT TESTING_HOSTDEV(ALIAS, "2") TESTING_HOSTDEV("ua-tdi-pf", "0"))
#define OWN TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV("ua-tdi-pf", "0"))

/* A reset of it would end the others. */
Test(daemon_hook_service, start_with_the_function_that_a_dsm_is_in)
{
	d.tsm->device_text = FAKE_TSM_DSM;
	testing_daemon_start(&d);
	call("prepare", OWN_TOO, 0);
	expect("device ua-tdi-pf (" FAKE_TSM_DSM "): it is the function that its DSM is in, and "
	       "the domain has 0000:41:00.2 of that DSM, too");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 0);
	call("prepare", OWN, 0);
	expect("");
	testing_daemon_run(&d, 1, TESTING_DOMAIN(TVM1, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")));
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_WAITING);
	call("prepare", OWN, 0);
	expect("and 0000:41:00.2 of that DSM is tvm1's");
}

Test(daemon_hook_service, devices_that_cannot_be_had)
{
	testing_daemon_start(&d);
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_HOSTDEV(ALIAS, "1")), 0);
	expect("has no guest port");
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "7")), 0);
	expect("device ua-tdi-nic0 (0000:41:00.7): no TSM serves it");
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "6")), 0);
	expect("0000:41:00.6): there is no such function on this host");
	call("migrate", WITH, 0);
	expect("cannot be migrated");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 0);

	run_until_locked();
	call("prepare", WITH1, 0);
	expect("still tvm0's");
	d.tsm->answers[FAKE_UNBIND] = FAKE_BREAK_OFF;
	testing_daemon_kill(&d, 0);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	call("prepare", WITH1, 0);
	expect("quarantined");
}

static char second_entry[192];

/* A second provider, of one device. */
static FakeTsm *add_second(const char *device)
{
	static char path[96];
	FakeTsm *second;

	snprintf(path, sizeof(path), "%s/second", d.directory);
	snprintf(second_entry, sizeof(second_entry),
		 ",{\"name\":\"second\",\"socket\":\"%s\",\"uid\":0}", path);
	d.tsms = second_entry;
	second = fake_tsm_new(d.event, path);
	second->only_device = device;
	second->dsm_text = "0000:42:00.0";
	return second;
}

static void end_with(FakeTsm *second)
{
	client = varlink_client_free(client);
	testing_daemon_stop(&d);
	fake_tsm_free(second);
}

Test(daemon_hook_service, start_with_a_device_that_two_tsms_serve)
{
	FakeTsm *second = add_second("0000:41:00.1");

	d.stop_timeout_ms = 60000;
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	expect("device " ALIAS " (0000:41:00.1): tsm fake and tsm second both serve it");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE] + second->calls[FAKE_PREPARE], 0);
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")), 0);
	expect("");
	end_with(second);
}

Test(daemon_hook_service, another_tsm_falls_silent_within_a_start)
{
	FakeTsm *second = add_second("0000:42:00.1");

	d.stop_timeout_ms = 60000;
	testing_daemon_start(&d);
	UNTIL(d.event, tdid_providers_ready(&d.tdid));
	second->answers[FAKE_PREPARE] = FAKE_HOLD;
	call("prepare", WITH, 0);
	UNTIL(d.event, second->n_held == 1);
	fake_tsm_stop(second);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 1);
	end_with(second);
}

/* As long as there is time it is waited for. */
Test(daemon_hook_service, another_tsm_is_started_again_within_a_start)
{
	FakeTsm *second = add_second("0000:42:00.1");

	d.stop_timeout_ms = 60000;
	testing_daemon_start(&d);
	UNTIL(d.event, tdid_providers_ready(&d.tdid));
	d.tsm->answers[FAKE_PREPARE] = FAKE_HOLD;
	call("prepare", WITH, 0);
	UNTIL(d.event, d.tsm->n_held == 1);
	fake_tsm_stop(second);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[1]));
	fake_tsm_let_go(d.tsm);
	testing_idle(d.event);
	fake_tsm_start(second);
	expect("");
	cr_assert_eq(second->calls[FAKE_PREPARE], 1);
	end_with(second);
}

/* One that serves none of its devices. */
Test(daemon_hook_service, start_without_another_tsm)
{
	FakeTsm *second = add_second("0000:42:00.1");

	fake_tsm_stop(second);
	d.stop_timeout_ms = 800;
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 1);
	call("prepare", PORT_ONLY, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 2);
	/* What nobody serves may be its own, and so may the key. */
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "7")), 0);
	expect("the provider of tsm second is not there");
	call("prepare",
	     "<domain type='kvm'><name>tvm0</name><uuid>" TVM0 "</uuid><sysinfo type='fwcfg'>"
	     "<entry name='opt/io.tdid/tvm-key' file='/run/tdid/tvm/a.key'/></sysinfo>"
	     "<devices>" TESTING_PORT "</devices></domain>",
	     0);
	expect("the provider of tsm second is not there");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 2);
	/* Who is away is not the cause. */
	d.tsm->answers[FAKE_PREPARE] = FAKE_HOLD;
	call("prepare", WITH, 0);
	expect("PrepareTvm: tsm fake (emulated, no protection) does not answer in time");
	end_with(second);
}

/* It is waited for all the same. */
Test(daemon_hook_service, start_with_another_tsm_that_comes)
{
	FakeTsm *second = add_second("0000:42:00.1");

	fake_tsm_stop(second);
	d.stop_timeout_ms = 60000;
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	testing_idle(d.event);
	cr_assert_eq(n_answers, 0);
	fake_tsm_start(second);
	expect("");
	cr_assert_eq(second->calls[FAKE_PREPARE], 1);
	end_with(second);
}

#define QUOTES_ONLY                                                                                \
	"<domain type='kvm'><name>tvm0</name><uuid>" TVM0 "</uuid><launchSecurity type='tdx'>"     \
	"<quoteGenerationService path='/run/tdid/quote/" TVM0 ".sock'/></launchSecurity></domain>"

Test(daemon_hook_service, quotes_need_no_tsm)
{
	fake_tsm_stop(d.tsm);
	d.stop_timeout_ms = 60000;
	testing_daemon_start(&d);
	/* That far it comes; there is no tdi-quoted here. */
	call("prepare", QUOTES_ONLY, 0);
	expect("its quote socket");
	fake_tsm_start(d.tsm);
	UNTIL(d.event, provider_is_ready(d.tdid.providers[0]));
	call("prepare", QUOTES_ONLY, 0);
	expect("its quote socket");
	call("release", QUOTES_ONLY, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE] + d.tsm->calls[FAKE_RELEASE], 0);
}

Test(daemon_hook_service, host_without_a_tsm)
{
	d.no_tsms = true;
	testing_daemon_start(&d);
	call("prepare", PORT_ONLY, 0);
	expect("");
	call("prepare", WITH, 0);
	expect("no TSM serves it as a TEE-IO device: tdid.conf names none");
	call("release", PORT_ONLY, 0);
	expect("");
}

Test(daemon_hook_service, tsm_that_can_do_nothing)
{
	d.tsm->stalled = "no TSM is registered with the kernel";
	testing_daemon_start(&d);
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "7")), 0);
	expect("no TSM serves it");
	cr_assert(strstr(answer, "Tsm fake: no TSM is registered"), "%s", answer);
}

Test(daemon_hook_service, domain_that_is_no_tvm)
{
	d.require_tvm = "always";
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	expect("is no confidential VM");
	cr_assert(strstr(answer, "require_tvm"));
	call("prepare", PORT_ONLY, 0);
	expect("");
	call("prepare", TDX, 0);
	expect("");
}

Test(daemon_hook_service, domain_that_is_no_tvm_where_the_tsm_protects)
{
	d.tsm->protection = true;
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	expect("is no confidential VM");
	call("prepare", TDX, 0);
	expect("");
}

Test(daemon_hook_service, domain_that_is_no_tvm_and_need_not_be)
{
	d.tsm->protection = true;
	d.require_tvm = "never";
	testing_daemon_start(&d);
	call("prepare", WITH, 0);
	expect("");
}

Test(daemon_hook_service, devices_are_looked_at_when_the_provider_has_come)
{
	d.stop_timeout_ms = 5000;
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	call("prepare", TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "7")), 0);
	testing_idle(d.event);
	cr_assert_eq(n_answers, 0);
	fake_tsm_start(d.tsm);
	expect("no TSM serves it");
}

Test(daemon_hook_service, key_that_the_domain_does_not_hand_on)
{
	testing_daemon_start(&d);
	d.tsm->key_file = "/run/tdid/tvm/a.key";
	call("prepare", WITH, 0);
	expect("file='/run/tdid/tvm/a.key'/></sysinfo>");
	/* Without a declared device it may be another TSM's. */
	call("prepare", PORT_ONLY, 0);
	expect("");
}

Test(daemon_hook_service, prepare_asks_the_provider)
{
	testing_daemon_start(&d);
	call("prepare", PORT_ONLY, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 1);
	d.tsm->answers[FAKE_PREPARE] = FAKE_REFUSE;
	call("prepare", PORT_ONLY, 0);
	expect("PrepareTvm: tsm fake (emulated, no protection): Refused: not so");
}

/* Its own quarantined device, which nobody wants in this start. */
Test(daemon_hook_service, prepare_says_what_the_tsm_still_holds)
{
	testing_daemon_start(&d);
	d.tsm->busy = "0000:41:00.2";
	call("prepare", PORT_ONLY, 0);
	expect("PrepareTvm: tsm fake (emulated, no protection): TvmBusy: 0000:41:00.2 is still "
	       "bound to a TVM of this UUID. If that is over, 'tdictl clear 0000:41:00.2' ends the "
	       "bind");
	d.tsm->busy = "../../41";
	call("prepare", PORT_ONLY, 0);
	expect("PrepareTvm: tsm fake (emulated, no protection): TvmBusy");
}

/* What is kept may be of a provider that stops, and nobody would repeat the call. */
Test(daemon_hook_service, provider_is_asked_on_a_new_connection)
{
	static const char *const commands[] = { "prepare", "release" };
	size_t kept;

	testing_daemon_start(&d);
	d.tsm->answers[FAKE_PREPARE] = d.tsm->answers[FAKE_RELEASE] = FAKE_HOLD;
	for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
		provider_ask_again(d.tdid.providers[0]);
		testing_idle(d.event);
		kept = provider_kept_connections(d.tdid.providers[0]);
		cr_assert_gt(kept, 0);
		call(commands[i], PORT_ONLY, 0);
		UNTIL(d.event, d.tsm->n_held == 1);
		cr_assert_eq(provider_kept_connections(d.tdid.providers[0]), kept);
		fake_tsm_let_go(d.tsm);
		expect("");
	}
}

Test(daemon_hook_service, key_file_elsewhere)
{
	static const char xml[] =
		"<domain type='kvm'><name>tvm0</name><uuid>" TVM0 "</uuid><sysinfo type='fwcfg'>"
		"<entry name='opt/io.tdid/tvm-key' file='/run/tdid/tvm/a.key'/></sysinfo>"
		"<devices>" TESTING_PORT "</devices></domain>";

	testing_daemon_start(&d);
	d.tsm->key_file = "/run/tdid/tvm/b.key";
	call("prepare", xml, 0);
	expect("keeps this TVM's key in /run/tdid/tvm/b.key");
	d.tsm->key_file = "/run/tdid/tvm/a.key";
	call("prepare", xml, 0);
	expect("");
}

Test(daemon_hook_service, provider_that_is_away)
{
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	call("release", PORT_ONLY, 0);
	expect("");
	call("prepare", PORT_ONLY, 0);
	expect("tsm fake is not there");
	cr_assert(strstr(answer, "No such file"), "%s", answer);
	cr_assert(strstr(answer, "tdid.conf"));
}

Test(daemon_hook_service, provider_that_comes_in_time)
{
	d.stop_timeout_ms = 5000;
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	call("prepare", PORT_ONLY, 0);
	testing_idle(d.event);
	cr_assert_eq(n_answers, 0);
	fake_tsm_start(d.tsm);
	expect("");
}

Test(daemon_hook_service, stopped_waits_for_the_unbind)
{
	d.stop_timeout_ms = 5000;
	testing_daemon_start(&d);
	run_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	call("stopped", WITH, 0);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_idle(d.event);
	cr_assert_eq(n_answers, 0);
	fake_tsm_let_go(d.tsm);
	expect("");
	call("release", WITH, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_RELEASE], 1);
}

/* Behind others' verbs there it would outlast the stop; and there is nothing to unbind. */
Test(daemon_hook_service, stopped_calls_a_queued_bind_off)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_QUEUE_HOLD;
	run_until_waiting();
	guest_is_ready();
	UNTIL(d.event, d.tsm->n_held == 1);
	call("stopped", WITH, 0);
	expect("");
	cr_assert_eq(d.tsm->cancels, 1);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0);
	call("release", WITH, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_RELEASE], 1);
}

#define MALFORMED                                                                                  \
	"<domain type='kvm'><name>tvm</name><uuid>" TVM0 "</uuid><metadata><d:device "             \
	"xmlns:d='urn:tdid:domain:1'/></metadata><devices>" TESTING_PORT                           \
	TESTING_HOSTDEV(ALIAS, "1") "</devices></domain>"
#define CUT_OFF "<domain type='kvm'><name>tvm</name><uuid>" TVM0 "</uuid><devices><hostdev"

/* Of that the UUID is enough. */
static void stop_waits_whatever_its_xml(const char *xml)
{
	testing_daemon_start(&d);
	run_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	call("stopped", xml, 0);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_idle(d.event);
	cr_assert_eq(n_answers, 0);
	fake_tsm_let_go(d.tsm);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
	call("release", xml, 0);
	expect("");
	cr_assert_eq(d.tsm->calls[FAKE_RELEASE], 1);
}

Test(daemon_hook_service, stopped_with_a_malformed_declaration)
{
	d.stop_timeout_ms = 60000;
	stop_waits_whatever_its_xml(MALFORMED);
}

Test(daemon_hook_service, stopped_with_xml_that_cannot_be_read)
{
	d.stop_timeout_ms = 60000;
	stop_waits_whatever_its_xml(CUT_OFF);
}

/* What marked it has gone from its XML meanwhile. */
Test(daemon_hook_service, stopped_without_a_marker)
{
	d.stop_timeout_ms = 60000;
	stop_waits_whatever_its_xml(TESTING_DOMAIN(TVM0, ""));
}

Test(daemon_hook_service, start_with_a_malformed_declaration)
{
	testing_daemon_start(&d);
	call("prepare", MALFORMED, 0);
	expect("tvm0: its XML, line 1: <device> of urn:tdid:domain:1 has no alias. Set it right");
	call("migrate", MALFORMED, 0);
	expect("cannot be migrated");
	call("restore", CUT_OFF, 0);
	expect("its XML");
	cr_assert_eq(d.tsm->calls[FAKE_PREPARE], 0);
}

Test(daemon_hook_service, stopped_goes_on_after_a_while)
{
	char unbind[32];

	testing_daemon_start(&d);
	run_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	call("stopped", WITH, 0);
	UNTIL(d.event, d.tsm->n_held == 1);
	snprintf(unbind, sizeof(unbind), "%s",
		 json_get_string(varlink_call_parameters(d.tsm->held[0]), "operation"));
	expect("");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "its domain's stop waits"));
	/* A queued one must not be carried out some time later. */
	UNTIL(d.event, d.tsm->cancels == 1);
	cr_assert_str_eq(d.tsm->cancel, unbind);
	/* libvirt has given it back to the host: that it is unbound now does not count. */
	d.tsm->tdis[0].generation = 0;
	fake_tsm_set(d.tsm, &d.tsm->tdis[0], "config_unlocked", false);
	testing_idle(d.event);
	call("release", WITH, 0);
	expect("");
	call("prepare", WITH, 0);
	expect("quarantined");
}

/* libvirt goes on then. */
Test(daemon_hook_service, hook_that_does_not_wait_for_the_unbind)
{
	d.stop_timeout_ms = 60000;
	testing_daemon_start(&d);
	run_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	call("stopped", WITH, 0);
	UNTIL(d.event, d.tsm->n_held == 1);
	client = varlink_client_free(client);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
}

/* So the unbind is never sent. */
Test(daemon_hook_service, stopped_when_no_tsm_serves_it_any_more)
{
	testing_daemon_start(&d);
	run_until_locked();
	testing_daemon_stop(&d);
	d.no_tsms = true;
	testing_daemon_start(&d);
	call("stopped", WITH, 0);
	expect("");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "tsm none: no outcome"));
}

/* Where tdid was started again the stopped before it has not waited. */
Test(daemon_hook_service, release_goes_on_after_a_while)
{
	testing_daemon_start(&d);
	run_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, ALIAS, PORT_ONLY);
	UNTIL(d.event, d.tsm->n_held == 1);
	call("stopped", WITH, 0);
	testing_daemon_stop(&d);
	client = varlink_client_free(client);
	testing_daemon_start(&d);
	call("release", WITH, 0);
	expect("");
	call("prepare", WITH, 0);
	expect("quarantined");
}

/* Nothing is unknown of what was never sent. */
Test(daemon_hook_service, stopped_before_the_bind_was_sent)
{
	testing_daemon_start(&d);
	run_until_waiting();
	fake_tsm_stop(d.tsm);
	guest_is_ready();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_BINDING);
	call("stopped", WITH, 0);
	expect("");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
}

Test(daemon_hook_service, release_that_fails_does_not_stop_libvirt)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_RELEASE] = FAKE_BREAK_OFF;
	call("release", PORT_ONLY, 0);
	expect("");
}

/* The hook tells once; the read of the domain that follows makes up for it. */
Test(daemon_hook_service, started_when_no_descriptor_is_left)
{
	struct rlimit limit;
	Uuid uuid;

	uuid_from_string(&uuid, TVM0);
	testing_daemon_start(&d);
	fake_vmm_domain(TVM0, "tvm0", PORT_ONLY);
	call("started", PORT_ONLY, -5);
	expect("");
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	fake_vmm.hold = true;
	call("started", PORT_ONLY, getpid());
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, limit.rlim_max }), 0);
	UNTIL(d.event, n_answers > 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_null(registry_find_domain(d.tdid.registry, uuid)->tvm);
	fake_vmm_let_go();
	UNTIL(d.event, registry_find_domain(d.tdid.registry, uuid)->tvm);
	cr_assert_eq(registry_find_domain(d.tdid.registry, uuid)->tvm->pid, getpid());
}

Test(daemon_hook_service, started_and_its_pid)
{
	Uuid uuid;

	testing_daemon_start(&d);
	uuid_from_string(&uuid, TVM0);
	call("started", WITH, -5);
	expect("");
	call("started", WITH, 0);
	expect("");
	call("started", WITH, 0x7fffffff);
	expect("");
	cr_assert(!registry_find_domain(d.tdid.registry, uuid) ||
		  !registry_find_domain(d.tdid.registry, uuid)->tvm);

	testing_daemon_run(&d, 0, WITH);
	testing_idle(d.event);
	call("reconnect", WITH, d.qemu[0]);
	expect("");
	cr_assert_eq(registry_find_domain(d.tdid.registry, uuid)->tvm->pid, d.qemu[0]);
	cr_assert_null(registry_tvm_at(d.tdid.registry, 1));
}

Test(daemon_hook_service, hook_that_is_killed)
{
	d.stop_timeout_ms = 5000;
	testing_daemon_start(&d);
	run_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	call("stopped", WITH, 0);
	UNTIL(d.event, d.tsm->n_held == 1);
	client = varlink_client_free(client);
	testing_idle(d.event);
	fake_tsm_let_go(d.tsm);
	testing_idle(d.event);
}

Test(daemon_hook_service, tdid_ends_within_a_call)
{
	d.stop_timeout_ms = 5000;
	testing_daemon_start(&d);
	run_until_locked();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	call("stopped", WITH, 0);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_daemon_stop(&d);
	expect("lost");
}
