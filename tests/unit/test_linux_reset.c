/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * service-reset.c, and kernel-reset.c in its child: unbinds that nobody confirms. The function is
 * reset, and who can be asked is asked again.
 */
#include "testing-linux-service.h"

#define RESETS ", \"reset_unconfirmed\": true"

#include <sys/syscall.h>

TestSuite(linux_reset, .init = set_up, .fini = tear_down);

/* Of the last Unbind. */
static void expect_reason(const char *words)
{
	cr_assert(strstr(reason(), words), "%s", reason());
}

static void expect_resets(const char *resets)
{
	cr_assert_str_eq(testing_resets(), resets);
}

/* As tdictl clear has it done. */
static bool clear_confirms(const char *device)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", ++last_id);
	call("Unbind",
	     OBJECT(J_STRING("operation", id), J_STRING("device", device), J_BOOL("force", true)));
	expect_ok();
	return json_get_bool(last_reply, "device_confirmed", false);
}

/* A bind by the VMM that is over: nobody has heard of the end. */
static void bind_that_ended(const char *device)
{
	testing_tsm_attribute(device, "bound", "tsm0\n");
	call("Query", NULL);
	testing_tsm_attribute(device, "bound", "\n");
}

Test(linux_reset, none_where_stop_was_confirmed)
{
	testing_resettable(VF0, "flr");
	start(RESETS);
	verb("Connect", "dsm", PF);
	cr_assert(is_confirmed(VF0), "there was no bind");
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	cr_assert(is_confirmed(VF0));
	cr_assert_null(json_get_string(last_reply, "reason"));
	expect_resets("");
}

/* Which driver has it by then the kernel alone knows, and that may not come back. */
Test(linux_reset, none_unless_it_is_asked_for)
{
	testing_resettable(VF0, "flr");
	start("");
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	cr_assert_not(is_confirmed(VF0));
	expect_reason("reset_unconfirmed in tsm-linux.conf");
	expect_resets("");
}

Test(linux_reset, confirms_in_the_place_of_the_device)
{
	testing_resettable(VF0, "flr");
	start(RESETS);
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	cr_assert(is_confirmed(VF0));
	expect_reason("by a reset (FLR)");
	expect_reason("nobody here can ask");
	expect_resets(VF0 " flr;");
	cr_assert(is_confirmed(VF0), "it stays so");
	expect_resets(VF0 " flr;");
}

Test(linux_reset, confirms_what_the_vmm_has_unbound)
{
	testing_resettable(VF0, "flr bus");
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 3);
	expect_ok();
	testing_tsm_attribute(VF0, "bound", "\n");
	cr_assert(is_confirmed(VF0));
	expect_resets(VF0 " flr;");
}

Test(linux_reset, that_is_not_there_or_fails_and_one_that_comes_later)
{
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_that_ended(VF0);
	cr_assert_not(is_confirmed(VF0));
	expect_reason("the kernel offers no reset");
	testing_resettable(VF0, "device_specific flr");
	cr_assert_not(is_confirmed(VF0));
	expect_reason("reset_method is \"device_specific flr\"");
	expect_resets("");
	testing_resettable(VF0, "flr");
	testing_reset_behave("errno 25");
	cr_assert_not(is_confirmed(VF0));
	expect_reason("has not come back");
	testing_reset_behave("errno 5");
	cr_assert_not(is_confirmed(VF0));
	expect_reason(strerror(5));
	testing_reset_behave("");
	cr_assert(is_confirmed(VF0));
	expect_resets(VF0 " flr;" VF0 " flr;" VF0 " flr;");
}

Test(linux_reset, not_under_a_driver_of_the_host)
{
	testing_resettable(VF0, "flr");
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_that_ended(VF0);
	testing_give(VF0, "igbvf");
	cr_assert_not(is_confirmed(VF0));
	expect_reason("driver igbvf uses it");
	expect_resets("");
	testing_take_driver(VF0);
	cr_assert(is_confirmed(VF0));
}

Test(linux_reset, not_under_a_driver_that_got_it_during_the_unbind)
{
	testing_resettable(VF0, "flr");
	start(RESETS);
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	testing_write(testing_path("given_back"), "", 0);
	cr_assert_not(is_confirmed(VF0));
	expect_reason("driver igbvf uses it");
	expect_resets("");
}

/* Which may be another's than the TVM whose bind it was. */
Test(linux_reset, not_of_what_is_attached_when_it_is_cleared)
{
	testing_resettable(VF0, "flr");
	start(RESETS);
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	testing_reset_behave("errno 5");
	cr_assert_not(is_confirmed(VF0));
	testing_reset_behave("");
	mkdir(testing_path("proc/4242"), 0755);
	mkdir(testing_path("proc/4242/fd"), 0755);
	cr_assert_eq(symlink("/dev/vfio/17", testing_path("proc/4242/fd/6")), 0);
	cr_assert_not(clear_confirms(VF0));
	expect_reason("attached to a VM: process 4242");
	expect_resets(VF0 " flr;");
	/* The bind that this clear ends is the VM's own. */
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	call("Query", NULL);
	cr_assert(clear_confirms(VF0));
	expect_resets(VF0 " flr;" VF0 " flr;");
	/* Where nothing has it open any more, it goes on as ever. */
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_reset_behave("errno 5");
	cr_assert_not(is_confirmed(VF0));
	testing_reset_behave("");
	cr_assert_eq(remove(testing_path("proc/4242/fd/6")), 0);
	cr_assert(clear_confirms(VF0));
}

/* What the module says of an unbind is more than what its TSM's driver is known for. */
Test(linux_reset, module_that_has_heard_of_no_stop)
{
	start(", \"unbind_confirms\": true" RESETS);
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	cr_assert_not(is_confirmed(VF0));
	cr_assert_not(is_confirmed(VF0), "nothing has happened since");
	testing_resettable(VF0, "flr");
	cr_assert(is_confirmed(VF0));
	bind_that_ended(VF0);
	cr_assert(is_confirmed(VF0), "the driver's unbind has returned");
	expect_resets(VF0 " flr;");
}

/* The unbind is not known to be done then, and nobody says again what the module has said. */
Test(linux_reset, module_that_has_heard_of_no_stop_and_a_look_that_fails)
{
	start(", \"unbind_confirms\": true" RESETS);
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	testing_write(testing_path("unreadable"), "", 0);
	verb("Unbind", "device", VF0);
	expect_error("OutcomeUnknown", "could not be read");
	testing_tsm_attribute(VF0, "bound", "\n");
	cr_assert_not(is_confirmed(VF0));
	testing_resettable(VF0, "flr");
	cr_assert(is_confirmed(VF0));
	expect_resets(VF0 " flr;");
}

Test(linux_reset, not_while_the_tsm_holds_it)
{
	testing_resettable(VF0, "flr");
	start_with_companion(RESETS);
	watch();
	verb("Connect", "dsm", PF);
	companion_says("run", true);
	wait_seen("\"run\"");
	cr_assert_not(is_confirmed(VF0));
	cr_assert_not(json_get_bool(last_reply, "freed", true));
	expect_reason("its TSM still holds it");
	expect_resets("");
}

/* --- function 0 --- */

Test(linux_reset, physical_function_with_others)
{
	testing_resettable(PF, "flr");
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_that_ended(PF);
	cr_assert_not(is_confirmed(PF));
	expect_reason("its virtual function " VF0 ", which vfio-pci uses");
	/* Somebody's bind that this provider has no record of. */
	testing_take_driver(VF0);
	testing_take_driver(VF1);
	testing_tsm_attribute(VF1, "bound", "tsm0\n");
	cr_assert_not(is_confirmed(PF));
	expect_reason("would take " VF1 " to ERROR, which is bound");
	testing_tsm_attribute(VF1, "bound", "rubbish without an end");
	cr_assert_not(is_confirmed(PF));
	expect_reason("whether " VF1 " is bound cannot be read");
	expect_resets("");
	testing_tsm_attribute(VF1, "bound", "\n");
	cr_assert(is_confirmed(PF));
	expect_reason("session may be gone");
	expect_resets(PF " flr;");
}

Test(linux_reset, physical_function_while_another_is_recorded)
{
	testing_resettable(PF, "flr");
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_that_ended(PF);
	bind_observed(VF0, TVM_A, 3);
	expect_ok();
	cr_assert_not(is_confirmed(PF));
	expect_reason("would take " VF0 " to ERROR, which is bound");
	expect_resets("");
}

/* --- the companion's word --- */

Test(linux_reset, companion_is_asked_again)
{
	testing_resettable(VF0, "flr");
	start_with_companion(RESETS);
	verb("Connect", "dsm", PF);
	companion_state = "error";
	cr_assert_not(is_confirmed(VF0));
	expect_reason("its TSM still says error");
	expect_resets(VF0 " flr;");
	cr_assert_eq(remove(testing_path("resets")), 0);
	companion_scrubs = true;
	cr_assert(is_confirmed(VF0));
	expect_reason("the TSM says that it is unlocked");
}

Test(linux_reset, companion_that_cannot_be_asked)
{
	testing_resettable(VF0, "flr");
	start_with_companion(RESETS);
	watch();
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	stop_companion();
	wait_seen("companion ");
	cr_assert_not(is_confirmed(VF0));
	expect_reason("cannot be asked");
	expect_resets(VF0 " flr;");
}

/* The session's end is no STOP that anybody has heard of. */
Test(linux_reset, session_that_is_ended_while_the_companion_is_silent)
{
	start_with_companion(RESETS);
	watch();
	verb("Connect", "dsm", PF);
	companion_says("run", true);
	wait_seen("\"run\"");
	companion_holds = true;
	cr_assert_not(clear_confirms(VF0));
	expect_attribute(PF, "connect", "");
	companion_query = varlink_call_unref(companion_query);
}

/* --- in between --- */

/* What is under way goes on meanwhile. */
static void wait_resets(const char *resets)
{
	unsigned int before = n_final;

	while (strcmp(testing_resets(), resets) != 0) {
		sd_event_run(event, 20000);
		cr_assert_eq(n_final, before, "answered: %s", reason());
	}
}

Test(linux_reset, provider_that_ends_in_between)
{
	testing_resettable(VF0, "flr");
	testing_reset_behave("hang");
	start(RESETS);
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	send_call("Unbind", OBJECT(J_STRING("operation", "u"), J_STRING("device", VF0)));
	wait_resets(VF0 " flr;");
	stop();
	testing_reset_behave("errno 5");
	start(RESETS);
	do
		call("Query", NULL);
	while (last_error[0]);
	cr_assert_not(is_confirmed(VF0), "it is still known");
	testing_reset_behave("");
	cr_assert(is_confirmed(VF0));
	expect_resets(VF0 " flr;" VF0 " flr;" VF0 " flr;");
}

Test(linux_reset, that_is_late)
{
	testing_resettable(VF0, "flr");
	testing_reset_behave("hang");
	reset_deadline = 100;
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_that_ended(VF0);
	cr_assert_not(is_confirmed(VF0));
	expect_reason("did not return within 1100 ms and was killed");
}

static void kill_nothing(int pidfd)
{
}

/* Inside the kernel a reset cannot be killed, and holds none of what other DSMs need. */
Test(linux_reset, that_hangs)
{
	testing_resettable(VF0, "flr");
	testing_reset_behave("hang");
	reset_deadline = kill_deadline = 100;
	kill_hook = kill_nothing;
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_that_ended(VF0);
	cr_assert_not(is_confirmed(VF0));
	expect_reason("within 1100 ms and hangs in the kernel");
	expect_reason("does not come back");
	cr_assert_not(is_confirmed(VF0));
	expect_reason("the reset of " VF0 " still hangs");
	verb("Connect", "dsm", DISTANT_PF);
	expect_ok();
	bind_to(VF1, TVM_A, 3);
	expect_error("Refused", "a reset of " VF0 " hangs");
	verb("Connect", "dsm", PF);
	expect_error("Refused", "a reset of " VF0 " hangs");
	testing_reset_behave("");
	testing_release();
	do
		verb("Connect", "dsm", PF);
	while (last_error[0]);
	expect_resets(VF0 " flr;");
	cr_assert(is_confirmed(VF0));
}

static int spared = -1;

static void spare(int pidfd)
{
	spared = dup(pidfd);
}

static const char *methods_of(const char *device)
{
	static char text[64];
	FILE *f = fopen(testing_path("sys/bus/pci/devices/%s/reset_method", device), "r");

	cr_assert(f && fgets(text, sizeof(text), f));
	fclose(f);
	return text;
}

/* As the kernel has it: who was killed inside it dies where it comes out. */
Test(linux_reset, that_hangs_and_dies)
{
	testing_resettable(VF0, "flr bus");
	testing_reset_behave("hang");
	reset_deadline = kill_deadline = 100;
	kill_hook = spare;
	start(OBSERVE RESETS);
	verb("Connect", "dsm", PF);
	bind_that_ended(VF0);
	cr_assert_not(is_confirmed(VF0));
	expect_reason("hangs in the kernel");
	cr_assert_str_eq(methods_of(VF0), "flr\n");
	cr_assert_eq(syscall(SYS_pidfd_send_signal, spared, SIGKILL, NULL, 0), 0);
	close(spared);
	do
		verb("Connect", "dsm", PF);
	while (last_error[0]);
	cr_assert_str_eq(methods_of(VF0), "flr bus\n");
}
