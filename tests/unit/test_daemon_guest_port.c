/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything that a guest may send is hostile until it is parsed. */
#include "testing-daemon.h"

#include "daemon/guest-port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define ALIAS "ua-tdi-nic0"
#define WITH  TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1"))
#define TSM_CALL(session, id)                                                                      \
	"{\"session\":\"" session "\",\"id\":" id ",\"call\":\"TsmRequest\","                      \
	"\"parameters\":{\"scope\":\"info\",\"message\":\"YQ==\"}}|"

static TestingDaemon d;

static void set_up(void)
{
	testing_daemon_init(&d);
	fake_vmm_place(ALIAS, 5, 0, 0);
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

static void tear_down(void)
{
	testing_daemon_done(&d);
}

TestSuite(daemon_guest_port, .init = set_up, .fini = tear_down);

static void expect_ignored(const char *text)
{
	testing_guest_send(text);
	cr_assert_str_eq(testing_guest_received(&d), "", "answered: %s", text);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING, "%s", text);
}

static void hello(const char *session)
{
	testing_guest_hello(session);
	cr_assert(testing_guest_gets(&d, "\"reply\":\"Hello\""));
}

Test(daemon_guest_port, opens_with_a_nul)
{
	cr_assert_str_eq(testing_guest_received(&d), "|");
}

Test(daemon_guest_port, before_hello)
{
	testing_guest_received(&d);
	expect_ignored("rubbish|");
	expect_ignored("{}|");
	expect_ignored("\xff\xfe|");
	expect_ignored("{\"session\":\"\",\"event\":\"Ready\"}|");
	expect_ignored(TSM_CALL(SESSION_A, "1"));
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Ready\",\"parameters\":{"
		       "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\"}}|");
	hello(SESSION_A);
}

Test(daemon_guest_port, hello_that_is_none)
{
	testing_guest_received(&d);
	expect_ignored("{\"session\":\"short\",\"id\":1,\"call\":\"Hello\",\"parameters\":{"
		       "\"protocol\":1,\"agent\":\"a\",\"boot_id\":\"b\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"call\":\"Hello\",\"parameters\":{"
		       "\"protocol\":1,\"agent\":\"a\",\"boot_id\":\"b\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"id\":1,\"call\":\"Hello\",\"parameters\":{"
		       "\"protocol\":2,\"agent\":\"a\",\"boot_id\":\"b\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"id\":1,\"call\":\"Hello\"}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"id\":1,\"call\":\"Hello\",\"parameters\":{"
		       "\"protocol\":\"1\",\"agent\":\"a\",\"boot_id\":\"b\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Hello\",\"parameters\":{"
		       "\"protocol\":1,\"agent\":\"a\",\"boot_id\":\"b\"}}|");
}

Test(daemon_guest_port, frames_that_are_not_its_to_send)
{
	hello(SESSION_A);
	testing_guest_received(&d);
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Locked\",\"parameters\":{"
		       "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\",\"generation\":1}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"id\":1,\"reply\":\"TsmRequest\"}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"id\":1,\"call\":\"Ready\",\"parameters\":{"
		       "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"TsmRequest\",\"parameters\":{"
		       "\"scope\":\"info\",\"message\":\"YQ==\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"id\":1,\"call\":\"TsmRequest\","
		       "\"parameters\":{\"scope\":\"everything\",\"message\":\"YQ==\"}}|");
	cr_assert_eq(d.tsm->calls[FAKE_GUEST_REQUEST], 0);
}

Test(daemon_guest_port, events_about_nothing)
{
	hello(SESSION_A);
	testing_guest_received(&d);
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Ready\",\"parameters\":{"
		       "\"name\":\"another\",\"address\":\"0000:05:00.0\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Ready\",\"parameters\":{"
		       "\"name\":\"" ALIAS "\",\"address\":\"0000:06:00.0\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Ready\",\"parameters\":{"
		       "\"name\":\"" ALIAS "\",\"address\":\"nowhere\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Verdict\",\"parameters\":{"
		       "\"name\":\"" ALIAS "\",\"generation\":-1,\"verdict\":\"rejected\","
		       "\"step\":\"s\"}}|");
	expect_ignored("{\"session\":\"" SESSION_A "\",\"event\":\"Verdict\",\"parameters\":{"
		       "\"name\":\"" ALIAS "\",\"generation\":0,\"verdict\":\"rejected\","
		       "\"step\":\"s\"}}|");
}

Test(daemon_guest_port, oversize_frame_is_dropped_and_the_next_one_read)
{
	char block[8193];

	testing_guest_received(&d);
	memset(block, 'x', sizeof(block) - 1);
	block[sizeof(block) - 1] = '\0';
	for (int i = 0; i < 20; i++) {
		testing_guest_send(block);
		testing_idle(d.event);
	}
	testing_guest_send("|");
	hello(SESSION_A);
}

Test(daemon_guest_port, hello_twice)
{
	hello(SESSION_A);
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_HOLD;
	testing_guest_send(TSM_CALL(SESSION_A, "8"));
	UNTIL(d.event, d.tsm->n_held == 1);
	hello(SESSION_B);
	testing_guest_received(&d);
	/* A reply for the former session is dropped, and so is what still comes of it. */
	fake_tsm_let_go(d.tsm);
	expect_ignored(TSM_CALL(SESSION_A, "9"));
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_DONE;
	testing_guest_send(TSM_CALL(SESSION_B, "9"));
	cr_assert(testing_guest_gets(&d, "\"id\":9"));
}

static void hello_of_boot(unsigned int boot)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "|{\"session\":\"" SESSION_A "\",\"id\":%u,\"call\":\"Hello\",\"parameters\":{"
		 "\"protocol\":1,\"agent\":\"a\",\"boot_id\":\"%u\"}}|",
		 boot, boot);
	testing_guest_send(text);
}

static void expect_hello_of_boot(unsigned int boot)
{
	char text[64];

	snprintf(text, sizeof(text), "\"id\":%u,\"reply\":\"Hello\"", boot);
	testing_guest_received(&d);
	hello_of_boot(boot);
	cr_assert(testing_guest_gets(&d, text), "boot %u", boot);
}

/* However often its agent says so: so fast no guest boots. */
Test(daemon_guest_port, another_boot_again_and_again)
{
	Tvm *tvm = testing_assignment(&d, 0, ALIAS)->tvm;
	uint64_t reads;

	for (unsigned int i = 0; i <= TVM_BOOT_CHANGES; i++)
		expect_hello_of_boot(i);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	testing_guest_received(&d);
	reads = tvm->domain->reads_begun;
	for (unsigned int i = 100; i < 200; i++) {
		hello_of_boot(i);
		testing_turn(d.event);
	}
	testing_idle(d.event);
	cr_assert_str_eq(testing_guest_received(&d), "");
	cr_assert_eq(tvm->domain->reads_begun, reads);
	/* Nothing is believed of it, and nothing of the boot before. */
	testing_guest_event(SESSION_A, "Ready",
			    "\"name\":\"" ALIAS "\",\"address\":\"0000:05:00.0\"");
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	/* An agent that merely starts again. */
	expect_hello_of_boot(TVM_BOOT_CHANGES);
	/* That time is over, for one boot. */
	hello_of_boot(200);
	testing_idle(d.event);
	tvm->boot_changes[0] -= 31 * UINT64_C(1000000);
	expect_hello_of_boot(201);
	testing_idle(d.event);
	testing_guest_received(&d);
	hello_of_boot(202);
	testing_idle(d.event);
	cr_assert_null(strstr(testing_guest_received(&d), "Hello"));
}

Test(daemon_guest_port, too_many_requests)
{
	char text[512];

	hello(SESSION_A);
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_HOLD;
	for (int i = 0; i < 9; i++) {
		snprintf(text, sizeof(text),
			 "{\"session\":\"" SESSION_A "\",\"id\":%d,\"call\":\"TsmRequest\","
			 "\"parameters\":{\"scope\":\"info\",\"message\":\"YQ==\"}}|",
			 i);
		testing_guest_send(text);
	}
	cr_assert(testing_guest_gets(&d, "too many requests"));
	UNTIL(d.event, d.tsm->n_held == 8);
	fake_tsm_let_go(d.tsm);
	cr_assert(testing_guest_gets(&d, "\"id\":7"));
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_DONE;
	testing_guest_send(TSM_CALL(SESSION_A, "20"));
	cr_assert(testing_guest_gets(&d, "\"id\":20"));
}

Test(daemon_guest_port, refusals_of_the_tsm)
{
	hello(SESSION_A);
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_REFUSE;
	testing_guest_send(TSM_CALL(SESSION_A, "3"));
	cr_assert(testing_guest_gets(&d, "\"error\":\"TsmRejected\""));
}

/* What is kept may be of a provider that stops, and the agent would be told that there is none. */
Test(daemon_guest_port, request_goes_on_a_new_connection)
{
	size_t kept;

	hello(SESSION_A);
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_HOLD;
	provider_ask_again(d.tdid.providers[0]);
	testing_idle(d.event);
	kept = provider_kept_connections(d.tdid.providers[0]);
	cr_assert_gt(kept, 0);
	testing_guest_send(TSM_CALL(SESSION_A, "3"));
	UNTIL(d.event, d.tsm->n_held == 1);
	cr_assert_eq(provider_kept_connections(d.tdid.providers[0]), kept);
	fake_tsm_let_go(d.tsm);
	cr_assert(testing_guest_gets(&d, "\"reply\":\"TsmRequest\""));
}

Test(daemon_guest_port, provider_goes_away_within_a_request)
{
	hello(SESSION_A);
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_HOLD;
	testing_guest_send(TSM_CALL(SESSION_A, "3"));
	UNTIL(d.event, d.tsm->n_held == 1);
	fake_tsm_stop(d.tsm);
	cr_assert(testing_guest_gets(&d, "\"error\":\"TsmUnavailable\""));
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* An agent asks a bounded number of times; answers at once would use them up while it restarts. */
Test(daemon_guest_port, provider_that_is_away_is_said_late)
{
	uint64_t begin;

	hello(SESSION_A);
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	begin = now();
	testing_guest_send(TSM_CALL(SESSION_A, "3"));
	while (!strstr(testing_guest_received(&d), "\"error\":\"TsmUnavailable\"")) {
		cr_assert_lt(now() - begin, 9000);
		testing_turn(d.event);
	}
	cr_assert_geq(now() - begin, 4900);
	cr_assert_eq(d.tdid.guest_turns.in_flight, 0);
}

/* After a restart of tdid an agent may ask before the provider has been heard of. */
Test(daemon_guest_port, provider_that_comes_back_gets_what_waited)
{
	uint64_t begin;

	hello(SESSION_A);
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	begin = now();
	testing_guest_send(TSM_CALL(SESSION_A, "3"));
	testing_idle(d.event);
	cr_assert_eq(d.tdid.guest_turns.in_flight, 0);
	fake_tsm_start(d.tsm);
	cr_assert(testing_guest_gets(&d, "\"reply\":\"TsmRequest\",\"parameters\""));
	cr_assert_lt(now() - begin, 4000);
	cr_assert_eq(d.tdid.guest_turns.in_flight, 0);
}

static const char *held_message(size_t i)
{
	return json_get_string(varlink_call_parameters(d.tsm->held[i]), "message");
}

/* In their order; and what an agent had asked that is no more is not asked for it. */
Test(daemon_guest_port, provider_that_comes_back_after_the_agents_restart)
{
	hello(SESSION_A);
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	for (int i = 0; i < 8; i++)
		testing_guest_send(TSM_CALL(SESSION_A, "3"));
	testing_idle(d.event);
	hello(SESSION_B);
	testing_guest_send("{\"session\":\"" SESSION_B "\",\"id\":4,\"call\":\"TsmRequest\","
			   "\"parameters\":{\"scope\":\"info\",\"message\":\"MQ==\"}}|");
	testing_guest_send("{\"session\":\"" SESSION_B "\",\"id\":5,\"call\":\"TsmRequest\","
			   "\"parameters\":{\"scope\":\"info\",\"message\":\"Mg==\"}}|");
	testing_idle(d.event);
	hello(SESSION_B); /* is the same session */
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_HOLD;
	fake_tsm_start(d.tsm);
	UNTIL(d.event, d.tsm->n_held == 2);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_GUEST_REQUEST], 2);
	cr_assert_str_eq(held_message(0), "MQ==");
	cr_assert_str_eq(held_message(1), "Mg==");
	fake_tsm_let_go(d.tsm);
	cr_assert(testing_guest_gets(&d, "\"id\":5"));
	cr_assert_eq(d.tdid.guest_turns.in_flight, 0);
}

Test(daemon_guest_port, provider_that_comes_back_after_a_reset)
{
	hello(SESSION_A);
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	testing_guest_send(TSM_CALL(SESSION_A, "3"));
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	fake_tsm_start(d.tsm);
	UNTIL(d.event, provider_is_ready(d.tdid.providers[0]));
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_GUEST_REQUEST], 0);
	cr_assert_eq(d.tdid.guest_turns.in_flight, 0);
}

Test(daemon_guest_port, guest_that_does_not_read)
{
	unsigned int opens = fake_vmm.opens;

	testing_guest_hello(SESSION_A);
	for (int i = 0; i < 100000 && d.tdid.event; i++) {
		char text[512];

		snprintf(text, sizeof(text),
			 "{\"session\":\"%s\",\"id\":1,\"call\":\"Hello\",\"parameters\":{"
			 "\"protocol\":1,\"agent\":\"a\",\"boot_id\":\"b\"}}",
			 SESSION_A);
		if (send(fake_vmm.guest_fd, text, strlen(text) + 1, MSG_NOSIGNAL) < 0)
			break;
		testing_idle(d.event);
	}
	/* It was cut off; what it finds when it reads again is a new port. */
	testing_guest_received(&d);
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	UNTIL(d.event, fake_vmm.opens == opens + 1);
	testing_idle(d.event);
	hello(SESSION_B);
}

Test(daemon_guest_port, end_of_file_and_open_again)
{
	unsigned int opens = fake_vmm.opens;

	hello(SESSION_A);
	close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = -1;
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	UNTIL(d.event, fake_vmm.opens == opens + 1);
	testing_idle(d.event);
	/* A new port has no session yet. */
	testing_guest_received(&d);
	expect_ignored(TSM_CALL(SESSION_A, "1"));
	hello(SESSION_A);
}

/* The TVM ends while its port is being opened and a request is under way. */
Test(daemon_guest_port, end_of_the_tvm_within_an_open)
{
	hello(SESSION_A);
	d.tsm->answers[FAKE_GUEST_REQUEST] = FAKE_HOLD;
	testing_guest_send(TSM_CALL(SESSION_A, "3"));
	UNTIL(d.event, d.tsm->n_held == 1);
	fake_vmm.hold = true;
	close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = -1;
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	testing_idle(d.event);
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !registry_tvm_at(d.tdid.registry, 0));
	fake_tsm_stop(d.tsm);
	testing_idle(d.event);
	fake_vmm_let_go();
	testing_idle(d.event);
}

Test(daemon_guest_port, port_that_somebody_else_has)
{
	fake_vmm.open_result = -EBUSY;
	close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = -1;
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	testing_idle(d.event);
	fake_vmm.open_result = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	hello(SESSION_A);
}
