/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon/dsm-cause.c: who had a DSM connected, and why: as the callers are told, and on record. */
#include "testing-assignments.h"
#include "testing-records.h"

#include <string.h>
#include <unistd.h>

#define BY_DEVICE(tvm, name)                                                                       \
	"\"connected_by\":{\"domain\":\"" tvm "\",\"domain_name\":\"" name "\",\"name\":\"" ALIAS  \
	"\"}"

static TestingCaller caller;

static void tear_down_caller(void)
{
	testing_caller_done(&caller);
	tear_down();
}

TestSuite(daemon_dsm_cause, .init = set_up, .fini = tear_down_caller);

static void call(const char *method)
{
	testing_call(&caller, method, FAKE_TSM_DSM);
	testing_answered(&caller, "ok ");
}

static void restart(void)
{
	testing_daemon_stop(&d);
	testing_daemon_start(&d);
}

static const char *listed(void)
{
	testing_ask(&caller, "Devices", "{}", false);
	testing_answered(&caller, "\"dsms\":");
	return caller.answer;
}

static void expect(const char *text)
{
	const char *answer = listed();

	cr_assert_not_null(strstr(answer, text), "%s is not in %s", text, answer);
}

static void expect_none_of(const char *text)
{
	const char *answer = listed();

	cr_assert_null(strstr(answer, text), "%s is in %s", text, answer);
}

static const char *with_uid(const char *before, const char *after)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s%u%s", before, (unsigned int)getuid(), after);
	return text;
}

#define BY_REQUEST with_uid("\"connected_by\":{\"uid\":", "}")
#define PINNED_BY  with_uid("\"pinned\":true,\"pinned_by\":", ",")

Test(daemon_dsm_cause, request)
{
	testing_daemon_start(&d);
	expect_none_of("connected_by");
	call("Connect");
	expect(BY_REQUEST);
	expect(PINNED_BY);
	restart();
	expect(BY_REQUEST);
	expect(PINNED_BY);
	call("Reclaim");
	expect_none_of("connected_by");
	expect_none_of("pinned_by");
}

Test(daemon_dsm_cause, device_that_needed_it)
{
	testing_daemon_start(&d);
	lock();
	expect(BY_DEVICE(TVM0, "tvm0"));
	expect_none_of("pinned_by");
	restart();
	expect(BY_DEVICE(TVM0, "tvm0"));
	/* Its session is still that one's. */
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !testing_assignment(&d, 0, ALIAS));
	expect(BY_DEVICE(TVM0, "tvm0"));
	restart();
	expect(BY_DEVICE(TVM0, "tvm0"));
}

/* The session is the device's, and that it stays is the caller's. */
Test(daemon_dsm_cause, request_for_what_is_connected)
{
	testing_daemon_start(&d);
	lock();
	call("Connect");
	expect(BY_DEVICE(TVM0, "tvm0"));
	expect(PINNED_BY);
	restart();
	expect(PINNED_BY);
}

/* Its connect is there before its place in the guest is known. */
Test(daemon_dsm_cause, device_that_is_about_to_appear)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_CONNECT] = FAKE_START_HOLD;
	testing_daemon_run(&d, 0, NONE);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	fake_vmm.hold = true;
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_ADDED, ALIAS, WITH);
	testing_idle(d.event);
	fake_vmm_answer_one();
	UNTIL(d.event, d.tsm->n_held == 1);
	cr_assert_null(testing_assignment(&d, 0, ALIAS));
	expect(BY_DEVICE(TVM0, "tvm0"));
	cr_assert_eq(testing_records(&d, "dsm", "\"cause_name\":\"" ALIAS "\""), 1);
}

/* Asked for while the session before was being taken back. */
Test(daemon_dsm_cause, connect_that_waits_for_a_reclaim)
{
	d.idle_grace_ms = 1;
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_DISCONNECT] = FAKE_START_HOLD;
	lock();
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	UNTIL(d.event, d.tsm->n_held == 1);
	testing_call(&caller, "Connect", FAKE_TSM_DSM);
	UNTIL(d.event, dsm()->pinned);
	fake_tsm_let_go(d.tsm);
	testing_answered(&caller, "\"state\":\"connected\"");
	expect(BY_REQUEST);
}

/* As they were written until version 6, or spoiled: the session counts all the same. */
Test(daemon_dsm_cause, not_on_record)
{
	static const char *const members[] = {
		"",
		",\"cause_domain\":\"" TVM0 "\"",
		",\"cause_domain\":\"x\",\"cause_name\":\"" ALIAS "\"",
		",\"cause_uid\":-7,\"pinned_by\":-7",
		",\"cause_uid\":4294967296,\"pinned_by\":4294967296",
	};
	char text[512];

	d.tsm->connected = true;
	for (size_t i = 0; i < ELEMENTSOF(members); i++) {
		snprintf(text, sizeof(text),
			 "{\"kind\":\"dsm\",\"dsm\":\"" FAKE_TSM_DSM "\",\"tsm\":\"fake\","
			 "\"state\":\"connected\",\"operation\":0,\"pinned\":true%s}",
			 members[i]);
		testing_records_put(d.records, "dsm-" FAKE_TSM_DSM, text);
		testing_daemon_start(&d);
		cr_assert_eq(dsm()->state, DSM_CONNECTED);
		cr_assert(dsm()->pinned);
		expect_none_of("connected_by");
		expect_none_of("pinned_by");
		testing_daemon_stop(&d);
	}
}
