/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connect and Reclaim: through all of tdid to a fake TSM and back. */
#include "testing-assignments.h"

#include <signal.h>
#include <sys/resource.h>

#define DSM FAKE_TSM_DSM

static TestingCaller one, two;

static void set_up_callers(void)
{
	set_up();
}

static void tear_down_callers(void)
{
	testing_caller_done(&one);
	testing_caller_done(&two);
	tear_down();
}

TestSuite(daemon_dsm_requests, .init = set_up_callers, .fini = tear_down_callers);

static void expect(const char *method, const char *device, const char *text)
{
	testing_call(&one, method, device);
	testing_answered(&one, text);
}

/* Settled for good: nothing comes although everything due has been done. */
static void still_waits(const TestingCaller *caller)
{
	testing_idle(d.event);
	cr_assert_null(caller->answer, "%s", caller->answer);
}

static void connect_it(void)
{
	testing_daemon_start(&d);
	expect("Connect", DSM, "ok {\"dsm\":{\"dsm\":\"" DSM "\"");
	cr_assert(strstr(one.answer, "\"state\":\"connected\",\"connected\":true,\"pinned\":true"),
		  "%s", one.answer);
	cr_assert(strstr(one.answer, "\"tsm\":\"fake (emulated, no protection)\""));
	cr_assert_null(strstr(one.answer, "reason"));
}

/* --- what is refused --- */

Test(daemon_dsm_requests, addresses_that_are_none)
{
	testing_daemon_start(&d);
	expect("Connect", NULL, "InvalidParameter");
	expect("Connect", "", "InvalidParameter {\"parameter\":\"dsm\"}");
	expect("Connect", "41:00.0", "InvalidParameter");
	expect("Reclaim", "0000:41:00.8", "InvalidParameter");
}

Test(daemon_dsm_requests, devices_that_nobody_serves)
{
	testing_daemon_start(&d);
	expect("Connect", "0000:42:00.0", "NoSuchDevice {\"device\":\"0000:42:00.0\"}");
	expect("Reclaim", "0000:42:00.1", "NoSuchDevice {\"device\":\"0000:42:00.1\"}");
}

Test(daemon_dsm_requests, other_functions_of_a_dsm)
{
	d.tsm->plain = "0000:43:00.5";
	testing_daemon_start(&d);
	expect("Connect", "0000:41:00.2",
	       "Refused {\"object\":\"0000:41:00.2\",\"message\":\"0000:41:00.2: device_connect: "
	       "it is "
	       "a function of the DSM " DSM ". Name that one\"}");
	/* Listed, and no TDI; not listed, and of the same device. */
	expect("Reclaim", "0000:43:00.5", "device_reclaim: it is a function of the DSM " DSM);
	expect("Connect", "0000:41:00.7", "device_connect: it is a function of the DSM " DSM);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
}

Test(daemon_dsm_requests, provider_that_has_never_answered)
{
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	expect("Connect", DSM, "Refused");
	cr_assert(strstr(one.answer, "what serves it is not known while tsm fake"));
	cr_assert(strstr(one.answer, "Try again when it is"));
}

Test(daemon_dsm_requests, provider_that_is_away)
{
	testing_daemon_start(&d);
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	expect("Connect", DSM, "device_connect: tsm fake (emulated, no protection) is not ready: ");
	expect("Reclaim", DSM, "device_reclaim: tsm fake (emulated, no protection) is not ready: ");
	cr_assert_null(dsm());
}

Test(daemon_dsm_requests, reclaim_under_a_bind)
{
	connect_it();
	run();
	expect("Reclaim", DSM,
	       "Refused {\"object\":\"" DSM "\",\"message\":\"" DSM ": device_reclaim: tvm0/" ALIAS
	       " (0000:41:00.1) is running. Detach it first\"}");
	cr_assert(dsm()->pinned, "the pin stays");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0);

	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_UNBINDING);
	expect("Reclaim", DSM, "is unbinding. Try again when that is over");
	UNTIL(d.event, d.tsm->n_held == 1);
	fake_tsm_let_go(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	expect("Reclaim", DSM, "\"state\":\"idle\",\"connected\":false,\"pinned\":false");
}

Test(daemon_dsm_requests, reclaim_under_an_unknown_bind)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	expect("Reclaim", DSM,
	       "is quarantined: what the TSM holds of it is not known. 'tdictl clear "
	       "0000:41:00.1' first");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0);
}

Test(daemon_dsm_requests, reclaim_while_connecting)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	testing_call(&two, "Connect", DSM);
	UNTIL(d.event, d.tsm->n_held == 1);
	expect("Reclaim", DSM, "device_reclaim: device_connect of it is under way. Try again");
	cr_assert(dsm()->pinned);
	fake_tsm_let_go(d.tsm);
	testing_answered(&two, "\"state\":\"connected\"");
}

/* By hand, in sysfs. */
Test(daemon_dsm_requests, reclaim_of_another_ones_session)
{
	d.tsm->connected = true;
	testing_daemon_start(&d);
	expect("Reclaim", DSM, "device_reclaim: its session is not tdid's");
	cr_assert(strstr(one.answer, "connect it here first"));
	cr_assert(d.tsm->connected);
}

Test(daemon_dsm_requests, refused_by_the_tsm)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_REFUSE;
	expect("Connect", DSM,
	       "Refused {\"object\":\"" DSM "\",\"message\":\"device_connect " DSM
	       ": tsm fake (emulated, no protection): Refused: not so. It is not connected. Look "
	       "into that");
	cr_assert_eq(dsm()->state, DSM_IDLE);
	cr_assert_eq(testing_records(&d, "dsm", NULL), 0);

	d.tsm->answers[FAKE_CONNECT] = FAKE_DONE;
	expect("Connect", DSM, "\"state\":\"connected\"");
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_REFUSE;
	expect("Reclaim", DSM, "Refused: not so. It is still connected");
	cr_assert(!dsm()->pinned);
}

Test(daemon_dsm_requests, record_that_cannot_be_written)
{
	struct rlimit limit = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY };

	testing_daemon_start(&d);
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	expect("Connect", DSM,
	       "\"message\":\"device_connect " DSM ": its record could not be written");
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
	cr_assert_eq(dsm()->state, DSM_IDLE);
}

/* --- what is done --- */

Test(daemon_dsm_requests, connect_is_kept_until_reclaim)
{
	d.idle_grace_ms = 1;
	connect_it();
	cr_assert_eq(testing_records(&d, "dsm", "\"pinned\":true"), 1);
	expect("Connect", DSM, "\"pinned\":true");
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1, "it was connected");
	/* Idleness is no reason, neither before nor after a bind. */
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	while (sd_event_run(d.event, 20000) > 0)
		;
	cr_assert_eq(dsm()->state, DSM_CONNECTED);
	expect("Reclaim", DSM, "\"state\":\"idle\",\"connected\":false,\"pinned\":false");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
	cr_assert_eq(testing_records(&d, "dsm", NULL), 0);
	/* And of one that has nothing to be taken back. */
	expect("Reclaim", DSM, "\"state\":\"idle\"");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
}

Test(daemon_dsm_requests, reclaim_of_what_was_never_connected)
{
	testing_daemon_start(&d);
	expect("Reclaim", DSM, "ok {\"dsm\":{\"dsm\":\"" DSM "\"");
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0);
}

Test(daemon_dsm_requests, all_that_wait_are_answered)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	testing_call(&one, "Connect", DSM);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_call(&two, "Connect", DSM);
	still_waits(&one);
	still_waits(&two);
	fake_tsm_let_go(d.tsm);
	testing_answered(&one, "\"state\":\"connected\"");
	testing_answered(&two, "\"state\":\"connected\"");
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

Test(daemon_dsm_requests, caller_that_goes_away_loses_nothing)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	testing_call(&one, "Connect", DSM);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_caller_done(&one);
	testing_idle(d.event);
	fake_tsm_let_go(d.tsm);
	UNTIL(d.event, dsm()->state == DSM_CONNECTED);
	cr_assert(dsm()->pinned);
}

Test(daemon_dsm_requests, connect_while_reclaiming)
{
	connect_it();
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_START_HOLD;
	testing_call(&one, "Reclaim", DSM);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_call(&two, "Connect", DSM);
	still_waits(&one);
	still_waits(&two);
	fake_tsm_let_go(d.tsm);
	testing_answered(&one, "ok {\"dsm\"");
	testing_answered(&two, "\"state\":\"connected\",\"connected\":true,\"pinned\":true");
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 2);
}

Test(daemon_dsm_requests, connect_that_is_taken_back)
{
	connect_it();
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_START_HOLD;
	testing_call(&one, "Reclaim", DSM);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_call(&two, "Connect", DSM);
	still_waits(&two);
	testing_call(&one, "Reclaim", DSM);
	still_waits(&one);
	fake_tsm_let_go(d.tsm);
	testing_answered(&one, "\"state\":\"idle\"");
	testing_answered(&two, "another request has taken it back. Ask again");
}

Test(daemon_dsm_requests, lost_session_is_not_fought)
{
	connect_it();
	fake_tsm_lose_dsm(d.tsm);
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	cr_assert(!dsm()->pinned);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

/* --- quarantine --- */

static void quarantine(void)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_BREAK_OFF;
	expect("Connect", DSM,
	       "OutcomeUnknown: it broke off. Whether the TSM has a session with it is not known: "
	       "'tdictl reclaim " DSM "' is the way out. It is quarantined now");
	cr_assert_eq(dsm()->state, DSM_QUARANTINED);
	cr_assert(!dsm()->pinned);
	d.tsm->answers[FAKE_CONNECT] = FAKE_DONE;
}

Test(daemon_dsm_requests, quarantine_is_left_by_a_confirmed_reclaim)
{
	quarantine();
	expect("Connect", DSM, "device_connect: it is quarantined (device_connect " DSM);
	cr_assert(strstr(one.answer, "Reclaim it first"));
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_REFUSE;
	expect("Reclaim", DSM,
	       "Refused: not so. Whether the TSM has a session with it is not known: 'tdictl "
	       "reclaim " DSM "' is the way out. It is quarantined now");
	cr_assert_eq(dsm()->state, DSM_QUARANTINED);
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_DONE;
	expect("Reclaim", DSM, "\"state\":\"idle\",\"connected\":false");
	cr_assert_null(strstr(one.answer, "reason"));
	cr_assert(d.tsm->forced, "what hangs has to give way");
	expect("Connect", DSM, "\"state\":\"connected\"");
	expect("Reclaim", DSM, "\"state\":\"idle\"");
	cr_assert_not(d.tsm->forced);
}

/* --- restarts --- */

Test(daemon_dsm_requests, pin_outlives_a_restart)
{
	d.idle_grace_ms = 1;
	connect_it();
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	while (sd_event_run(d.event, 20000) > 0)
		;
	cr_assert_eq(dsm()->state, DSM_CONNECTED);
	cr_assert(dsm()->pinned);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 0);
}

Test(daemon_dsm_requests, restart_within_a_reclaim_from_quarantine)
{
	char operation[20];

	quarantine();
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_START_HOLD;
	testing_call(&one, "Reclaim", DSM);
	UNTIL(d.event, d.tsm->n_held == 1);
	cr_assert_eq(testing_records(&d, "dsm", "\"doubtful\":true"), 1);
	snprintf(operation, sizeof(operation), "%016llx", (unsigned long long)dsm()->operation);
	testing_daemon_stop(&d);
	testing_answered(&one, "lost");
	/* Refused this time: the quarantine is what it was. */
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_REFUSE;
	testing_daemon_start(&d);
	UNTIL(d.event, dsm()->state == DSM_QUARANTINED);
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 2, "sent again");
	cr_assert(d.tsm->forced, "by the same id it has to be the same");
	cr_assert_eq(testing_records(&d, "dsm", "\"state\":\"quarantined\""), 1);
	cr_assert_eq(testing_records(&d, "dsm", "not so"), 1, "and why");
	testing_daemon_stop(&d);
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_DONE;
	testing_daemon_start(&d);
	expect("Connect", DSM, "it is quarantined (device_reclaim " DSM);
	expect("Reclaim", DSM, "\"state\":\"idle\"");
	cr_assert_neq(strcmp(d.tsm->operation[FAKE_DISCONNECT], operation), 0);
}
