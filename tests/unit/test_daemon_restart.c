/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid and its provider go away and come back, at the worst moments. */
#include "testing-tdi.h"

#include <string.h>

TestSuite(daemon_restart, .init = set_up, .fini = tear_down);

/* --- providers --- */

Test(daemon_restart, provider_that_is_away_while_locked)
{
	testing_daemon_start(&d);
	lock();
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	testing_guest_send(ACCEPT);
	testing_idle(d.event);
	cr_assert_null(strstr(testing_guest_received(&d), "TsmUnavailable"), "not at once");
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);

	/* It has seen the acceptance while tdid could not see it. */
	tdi()->state = "run";
	tdi()->accepted = true;
	fake_tsm_start(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 1);
}

Test(daemon_restart, provider_that_has_forgotten)
{
	testing_daemon_start(&d);
	run();
	fake_tsm_stop(d.tsm);
	tdi()->state = "config_unlocked";
	tdi()->generation = 0;
	tdi()->tvm[0] = '\0';
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	fake_tsm_start(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "does not hold this bind"));
}

/* As after a bind by other hands; or tdid has lost its last records, and the generation with them.
 */
Test(daemon_restart, provider_that_holds_another_bind)
{
	testing_daemon_start(&d);
	run();
	fake_tsm_stop(d.tsm);
	tdi()->generation = 7;
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	fake_tsm_start(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "in another bind than this"));
	cr_assert_eq(tdi()->generation, 0, "nobody has accepted that one");
}

Test(daemon_restart, provider_that_vanishes_within_a_bind)
{
	char operation[20];

	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_HOLD;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, d.tsm->n_held == 1);
	snprintf(operation, sizeof(operation), "%016llx",
		 (unsigned long long)engine_assignment(d.tdid.engine, 0)->operation);
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	d.tsm->answers[FAKE_BIND] = FAKE_DONE;
	fake_tsm_start(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 2);
	cr_assert_str_eq(d.tsm->operation[FAKE_BIND], operation);
}

/* --- restarts --- */

static void restart(void)
{
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
}

Test(daemon_restart, restart_while_locked_then_run)
{
	testing_daemon_start(&d);
	lock();
	restart();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	cr_assert(testing_guest_gets(&d, "\"event\":\"Locked\""));
	testing_guest_send(ACCEPT);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 1);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

/* What was to move it on is not among the records any more: the TSM's session with its DSM does. */
Test(daemon_restart, restart_with_one_that_waits_for_its_turn)
{
	char command[256];

	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_daemon_stop(&d);
	snprintf(command, sizeof(command),
		 "sed -i 's/\"state\":\"waiting\"/\"state\":\"connecting\"/' %s/journal",
		 d.records);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(testing_records(&d, "assignment-", "\"state\":\"connecting\""), 1);
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

/* The TSM has noticed nothing, and libvirt's word went to nobody: the agent's Hello is enough. */
Test(daemon_restart, restart_while_the_guest_is_reset)
{
	testing_daemon_start(&d);
	run();
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	testing_guest_send(
		"|{\"session\":\"" SESSION_B "\",\"id\":1,\"call\":\"Hello\","
		"\"parameters\":{\"protocol\":1,\"agent\":\"fake\",\"boot_id\":\"c\"}}|");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
	testing_guest_event(SESSION_B, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(tdi()->generation, 2);
}

Test(daemon_restart, restart_while_a_bind_is_under_way)
{
	char operation[20];

	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_START_HOLD;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, d.tsm->n_held == 1);
	snprintf(operation, sizeof(operation), "%016llx",
		 (unsigned long long)engine_assignment(d.tdid.engine, 0)->operation);
	testing_daemon_stop(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_DONE;
	testing_daemon_start(&d);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_str_eq(d.tsm->operation[FAKE_BIND], operation);
	cr_assert_eq(d.tsm->requester_id, 0x0500);
}

/* The DSM has no session any more, hence no record; the unbind has to find its provider all the
 * same. */
Test(daemon_restart, restart_within_an_unbind_without_session)
{
	testing_daemon_start(&d);
	run();
	d.tsm->answers[FAKE_UNBIND] = FAKE_START_HOLD;
	fake_tsm_set(d.tsm, tdi(), "config_unlocked", false);
	fake_tsm_lose_dsm(d.tsm);
	UNTIL(d.event, d.tsm->n_held == 1 && dsm()->state == DSM_IDLE);
	testing_daemon_stop(&d);
	d.tsm->answers[FAKE_UNBIND] = FAKE_DONE;
	testing_daemon_start(&d);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_B);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 2);
}

Test(daemon_restart, restart_after_the_tvm_has_ended)
{
	testing_daemon_start(&d);
	run();
	testing_daemon_stop(&d);
	testing_daemon_kill(&d, 0);
	testing_daemon_start(&d);
	UNTIL(d.event, testing_records(&d, "tvm", NULL) == 0);
	cr_assert_eq(tdi()->generation, 0);
	cr_assert_eq(testing_records(&d, "assignment", NULL), 0);
}

Test(daemon_restart, restart_while_detaching_asks_again)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, fake_vmm.detaches == 1);
	restart();
	UNTIL(d.event, fake_vmm.detaches == 2);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "not so"));
}

/* Whatever was asked of libvirt is void then, and no event may come of it. */
Test(daemon_restart, stop_with_calls_in_flight_leaves_the_records)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	attach();
	testing_idle(d.event);
	fake_vmm.hold = true;
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_ATTACHED);
	fake_vmm_answer_one();
	UNTIL(d.event, fake_vmm.detaches == 1);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	close(fake_vmm.guest_fd);
	fake_vmm.guest_fd = -1;
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	testing_daemon_stop(&d);
	cr_assert_eq(testing_records(&d, "assignment", "\"state\":\"detaching\""), 1);
}

/* An alias may come back with another device while the first one's end is not known. */
Test(daemon_restart, two_devices_of_one_alias_keep_their_records)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	detach();
	testing_idle(d.event);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS,
			      TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")));
	UNTIL(d.event, testing_records(&d, "assignment", "\"state\":\"waiting\"") == 1);
	cr_assert_eq(testing_records(&d, "assignment", "\"state\":\"quarantined\""), 1);
}
