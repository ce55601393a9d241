/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two providers that serve one device: nobody gets it, and all else goes on. */
#include "testing-assignments.h"

#define MINE "0000:41:00.1"

static FakeTsm *rival;
static TestingCaller caller;
static char rival_socket[96], rival_entry[192];

static void set_up_rival(void)
{
	set_up();
	snprintf(rival_socket, sizeof(rival_socket), "%s/rival", d.directory);
	snprintf(rival_entry, sizeof(rival_entry),
		 ",{\"name\":\"rival\",\"socket\":\"%s\",\"uid\":%u}", rival_socket,
		 (unsigned int)getuid());
	d.tsms = rival_entry;
	rival = fake_tsm_new(d.event, rival_socket);
	rival->only_device = MINE;
	rival->dsm_text = "0000:42:00.0";
}

static void tear_down_rival(void)
{
	testing_caller_done(&caller);
	if (d.tdid.event)
		testing_daemon_stop(&d);
	rival = fake_tsm_free(rival);
	tear_down();
}

TestSuite(daemon_rivals, .init = set_up_rival, .fini = tear_down_rival);

static void start(void)
{
	testing_daemon_start(&d);
	UNTIL(d.event, tdid_providers_ready(&d.tdid));
}

Test(daemon_rivals, device_that_two_serve)
{
	const Assignment *a;

	start();
	fake_vmm_place(ALIAS, 5, 0, 0);
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1")));
	/* It is taken out of the domain, and was never bound. */
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	a = testing_assignment(&d, 0, ALIAS);
	cr_assert(strstr(a->reason, "tsm fake and tsm rival both serve it"), "%s", a->reason);
	cr_assert(strstr(a->reason, "tdid.conf"), "%s", a->reason);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT] + rival->calls[FAKE_CONNECT], 0);
}

Test(daemon_rivals, device_of_one_of_them)
{
	start();
	fake_vmm_place(ALIAS, 5, 0, 0);
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")));
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
}

Test(daemon_rivals, dsm_that_two_serve)
{
	rival->dsm_text = NULL;
	start();
	testing_call(&caller, "Connect", FAKE_TSM_DSM);
	testing_answered(&caller, "Refused");
	cr_assert(strstr(caller.answer, "tsm fake and tsm rival both serve it"), "%s",
		  caller.answer);
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "2")));
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	cr_assert_eq(d.tsm->calls[FAKE_CONNECT] + rival->calls[FAKE_CONNECT], 0);
}

/* What runs already is not taken away by whoever comes later. */
Test(daemon_rivals, rival_that_comes_later)
{
	fake_tsm_stop(rival);
	testing_daemon_start(&d);
	fake_vmm_place(ALIAS, 5, 0, 0);
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV(ALIAS, "1")));
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_WAITING);
	fake_tsm_start(rival);
	UNTIL(d.event, tdid_providers_ready(&d.tdid));
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING);
	fake_vmm_dirty(TVM0, VMM_DIRTY_REBOOT, NULL);
	testing_idle(d.event);
	cr_assert_eq(testing_state(&d, 0, ALIAS), ASSIGNMENT_WAITING, "its guest was reset");
}
