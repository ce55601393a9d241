/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-watch.h"

#include <errno.h>

#define WAIT_FOR(states, more) "{'domain':'tvm0','name':'" ALIAS "','states':[" states "]" more "}"
/* The same alias, another function. */
#define WITH2 TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2"))

static TestingWatch waiting;

static void begin(void)
{
	set_up();
	testing_daemon_start(&d);
}

static void finish(void)
{
	testing_watch_done(&waiting);
	tear_down();
}

TestSuite(daemon_wait_requests, .init = begin, .fini = finish);

static void wait_for(const char *parameters)
{
	testing_watch(&waiting, "Wait", 0, parameters);
}

static void expect(const char *parameters, const char *answer)
{
	wait_for(parameters);
	TESTING_ANSWERED(&waiting, answer);
}

static void expect_nothing(void)
{
	testing_idle(d.event);
	cr_assert_eq(waiting.answers, 0, "%s", waiting.log);
}

/* The domain runs, and the device is not in it yet. */
static void run_domain(void)
{
	testing_daemon_run(&d, 0, NONE);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	testing_idle(d.event);
}

static void plug(const char *xml)
{
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, xml);
}

static void reject(void)
{
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"rejected\","
			    "\"step\":\"measurements\",\"reason\":\"bad digest\"");
}

Test(daemon_wait_requests, bad_parameters)
{
	lock();
	expect(WAIT_FOR("", ""), "InvalidParameter {\"parameter\":\"states\"");
	expect(WAIT_FOR("'runing'", ""), "InvalidParameter");
	expect(WAIT_FOR("'running'", ",'timeout_ms':-1"),
	       "InvalidParameter {\"parameter\":\"timeout_ms\"");
	expect(WAIT_FOR("'running'", ",'timeout_ms':9223372036854775807"),
	       "InvalidParameter {\"parameter\":\"timeout_ms\"");
	expect("{'domain':'tvm0','states':['running']}",
	       "InvalidParameter {\"parameter\":\"name\"");
	expect("{'domain':'tvm5','name':'x','states':['running']}",
	       "NoSuchDomain {\"domain\":\"tvm5\"}");
}

Test(daemon_wait_requests, is_there)
{
	lock();
	expect(WAIT_FOR("'locked'", ""), "ok {\"assignment\":{");
	expect("{'domain':'" TVM0 "','name':'0000:41:00.1','states':['failed','locked']}",
	       "\"state\":\"locked\"");
}

/* Further on the way is as good. */
Test(daemon_wait_requests, has_been_there)
{
	lock();
	expect(WAIT_FOR("'attached'", ""), "\"state\":\"locked\"");
	expect(WAIT_FOR("'bound'", ""), "\"state\":\"locked\"");
	wait_for(WAIT_FOR("'running'", ""));
	expect_nothing();
	expect(WAIT_FOR("'unbinding'", ",'timeout_ms':0"), "TimedOut");
}

Test(daemon_wait_requests, until_running)
{
	lock();
	wait_for(WAIT_FOR("'running'", ",'timeout_ms':60000"));
	expect_nothing();
	testing_guest_send(ACCEPT);
	TESTING_ANSWERED(&waiting, "\"state\":\"running\"");
}

/* A state that lasts for no turn of the loop is seen all the same. */
Test(daemon_wait_requests, until_a_short_moment)
{
	run();
	wait_for(WAIT_FOR("'unbinding'", ""));
	expect_nothing();
	detach();
	TESTING_ANSWERED(&waiting, "\"state\":\"unbinding\"");
}

Test(daemon_wait_requests, for_one_that_is_not_there_yet)
{
	run_domain();
	wait_for(WAIT_FOR("'locked'", ""));
	expect_nothing();
	plug(WITH);
	cr_assert(testing_guest_gets(&d, "\"Offer\""));
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	expect_nothing();
	testing_guest_event(SESSION_A, "Ready", READY);
	TESTING_ANSWERED(&waiting, "\"state\":\"locked\"");
}

Test(daemon_wait_requests, for_one_that_never_comes)
{
	run_domain();
	expect(WAIT_FOR("'running'", ",'timeout_ms':30"), "TimedOut {\"domain\":\"tvm0\"");
	TESTING_ANSWERED(&waiting, "tvm0/" ALIAS ": it is not running in time: it is not there");
	/* And its domain ends. */
	wait_for(WAIT_FOR("'running'", ""));
	expect_nothing();
	testing_daemon_kill(&d, 0);
	fake_vmm_dirty(TVM0, VMM_DIRTY_STOPPED, NULL);
	TESTING_ANSWERED(&waiting, "NoSuchDomain");
}

Test(daemon_wait_requests, timeout)
{
	lock();
	expect(WAIT_FOR("'running','failed'", ",'timeout_ms':20"), "TimedOut");
	TESTING_ANSWERED(&waiting, "\"state\":\"locked\"");
	TESTING_ANSWERED(&waiting, "it is not running or failed in time: it is locked");
	expect(WAIT_FOR("'running'", ",'timeout_ms':0"), "TimedOut");
}

Test(daemon_wait_requests, fails_meanwhile)
{
	lock();
	wait_for(WAIT_FOR("'running'", ""));
	expect_nothing();
	reject();
	TESTING_ANSWERED(&waiting, "NotReached {\"assignment\":{\"domain\":\"" TVM0 "\",");
	cr_assert(strstr(waiting.log, "\"state\":\"detaching\"") &&
			  strstr(waiting.log, "bad digest"),
		  "%s", waiting.log);
	/* What it can still become may be waited for. */
	wait_for(WAIT_FOR("'failed'", ""));
	expect_nothing();
	detach();
	TESTING_ANSWERED(&waiting, "\"state\":\"failed\"");
	/* Called too late, it is told at once. */
	expect(WAIT_FOR("'running'", ""), "NotReached");
	cr_assert(strstr(waiting.log, "bad digest"), "%s", waiting.log);
	expect(WAIT_FOR("'released'", ""), "NotReached");
}

Test(daemon_wait_requests, held)
{
	lock();
	fake_vmm.detach_result = -EPERM;
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_HELD);
	expect(WAIT_FOR("'running'", ""), "\"state\":\"held\"");
	wait_for(WAIT_FOR("'failed','released'", ""));
	expect_nothing();
	detach();
	TESTING_ANSWERED(&waiting, "ok ");
}

Test(daemon_wait_requests, quarantined)
{
	run();
	wait_for(WAIT_FOR("'released','failed'", ""));
	d.tsm->answers[FAKE_UNBIND] = FAKE_BREAK_OFF;
	detach();
	TESTING_ANSWERED(&waiting, "NotReached");
	TESTING_ANSWERED(&waiting, "\"state\":\"quarantined\"");
	TESTING_ANSWERED(&waiting, "'tdictl clear' is the way out");
	expect(WAIT_FOR("'running'", ""), "NotReached");
}

Test(daemon_wait_requests, released_meanwhile_and_before)
{
	run();
	testing_watch(&waiting, "Wait", 0, WAIT_FOR("'held'", ""));
	expect_nothing();
	detach();
	TESTING_ANSWERED(&waiting, "NotReached");
	TESTING_ANSWERED(&waiting, "\"state\":\"released\"");
	expect(WAIT_FOR("'released'", ""), "\"state\":\"released\"");
	/* From now on it is one that is not there yet. */
	wait_for(WAIT_FOR("'locked'", ""));
	expect_nothing();
	plug(WITH);
	cr_assert(testing_guest_gets(&d, "\"Offer\""));
	testing_guest_event(SESSION_A, "Ready", READY);
	TESTING_ANSWERED(&waiting, "\"state\":\"locked\"");
}

Test(daemon_wait_requests, released_is_what_is_not_there)
{
	lock();
	expect("{'domain':'tvm0','name':'other','states':['released']}", "ok {}");
	expect("{'domain':'tvm5','name':'other','states':['released']}",
	       "NoSuchDomain {\"domain\":\"tvm5\"}");
	wait_for(WAIT_FOR("'released'", ""));
	expect_nothing();
	testing_daemon_kill(&d, 0);
	TESTING_ANSWERED(&waiting, "\"state\":\"released\"");
}

/* virsh attach-device has returned, and libvirt's event is still on its way. */
Test(daemon_wait_requests, attached_again_after_a_failure)
{
	lock();
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	fake_vmm_domain(TVM0, "tvm0", WITH);
	wait_for(WAIT_FOR("'waiting'", ""));
	TESTING_ANSWERED(&waiting, "\"state\":\"waiting\"");
}

/* The same, and libvirt was being read when the call came: that read is too old. */
Test(daemon_wait_requests, attached_again_while_it_is_read)
{
	lock();
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	testing_idle(d.event);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	testing_idle(d.event);
	wait_for(WAIT_FOR("'waiting'", ""));
	expect_nothing();
	fake_vmm_answer_one();
	expect_nothing();
	fake_vmm_domain(TVM0, "tvm0", WITH);
	fake_vmm_let_go();
	TESTING_ANSWERED(&waiting, "\"state\":\"waiting\"");
}

/* Two reads are under way, and the one that ends last began before the call. */
Test(daemon_wait_requests, attached_again_while_it_is_read_twice)
{
	lock();
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_FAILED);
	testing_idle(d.event);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	fake_vmm_dirty(TVM0, VMM_DIRTY_DEVICE_ADDED, "ua-tdi-other");
	fake_vmm_answer_one();
	wait_for(WAIT_FOR("'waiting'", ""));
	expect_nothing();
	fake_vmm_answer_one();
	expect_nothing();
	fake_vmm_domain(TVM0, "tvm0", WITH);
	fake_vmm_let_go();
	TESTING_ANSWERED(&waiting, "\"state\":\"waiting\"");
}

/* libvirt does not answer: what is known counts. */
Test(daemon_wait_requests, libvirt_is_away)
{
	lock();
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	fake_vmm.read_result = -ETIMEDOUT;
	expect(WAIT_FOR("'running'", ""), "NotReached");
	fake_vmm_disconnect();
	expect(WAIT_FOR("'running'", ""), "NotReached");
}

/* The read that would have to follow the one under way cannot be made any more. */
Test(daemon_wait_requests, libvirt_cannot_be_asked_again)
{
	lock();
	reject();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	testing_idle(d.event);
	fake_vmm.hold = true;
	fake_vmm_dirty(TVM0, VMM_DIRTY_CHANNEL, NULL);
	wait_for(WAIT_FOR("'running'", ""));
	expect_nothing();
	fake_vmm.read_refused = -ENOMEM;
	fake_vmm_let_go();
	TESTING_ANSWERED(&waiting, "NotReached");
}

/* The alias is found where it is now, whatever its binds are numbered. */
Test(daemon_wait_requests, same_alias_elsewhere)
{
	run();
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	wait_for(WAIT_FOR("'waiting'", ""));
	expect_nothing();
	plug(WITH2);
	TESTING_ANSWERED(&waiting, "\"device\":\"0000:41:00.2\"");
	testing_watch(&waiting, "Get", 0, "{'domain':'tvm0','name':'" ALIAS "'}");
	TESTING_ANSWERED(&waiting, "\"device\":\"0000:41:00.2\"");
}

Test(daemon_wait_requests, callers_that_go_away)
{
	lock();
	wait_for(WAIT_FOR("'running'", ",'timeout_ms':60000"));
	expect_nothing();
	testing_watch_done(&waiting);
	testing_idle(d.event);
	testing_guest_send(ACCEPT);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RUNNING);
	wait_for(WAIT_FOR("'failed'", ",'timeout_ms':60000"));
	expect_nothing();
	testing_daemon_stop(&d);
	UNTIL(d.event, waiting.answers);
	cr_assert(strstr(waiting.log, "lost"), "%s", waiting.log);
}
