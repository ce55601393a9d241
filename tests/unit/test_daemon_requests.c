/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TVM's requests for LOCK and START, carried to the TSM: once, over restarts, and refused. */
#include "testing-tdi.h"

#include <string.h>

TestSuite(daemon_requests, .init = set_up, .fini = tear_down);

static bool is_marked(const char *name)
{
	const Timeline *t = &testing_assignment(&d, 0, ALIAS)->timeline;

	for (size_t i = 0; i < t->n_marks; i++)
		if (strcmp(t->marks[i].name, name) == 0)
			return true;
	return false;
}

/* What is under way comes to its end, and the TSM is asked anew what it holds. */
static void ask_anew(void)
{
	unsigned int queries = d.tsm->calls[FAKE_QUERY];

	fake_tsm_note(d.tsm, "test");
	UNTIL(d.event, d.tsm->calls[FAKE_QUERY] > queries);
	testing_idle(d.event);
}

static void bound(void)
{
	d.tsm->tvm_asks_lock = true;
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_BOUND);
	cr_assert(testing_guest_gets(&d, "\"event\":\"Locked\""));
}

Test(daemon_requests, malformed_ones_are_not_heeded)
{
	testing_daemon_start(&d);
	lock();
	fake_tsm_ask(d.tsm, tdi(), "start", 0);
	fake_tsm_ask(d.tsm, tdi(), "start", -1);
	fake_tsm_ask(d.tsm, tdi(), "lock", 5);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_START] + d.tsm->calls[FAKE_LOCK], 0);
	tdi()->asks = NULL;
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
}

Test(daemon_requests, lock_and_start)
{
	bound();
	cr_assert_eq(d.tsm->calls[FAKE_LOCK], 0, "nobody has asked");
	fake_tsm_ask(d.tsm, tdi(), "lock", 11);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	ask_anew();
	cr_assert_eq(d.tsm->calls[FAKE_START], 0);
	fake_tsm_ask(d.tsm, tdi(), "start", 12);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	ask_anew();
	cr_assert_eq(d.tsm->calls[FAKE_LOCK], 1);
	cr_assert_eq(d.tsm->calls[FAKE_START], 1);
	cr_assert(is_marked("tdi_lock started"));
	cr_assert(is_marked("tdi_start started"));
	cr_assert_eq(testing_records(&d, "assignment", "\"request\":12"), 1);
}

Test(daemon_requests, refused_is_not_sent_again)
{
	testing_daemon_start(&d);
	lock();
	d.tsm->answers[FAKE_START] = FAKE_REFUSE;
	fake_tsm_ask(d.tsm, tdi(), "start", 12);
	UNTIL(d.event, is_marked("tdi_start refused"));
	d.tsm->answers[FAKE_START] = FAKE_DONE;
	ask_anew();
	cr_assert_eq(d.tsm->calls[FAKE_START], 1);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	ask_anew();
	cr_assert_eq(d.tsm->calls[FAKE_START], 1, "nor by the next tdid");
	fake_tsm_ask(d.tsm, tdi(), "start", 13);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
}

Test(daemon_requests, broken_off_ends_the_bind)
{
	testing_daemon_start(&d);
	lock();
	d.tsm->answers[FAKE_START] = FAKE_BREAK_OFF;
	fake_tsm_ask(d.tsm, tdi(), "start", 12);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "tdi_start 0000:41:00.1"));
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "it broke off"));
}

Test(daemon_requests, restart_while_one_is_under_way)
{
	char operation[20];

	testing_daemon_start(&d);
	lock();
	d.tsm->answers[FAKE_START] = FAKE_START_HOLD;
	fake_tsm_ask(d.tsm, tdi(), "start", 12);
	UNTIL(d.event, d.tsm->n_held == 1);
	snprintf(operation, sizeof(operation), "%016llx",
		 (unsigned long long)engine_assignment(d.tdid.engine, 0)->operation);
	testing_daemon_stop(&d);
	d.tsm->answers[FAKE_START] = FAKE_DONE;
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	cr_assert_eq(d.tsm->calls[FAKE_START], 2);
	cr_assert_str_eq(d.tsm->operation[FAKE_START], operation);
}

/* Unbind comes after it, whatever becomes of it. */
Test(daemon_requests, device_that_leaves_meanwhile)
{
	testing_daemon_start(&d);
	lock();
	d.tsm->answers[FAKE_START] = FAKE_START_HOLD;
	fake_tsm_ask(d.tsm, tdi(), "start", 12);
	UNTIL(d.event, d.tsm->n_held == 1);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_UNBINDING);
	testing_idle(d.event);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 0);
	fake_tsm_let_go(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(tdi()->generation, 0);
}

/* What it was for is being ended: it is not to be done in front of that. */
Test(daemon_requests, device_that_leaves_while_one_is_queued)
{
	testing_daemon_start(&d);
	lock();
	d.tsm->answers[FAKE_START] = FAKE_QUEUE_HOLD;
	fake_tsm_ask(d.tsm, tdi(), "start", 12);
	UNTIL(d.event, d.tsm->n_held == 1);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(d.tsm->cancels, 1);
	cr_assert_eq(tdi()->generation, 0);
	cr_assert_not(is_marked("tdi_start refused"));
}
