/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The provider when others hold the kernel's lock, after restarts, and when TSMs come and go. */
#include "testing-linux-service.h"

#include <sys/file.h>

TestSuite(linux_trouble, .init = set_up, .fini = tear_down);

/* --- the first look --- */

/* "Nothing is bound" before anything was read would have every TDI detached. */
Test(linux_trouble, restart_while_the_lock_is_held)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 9);
	expect_ok();
	stop();
	hold(DISTANT_PF, "connect");
	start(OBSERVE);
	call("Query", NULL);
	expect_error("Refused", "not known yet");
	call("GetCapabilities", NULL);
	expect_error("Refused", "not known yet");
	let_go(DISTANT_PF, "connect", "\n");
	do {
		send_uevent();
		call("GetCapabilities", NULL);
	} while (last_error[0]);
	cr_assert_eq(generation(VF0), 9);
}

Test(linux_trouble, predecessors_verb_is_not_over)
{
	int lock;

	mkdir(testing_path("state"), 0700);
	lock = open(testing_path("state/lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(flock(lock, LOCK_EX), 0);
	start("");
	call("Query", NULL);
	expect_error("Refused", "still inside the kernel");
	verb("Connect", "dsm", PF);
	expect_error("Refused", "nothing was done: a verb that this provider began");
	close(lock);
	do
		call("Query", NULL);
	while (last_error[0]);
	verb("Connect", "dsm", PF);
	expect_ok();
}

/* --- looks --- */

static unsigned int n_other;

static void on_other(VarlinkClient *c, const VarlinkReply *reply, void *userdata)
{
	cr_assert_eq(reply->status, 0);
	cr_assert_null(reply->error, "%s", reply->error);
	n_other++;
}

/* A Query of somebody else, while the look that answers it waits for the lock. */
static VarlinkClient *query_elsewhere(void)
{
	VarlinkClient *other = NULL;

	cr_assert_eq(varlink_client_connect(&other, event, config->socket, NULL, NULL), 0);
	cr_assert_eq(varlink_client_call(other, "io.tdid.Tsm.Query", NULL, 0, 0, on_other, NULL),
		     0);
	return other;
}

Test(linux_trouble, verb_that_is_refused_at_once_leaves_no_query_behind)
{
	VarlinkClient *other;

	start("");
	call("Query", NULL);
	hold(DISTANT_PF, "connect");
	other = query_elsewhere();
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	verb("Connect", "dsm", ABSENT);
	cr_assert_str_eq(last_error, "UnknownDevice");
	while (!n_other)
		turn();
	varlink_client_free(other);
}

Test(linux_trouble, query_does_not_wait_for_a_verb)
{
	VarlinkClient *other;

	start("");
	call("Query", NULL);
	hold(DISTANT_PF, "connect");
	other = query_elsewhere();
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	testing_behave("hang");
	send_call("Connect", OBJECT(J_STRING("operation", "long"), J_STRING("dsm", PF)));
	while (!n_other) {
		turn();
		cr_assert_neq(n_final, 2, "the verb was over first");
	}
	varlink_client_free(other);
}

/* What is under way is done, and what waits is not begun. */
Test(linux_trouble, told_to_stop_under_a_verb)
{
	int code;

	start("");
	call("Query", NULL);
	testing_behave("hang");
	send_call("Connect", OBJECT(J_STRING("operation", "long"), J_STRING("dsm", PF)));
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	send_call("Connect", OBJECT(J_STRING("operation", "next"), J_STRING("dsm", DISTANT_PF)));
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	service_stop(service);
	cr_assert_eq(sd_event_get_exit_code(event, &code), -ENODATA);
	testing_behave("");
	testing_release();
	while (sd_event_get_exit_code(event, &code) == -ENODATA)
		turn();
	cr_assert_eq(code, 0);
	expect_attribute(PF, "connect", "tsm0");
	expect_attribute(DISTANT_PF, "connect", "");
}

Test(linux_trouble, told_to_stop_twice)
{
	int code;

	start("");
	call("Query", NULL);
	testing_behave("hang");
	send_call("Connect", OBJECT(J_STRING("operation", "long"), J_STRING("dsm", PF)));
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	service_stop(service);
	service_stop(service);
	cr_assert_eq(sd_event_get_exit_code(event, &code), 0);
}

/* What happened while the look was under way is seen by the next one. */
Test(linux_trouble, events_do_not_restart_a_look)
{
	VarlinkClient *other;
	struct timespec pause = { .tv_nsec = 5000000 };
	unsigned int i;

	start("");
	call("Query", NULL);
	hold(DISTANT_PF, "connect");
	other = query_elsewhere();
	for (i = 0; i < 1000 && !n_other; i++) {
		send_uevent();
		nanosleep(&pause, NULL);
		while (sd_event_run(event, 0) > 0)
			;
	}
	cr_assert_lt(i, 1000, "no look comes to its end");
	varlink_client_free(other);
}

Test(linux_trouble, slow_dsm_hides_no_other)
{
	start("");
	call("Query", NULL);
	watch();
	hold(DISTANT_PF, "connect");
	testing_tsm_attribute(PF, "connect", "tsm0\n");
	wait_seen("\"connected\": true");
}

Test(linux_trouble, unreadable_attribute_hides_no_other)
{
	start("");
	testing_tsm_attribute(DISTANT_PF, "connect", "rubbish without an end");
	testing_tsm_attribute(PF, "connect", "tsm0\n");
	cr_assert(connected(PF));
}

/* A change that is seen after a verb is not put down to what a dropped look was for. */
Test(linux_trouble, reason_of_a_dropped_look)
{
	start("");
	call("Query", NULL);
	watch();
	hold(DISTANT_PF, "connect");
	send_uevent();
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	verb("Connect", "dsm", ABSENT);
	let_go(DISTANT_PF, "connect", "\n");
	wait_seen("seen after a verb");
}

/* --- functions --- */

Test(linux_trouble, unreadable_function_stays_bound)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 3);
	expect_ok();
	testing_attribute(VF0, "vendor", "rubbish\n");
	cr_assert_eq(generation(VF0), 3);
	verb("Disconnect", "dsm", PF);
	expect_error("DeviceBusy", VF0 " is bound");
	testing_attribute(VF0, "vendor", "0x8086\n");
	cr_assert_eq(generation(VF0), 3);
}

/* Its own function 0 has no DSM: the kernel says which one serves it. */
Test(linux_trouble, no_disconnect_under_what_a_switch_serves)
{
	start("");
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(OTHER_PF, "dsm", DISTANT_PF "\n");
	testing_tsm_attribute(OTHER_PF, "bound", "tsm0\n");
	verb("Connect", "dsm", DISTANT_PF);
	verb("Disconnect", "dsm", DISTANT_PF);
	expect_error("DeviceBusy", OTHER_PF " is bound");
	verb("Disconnect", "dsm", PF);
	expect_ok();
}

/* --- TSMs --- */

static void register_ccp(const char *tsm)
{
	mkdir(testing_path("sys/class/tsm/%s", tsm), 0755);
	mkdir(testing_path("sys/class/tsm/%s/device", tsm), 0755);
	cr_assert_eq(symlink("../../../bus/pci/drivers/ccp",
			     testing_path("sys/class/tsm/%s/device/driver", tsm)),
		     0);
}

Test(linux_trouble, the_tsm_that_connects_is_the_one_that_speaks)
{
	json_object *c;

	register_ccp("tsm0");
	mkdir(testing_path("sys/class/tsm/tsm1"), 0755);
	start(", \"tsm\": \"tsm1\"" OBSERVE);
	call("GetCapabilities", NULL);
	c = json_get_object(last_reply, "capabilities");
	cr_assert_str_eq(json_get_string(c, "platform"), "unknown");
	cr_assert_not(json_get_bool(c, "protection", true));
	cr_assert_not_null(strstr(json_get_string(last_reply, "instance"), "tsm1"));
	/* A session of the other one is not ours: not to bind by, and not to end. */
	testing_tsm_attribute(PF, "connect", "tsm0\n");
	cr_assert_not(connected(PF));
	bind_to(VF0, TVM_A, 3);
	expect_error("InvalidState", "connected with tsm0");
	verb("Disconnect", "dsm", PF);
	expect_error("InvalidState", "connected with tsm0");
	expect_attribute(PF, "connect", "tsm0");
}

Test(linux_trouble, tsm_that_was_gone_is_another_one)
{
	char first[256];

	start("");
	call("Query", NULL);
	snprintf(first, sizeof(first), "%s", json_get_string(last_reply, "instance"));
	watch();
	testing_tsm_again("tsm0");
	send_uevent();
	while (!watch_ended)
		turn();
	call("Query", NULL);
	cr_assert_str_neq(json_get_string(last_reply, "instance"), first);
}

Test(linux_trouble, other_capabilities_end_the_watch)
{
	start("");
	call("Query", NULL);
	watch();
	register_ccp("tsm0");
	send_uevent();
	while (!watch_ended)
		turn();
	wait_seen("capabilities are others");
}

Test(linux_trouble, no_tsm_is_said)
{
	const char *stalled;

	start("");
	call("Query", NULL);
	cr_assert_null(json_get_string(last_reply, "stalled"));
	watch();
	rmdir(testing_path("sys/class/tsm/tsm0"));
	send_uevent();
	wait_seen("no TSM is registered");
	while (!watch_ended)
		turn();
	call("Query", NULL);
	stalled = json_get_string(last_reply, "stalled");
	cr_assert_not_null(strstr(stalled, "/sys/class/tsm is empty"));
	verb("Connect", "dsm", PF);
	expect_error("Refused", "no TSM is registered");
	verb("Unbind", "device", VF0);
	expect_ok();
	watcher = varlink_client_free(watcher);
	json_object_put(seen);
	seen = json_object_new_array();
	watch();
	mkdir(testing_path("sys/class/tsm/tsm0"), 0755);
	send_uevent();
	wait_seen("tsm0 is registered");
	call("Query", NULL);
	cr_assert_null(json_get_string(last_reply, "stalled"));
}

Test(linux_trouble, configured_tsm_is_missing)
{
	start(", \"tsm\": \"tsm7\"");
	call("Query", NULL);
	cr_assert_not_null(strstr(json_get_string(last_reply, "stalled"), "tsm7"));
	verb("Connect", "dsm", PF);
	expect_error("Refused", "tsm0 is");
}

/* --- a companion whose Monitor is faster than its Query --- */

Test(linux_trouble, change_that_overtakes_an_answer)
{
	unsigned int before;

	start_with_companion("");
	watch();
	verb("Connect", "dsm", PF);
	companion_says("run", true);
	wait_seen("\"run\"");
	companion_holds = true;
	before = n_final;
	send_call("Unbind", OBJECT(J_STRING("operation", "u"), J_STRING("device", VF0)));
	while (!companion_query)
		turn();
	companion_says("config_unlocked", false);
	wait_seen("config_unlocked");
	companion_answers_late("run", true);
	while (n_final == before)
		turn();
	expect_ok();
	cr_assert(json_get_bool(last_reply, "device_confirmed", false));
	cr_assert_str_eq(state(VF0), "config_unlocked");
}

Test(linux_trouble, change_while_the_companion_comes_up)
{
	companion_holds = true;
	begin_with_companion("");
	while (!companion_query)
		turn();
	companion_says("run", true);
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	companion_answers_late("config_unlocked", false);
	do
		call("GetCapabilities", NULL);
	while (last_error[0]);
	cr_assert_str_eq(state(VF0), "run");
}
