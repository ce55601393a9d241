/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-disk.h"
#include "testing-tdi.h"

#define OTHER "ua-tdi-nic1"
#define BOTH                                                                                       \
	TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1") TESTING_HOSTDEV(OTHER, "2"))

static void start(void)
{
	set_up();
	testing_daemon_start(&d);
}

TestSuite(daemon_director_records, .init = start, .fini = tear_down);

static Assignment *assignment(void)
{
	return testing_assignment(&d, 0, ALIAS);
}

/* To where a word of the guest's lets it be bound. */
static void wait_for_guest(void)
{
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
}

static void ready(void)
{
	testing_guest_event(SESSION_A, "Ready", READY);
	testing_idle(d.event);
}

/* A connect's end moves all that wait for it. */
Test(daemon_director_records, of_one_step_are_synced_once)
{
	unsigned int before;

	d.tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	testing_daemon_run(&d, 0, BOTH);
	UNTIL(d.event, d.tsm->n_held == 1);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_CONNECTING);
	EXPECT_STATE(&d, OTHER, ASSIGNMENT_CONNECTING);
	testing_idle(d.event);
	before = syncs;
	d.tsm->answers[FAKE_CONNECT] = FAKE_DONE;
	fake_tsm_let_go(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	EXPECT_STATE(&d, OTHER, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	cr_assert_eq(syncs, before + 1);
	cr_assert_eq(testing_records(&d, "assignment-", "\"state\":\"waiting\""), 2);
	cr_assert_eq(testing_records(&d, "dsm-", "\"state\":\"connected\""), 1);
}

/* The last mark is that of the state that the record says. */
Test(daemon_director_records, have_the_marks_of_their_step)
{
	wait_for_guest();
	ready();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "assignment-", "\"name\":\"locked\""), 1);
}

/* It is not known of any of them that it stays: the bind that they announce is not asked for. */
Test(daemon_director_records, that_are_not_synced)
{
	wait_for_guest();
	syncs_to_fail = 1;
	ready();
	cr_assert_eq(syncs_to_fail, 0);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 0);
}

/* Each by itself then: the TDI's has room. The TVM's is not in need of being written again. */
Test(daemon_director_records, of_which_one_finds_no_room)
{
	no_room_for = "assignment-" TVM0;
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	ready();
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 0);
	cr_assert_eq(testing_records(&d, "tdi-", "\"owner\":\"" TVM0), 1);
	cr_assert(assignment()->unrecorded);
	cr_assert_not(assignment()->tvm->unrecorded);
	no_room_for = NULL;
	detach();
	testing_idle(d.event);
	cr_assert_not(assignment()->unrecorded);
}

/* The TVM's that could not be written is, before its assignment's. */
Test(daemon_director_records, of_a_tvm_come_first)
{
	no_room_for = "tvm-" TVM0;
	attach();
	testing_idle(d.event);
	cr_assert(assignment()->tvm->unrecorded);
	cr_assert_eq(testing_records(&d, "assignment-", NULL), 0);
	no_room_for = NULL;
	detach();
	testing_idle(d.event);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_idle(d.event);
	cr_assert_not(assignment()->tvm->unrecorded);
	cr_assert_eq(testing_records(&d, "tvm-", NULL), 1);
	cr_assert_eq(testing_records(&d, "assignment-", NULL), 1);
}

/* The same of its TDI's: without it a bind would be nobody's after a restart. */
Test(daemon_director_records, of_a_tdi_come_first)
{
	no_room_for = "tdi-";
	attach();
	testing_idle(d.event);
	cr_assert(assignment()->tdi->unrecorded);
	cr_assert_eq(testing_records(&d, "tdi-", NULL), 0);
	cr_assert_eq(testing_records(&d, "assignment-", NULL), 0);
	no_room_for = NULL;
	ready();
	cr_assert_not(assignment()->tdi->unrecorded);
	cr_assert_eq(testing_records(&d, "tdi-", NULL), 1);
	cr_assert_eq(testing_records(&d, "assignment-", NULL), 1);
}

/* The disk may take their removal back: whose they were stays known. */
Test(daemon_director_records, of_an_end_that_is_not_synced)
{
	testing_daemon_run(&d, 0, BOTH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	EXPECT_STATE(&d, OTHER, ASSIGNMENT_WAITING);
	syncs_fail = true;
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, testing_records(&d, "assignment-", NULL) == 0);
	testing_idle(d.event);
	cr_assert_eq(testing_records(&d, "tvm-", NULL), 1);
	syncs_fail = false;
}
