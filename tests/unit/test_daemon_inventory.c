/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Devices */
#include "testing-assignments.h"

#include "daemon/inventory.h"

static TestingCaller caller;

static void set_up_caller(void)
{
	set_up();
}

static void tear_down_caller(void)
{
	testing_caller_done(&caller);
	tear_down();
}

TestSuite(daemon_inventory, .init = set_up_caller, .fini = tear_down_caller);

/* All of the answer, from what is known at this moment. */
static const char *devices(void)
{
	unsigned int queries = d.tsm->calls[FAKE_QUERY];

	testing_call(&caller, "Devices", NULL);
	testing_answered(&caller, "ok {\"tsms\":[");
	cr_assert_eq(d.tsm->calls[FAKE_QUERY], queries, "nobody is asked");
	return caller.answer;
}

static void has(const char *text)
{
	cr_assert(strstr(devices(), text), "%s: %s", text, caller.answer);
}

Test(daemon_inventory, nothing_is_known_yet)
{
	fake_tsm_stop(d.tsm);
	testing_daemon_start(&d);
	has("{\"name\":\"fake\",\"title\":\"fake (no protection)\",\"protection\":false,"
	    "\"ready\":false,\"trouble\":\"");
	has("\"dsms\":[],\"devices\":[]");
}

Test(daemon_inventory, what_there_is)
{
	d.tsm->plain = "0000:41:00.7";
	testing_daemon_start(&d);
	has("\"ready\":true}");
	has("\"dsms\":[{\"dsm\":\"0000:41:00.0\",\"tsm\":\"fake (emulated, no "
	    "protection)\",\"state\":\"idle\","
	    "\"connected\":false,\"pinned\":false}]");
	has("{\"device\":\"0000:41:00.2\",\"dsm\":\"0000:41:00.0\",\"tsm\":\"fake (emulated, no "
	    "protection)\","
	    "\"is_virtual_function\":true,\"driver\":\"vfio-pci\",\"iommu_group\":7,"
	    "\"tdi_state\":\"config_unlocked\",\"quarantined\":false}");
	cr_assert_null(strstr(devices(), "0000:41:00.7"), "no TDI");
}

Test(daemon_inventory, whose_it_is)
{
	testing_daemon_start(&d);
	run();
	has("\"state\":\"connected\",\"connected\":true,\"pinned\":false");
	has("\"tdi_state\":\"run\",\"domain\":\"" TVM0
	    "\",\"domain_name\":\"tvm0\",\"name\":\"" ALIAS "\",\"quarantined\":false");
	detach();
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_RELEASED);
	cr_assert_null(strstr(devices(), "\"name\":\"" ALIAS "\",\"quarantined\""));
}

Test(daemon_inventory, quarantined)
{
	testing_daemon_start(&d);
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	attach();
	testing_guest_event(SESSION_A, "Ready", READY);
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_QUARANTINED);
	has("\"quarantined\":true,\"reason\":\"tdi_bind 0000:41:00.1");
}

/* Somebody connects it by hand: tdid has nothing to do with it, and it is seen all the same. */
Test(daemon_inventory, connected_by_somebody_else)
{
	d.tsm->connected = true;
	testing_daemon_start(&d);
	has("\"state\":\"idle\",\"connected\":true,\"pinned\":false");
	fake_tsm_lose_dsm(d.tsm);
	testing_idle(d.event);
	has("\"state\":\"idle\",\"connected\":false,\"pinned\":false");
}

Test(daemon_inventory, trouble)
{
	testing_daemon_start(&d);
	d.tsm->stalled = "tdi_bind hangs";
	fake_tsm_note(d.tsm, d.tsm->stalled);
	UNTIL(d.event, provider_trouble(d.tdid.providers[0]));
	testing_idle(d.event);
	has("\"ready\":true,\"trouble\":\"tdi_bind hangs\"}");
	fake_tsm_stop(d.tsm);
	UNTIL(d.event, !provider_is_ready(d.tdid.providers[0]));
	has("\"ready\":false,\"trouble\":\"");
	/* What was known stays known. */
	has("\"device\":\"0000:41:00.3\"");
}
