/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All of tdid between a fake libvirt, a fake TSM and a fake guest; also what comes of verbs
 * (director-operations.c).
 */
#include "testing-disk.h"
#include "testing-records.h"
#include "testing-tdi.h"

#include "daemon/director.h"
#include "daemon/idle-timer.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

TestSuite(daemon_director, .init = set_up, .fini = tear_down);

Test(daemon_director, from_attach_to_reclaim)
{
	d.idle_grace_ms = 1;
	testing_daemon_start(&d);
	run();
	cr_assert_eq(d.tsm->requester_id, 0x0500);
	cr_assert_eq(testing_records(&d, "assignment", "\"state\":\"running\""), 1);
	UNTIL(d.event, testing_assignment(&d, 0, ALIAS)->evidence);

	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert(testing_guest_gets(&d, "\"Withdrawn\""));
	cr_assert_eq(tdi()->generation, 0);
	UNTIL(d.event, d.tsm->calls[FAKE_DISCONNECT] == 1 && dsm()->state == DSM_IDLE);
	cr_assert_eq(testing_records(&d, "dsm", NULL), 0);

	/* Again: another generation of the same TDI. */
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	cr_assert_eq(tdi()->generation, 2);
}

#define DOUBLED 8

/* Whatever the grace: twice as long each time. */
Test(daemon_director, reclaim_that_is_refused_is_asked_for_less_and_less_often)
{
	Dsm *object;

	d.idle_grace_ms = 0;
	d.config = "\"rebind_backoff_ms\":3600000,";
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_REFUSE;
	testing_daemon_start(&d);
	lock();
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	UNTIL(d.event, d.tsm->calls[FAKE_DISCONNECT] > 0 && dsm()->state == DSM_CONNECTED);
	for (int turns = 0; turns < 100 && testing_turn(d.event); turns++)
		;
	cr_assert_eq(d.tsm->calls[FAKE_DISCONNECT], 1);
	/* The time is over. */
	object = registry_dsm_at(d.tdid.registry, 0);
	d.tdid.config->rebind_backoff_usec = 1;
	idle_timer_set(object);
	idle_timer_start(object);
	UNTIL(d.event, object->idle_tries == DOUBLED);
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_DONE;
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	/* What was refused before counts no more. */
	d.tdid.config->rebind_backoff_usec = 3600000 * UINT64_C(1000);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	UNTIL(d.event, dsm()->state == DSM_IDLE);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 2);
}

#define OTHER "ua-tdi-nic1"
#define WITH_OTHER                                                                                 \
	TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1") TESTING_HOSTDEV(OTHER, "2"))

/* What is known at once is written once, and before the verb. */
Test(daemon_director, records_of_one_step)
{
	unsigned int before;

	d.tsm->bind_when = "added";
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	fake_vmm_place(ALIAS, 5, 0, 0);
	fake_vmm_place(OTHER, 6, 0, 0);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	before = testing_records_lines(d.records);
	d.tsm->answers[FAKE_BIND] = FAKE_HOLD;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, OTHER, WITH_OTHER);
	UNTIL(d.event, d.tsm->n_held == 1);
	cr_assert_eq(testing_records(&d, "assignment", "\"state\":\"binding\""), 1);
	cr_assert_eq(testing_records_lines(d.records) - before, 2,
		     "the TDI's and the assignment's");
}

/* As after a restart of tdid, when the agent is faster than the provider. */
Test(daemon_director, guest_asks_while_the_provider_is_away)
{
	testing_daemon_start(&d);
	lock();
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	testing_guest_send(ACCEPT);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
	fake_tsm_start(d.tsm);
	UNTIL(d.event, d.tsm->calls[FAKE_GUEST_REQUEST] == 1);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	UNTIL(d.event, d.tdid.guest_turns.in_flight == 0);
}

Test(daemon_director, guests_word_alone_does_not_make_it_run)
{
	testing_daemon_start(&d);
	lock();
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"accepted\","
			    "\"step\":\"done\"");
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED);
}

/* Where the TSM cannot tell the host, the TVM's word is all there is; and it is enough to go on. */
Test(daemon_director, guests_word_where_the_tsm_cannot_tell)
{
	d.tsm->state_source = "guest";
	testing_daemon_start(&d);
	lock();
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":7,\"verdict\":\"accepted\","
			    "\"step\":\"done\"");
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_LOCKED, "of another bind");
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"accepted\","
			    "\"step\":\"done\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);

	/* All that the TSM says, at every Query, is that it is bound. */
	provider_ask_again(d.tdid.providers[0]);
	fake_tsm_set(d.tsm, tdi(), "config_locked", false);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	cr_assert_eq(testing_assignment(&d, 0, ALIAS)->tdi_state, TDISP_RUN);
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	cr_assert(testing_assignment(&d, 0, ALIAS)->tdi_state_known);
	cr_assert_eq(testing_assignment(&d, 0, ALIAS)->tdi_state, TDISP_RUN);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_B);
	testing_idle(d.event);
	fake_tsm_set(d.tsm, tdi(), "error", false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	/* Too late. */
	testing_guest_event(SESSION_B, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"accepted\","
			    "\"step\":\"done\"");
	testing_idle(d.event);
	cr_assert_neq(testing_assignment(&d, 0, ALIAS)->tdi_state, TDISP_RUN);
}

Test(daemon_director, state_while_the_provider_is_away)
{
	testing_daemon_start(&d);
	run();
	cr_assert(testing_assignment(&d, 0, ALIAS)->tdi_state_known);
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS)->tdi_state_known);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	fake_tsm_start(d.tsm);
	UNTIL(d.event, testing_assignment(&d, 0, ALIAS)->tdi_state_known);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
}

Test(daemon_director, rejected_is_unbound_then_detached)
{
	testing_daemon_start(&d);
	lock();
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"rejected\","
			    "\"step\":\"measurements\",\"reason\":\"index 4 differs\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
	UNTIL(d.event, fake_vmm.detaches == 1);
	cr_assert_str_eq(fake_vmm.detached, TVM0 " " ALIAS " 0000:41:00.1");
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason,
			 "at measurements: index 4 differs"));
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
}

/* What the guest says ends in lists and records that others read too. */
Test(daemon_director, guest_cannot_spoil_lists_and_records)
{
	char text[9000];
	_cleanup_(json_unrefp) json_object *marks = NULL;

	testing_daemon_start(&d);
	lock();
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text),
			 "\"name\":\"" ALIAS "\",\"generation\":1,\"driver\":\"%0*d\"", 8000, i);
		testing_guest_event(SESSION_A, "DriverBound", text);
		testing_idle(d.event);
	}
	/* A cut at a fixed number of bytes would fall into the middle of a character. */
	for (size_t i = 0; i < 4000; i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	strcpy(text + 4000, "");
	{
		_cleanup_free_ char *event = NULL;

		cr_assert_geq(asprintf(&event,
				       "\"name\":\"" ALIAS "\",\"generation\":1,\"at_usec\":1,"
				       "\"step\":\"x%s\"",
				       text),
			      0);
		testing_guest_event(SESSION_A, "Progress", event);
		testing_idle(d.event);
		free(event);
		cr_assert_geq(asprintf(&event,
				       "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":"
				       "\"rejected\",\"step\":\"%s\",\"reason\":\"%s\"",
				       text, text),
			      0);
		testing_guest_event(SESSION_A, "Verdict", event);
	}
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(timeline_to_json(&testing_assignment(&d, 0, ALIAS)->timeline, &marks), 0);
	cr_assert_lt(strlen(json_object_to_json_string(marks)), 32u * 1024);
	cr_assert_eq(testing_records(&d, "assignment", "\"state\":\"detaching\""), 1);
}

/* A guest that does not give the device back and boots anew gets it no more than before. */
Test(daemon_director, refused_device_over_a_guest_reset)
{
	d.require_tvm = "always";
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	testing_idle(d.event);
	testing_guest_send(
		"|{\"session\":\"" SESSION_B "\",\"id\":1,\"call\":\"Hello\","
		"\"parameters\":{\"protocol\":1,\"agent\":\"fake\",\"boot_id\":\"c\"}}|");
	testing_idle(d.event);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 0);
}

/* A boot takes its time; an agent that has said Hello does not. */
Test(daemon_director, guest_that_boots)
{
	d.guest_timeout_ms = 1;
	d.boot_timeout_ms = 60000;
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	for (int i = 0; i < 3; i++)
		testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

Test(daemon_director, guest_that_runs_without_an_agent)
{
	d.guest_timeout_ms = 1;
	d.boot_timeout_ms = 60000;
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT));
	testing_idle(d.event);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

Test(daemon_director, guest_that_never_gets_ready)
{
	d.guest_timeout_ms = 1;
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "did not get ready"));
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 0);
}

Test(daemon_director, another_tvms_device_is_not_bound)
{
	testing_daemon_start(&d);
	run();
	testing_daemon_run(&d, 1, WITH1);
	UNTIL(d.event, testing_state(&d, 1, ALIAS) == ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 1);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_RUNNING);
	cr_assert(strstr(testing_assignment(&d, 1, ALIAS)->reason, "still tvm0's"));
}

Test(daemon_director, error_of_the_tdi)
{
	testing_daemon_start(&d);
	run();
	fake_tsm_set(d.tsm, tdi(), "error", true);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
}

Test(daemon_director, run_of_nobodys_acceptance)
{
	testing_daemon_start(&d);
	lock();
	fake_tsm_set(d.tsm, tdi(), "run", false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_neq(tdi()->state[0], 'r');
}

Test(daemon_director, lost_session_takes_every_tdi)
{
	testing_daemon_start(&d);
	run();
	d.tsm->answers[FAKE_UNBIND] = FAKE_HOLD;
	fake_tsm_set(d.tsm, tdi(), "config_unlocked", false);
	fake_tsm_lose_dsm(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_UNBINDING);
	UNTIL(d.event, d.tsm->n_held == 1);
	fake_tsm_let_go(d.tsm);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
}

/* --- outcomes --- */

/* By hand, or by a kernel that forgets the function: what is reported names no bind any more. */
Test(daemon_director, bind_that_somebody_else_ends)
{
	testing_daemon_start(&d);
	run();
	tdi()->generation = 0;
	tdi()->tvm[0] = '\0';
	fake_tsm_set(d.tsm, tdi(), "config_unlocked", false);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason,
			 "does not hold this bind any more"));
}

/* A bind that is sent again is answered with what was done then; that may have been undone. */
Test(daemon_director, bind_under_way_while_the_provider_is_away)
{
	unsigned int queries;

	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_START_HOLD;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, d.tsm->n_held == 1);
	fake_tsm_stop(d.tsm);
	fake_tsm_start(d.tsm);
	UNTIL(d.event, d.tsm->calls[FAKE_BIND] == 2);
	queries = d.tsm->calls[FAKE_QUERY];
	fake_tsm_let_go(d.tsm);
	UNTIL(d.event, d.tsm->calls[FAKE_QUERY] > queries);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
}

Test(daemon_director, unknown_outcome_of_a_bind_is_quarantined)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	cr_assert_eq(testing_records(&d, "tdi", "\"quarantined\":true"), 1);
	/* The reason is on record too, for after a restart. */
	cr_assert_eq(testing_records(&d, "assignment", "it broke off"), 1);
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 1);
}

Test(daemon_director, refused_connect)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_REFUSE;
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason,
			 "device_connect 0000:41:00.0: tsm fake (emulated, no protection): "
			 "Refused: not so"));
	cr_assert_eq(dsm()->state, DSM_IDLE);
}

/* The next one to want the device is told why it is not to be had, and what to do. */
Test(daemon_director, quarantined_dsm)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_BREAK_OFF;
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(dsm()->state, DSM_QUARANTINED);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason,
			 "Whether the TSM has a session with it is not known: 'tdictl reclaim "
			 "0000:41:00.0' is the way out"));
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason,
			 "'tdictl reclaim 0000:41:00.0' is the way out"));
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT], 1);
}

Test(daemon_director, unwritable_record_stops_a_bind_but_not_an_unbind)
{
	struct rlimit limit = { .rlim_cur = 0, .rlim_max = RLIM_INFINITY };

	testing_daemon_start(&d);
	signal(SIGXFSZ, SIG_IGN);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "record"));
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 0);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);

	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_LOCKED);
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_FSIZE, &limit);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
}

/* There is room, so to look for it would not help. */
Test(daemon_director, record_that_is_not_synced_stops_a_bind)
{
	testing_daemon_start(&d);
	attach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	syncs_fail = true;
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "could not be synced"));
	cr_assert_eq(d.tsm->calls[FAKE_BIND], 0);
	syncs_fail = false;
}

/* --- the end of a TVM --- */

Test(daemon_director, end_of_qemu_unbinds_and_forgets)
{
	testing_daemon_start(&d);
	run();
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
	cr_assert_eq(tdi()->generation, 0);
	cr_assert_eq(testing_records(&d, "assignment", NULL), 0);
	cr_assert_eq(testing_records(&d, "tvm", NULL), 0);
}

Test(daemon_director, end_of_qemu_while_a_bind_is_under_way)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_START_HOLD;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_daemon_kill(&d, 0);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_BINDING);
	fake_tsm_let_go(d.tsm);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	cr_assert_eq(d.tsm->calls[FAKE_UNBIND], 1);
}

/* A read that libvirt answered before the domain's end, and that comes after it. */
Test(daemon_director, stale_read_after_the_stop)
{
	testing_daemon_start(&d);
	testing_daemon_run(&d, 0, NONE);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_idle(d.event);
	fake_vmm.hold = true;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	director_event(&d.tdid, &(EngineEvent){ .type = EVENT_TVM_STOPPING, .id = 0 }, NULL);
	fake_vmm_let_go();
	testing_idle(d.event);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	fake_vmm_dirty(TVM0, VMM_DIRTY_STOPPED, NULL);
	testing_idle(d.event);
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !registry_tvm_at(d.tdid.registry, 0));
}

/* --- detach --- */

Test(daemon_director, busy_detach_is_tried_again)
{
	testing_daemon_start(&d);
	fake_vmm.detach_result = VMM_DETACH_BUSY;
	d.tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	UNTIL(d.event, fake_vmm.detaches == 1);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_DETACHING);
	fake_vmm.detach_result = 0;
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	UNTIL(d.event, fake_vmm.detaches == 2);
	testing_idle(d.event);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_eq(fake_vmm.detaches, 2);
}

Test(daemon_director, refused_detach_is_held)
{
	testing_daemon_start(&d);
	fake_vmm.detach_result = VMM_DETACH_REFUSED;
	fake_vmm.detach_message = "not hot-unpluggable";
	d.tsm->answers[FAKE_BIND] = FAKE_REFUSE;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_HELD);
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "tdi_bind 0000:41:00.1"));
	cr_assert(strstr(testing_assignment(&d, 0, ALIAS)->reason, "not hot-unpluggable"));
}
