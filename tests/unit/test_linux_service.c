/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The provider when all goes well, and what it refuses. */
#include "testing-linux-service.h"

TestSuite(linux_service, .init = set_up, .fini = tear_down);

/* --- without a companion, as on a platform whose VMM binds --- */

Test(linux_service, refuses_what_is_no_tee_io)
{
	start("");
	verb("Connect", "dsm", ABSENT);
	cr_assert_str_eq(last_error, "UnknownDevice");
	verb("Connect", "dsm", OTHER_PF);
	expect_error("NotTeeIo", "no tsm/connect");
	verb("Connect", "dsm", VF0);
	expect_error("Refused", "its DSM is at " PF);
	call("Connect",
	     OBJECT(J_STRING("operation", "s"), J_STRING("dsm", PF), J_INT("certificate_slot", 1)));
	expect_error("Refused", "certificate_slot");
	call("Connect", OBJECT(J_STRING("operation", "l"), J_STRING("dsm", PF),
			       J_STRING("link", "selective_ide")));
	expect_error("Refused", "link");
	for (size_t i = 0; i < 2; i++) {
		call(i == 0 ? "Lock" : "Start",
		     OBJECT(J_STRING("operation", "c"), J_STRING("tvm", TVM_A),
			    J_STRING("device", VF0), J_INT("generation", 1), J_INT("request", 1)));
		expect_error("Refused", "no LOCK or START");
		cr_assert_str_eq(json_get_string(last_reply, "operation"), "c");
	}
	call("GetEvidence", OBJECT(J_STRING("device", PF)));
	expect_error("Refused", "evidence");
	call("GuestRequest", OBJECT(J_STRING("tvm", TVM_A), J_STRING("scope", "info"),
				    J_STRING("message", "AAAA")));
	expect_error("Refused", "no function is bound");
}

Test(linux_service, no_tsm)
{
	rmdir(testing_path("sys/class/tsm/tsm0"));
	testing_tsm_pf_gone(PF);
	start("");
	verb("Connect", "dsm", PF);
	expect_error("NotTeeIo", "no TSM is registered");
	call("ListDevices", NULL);
	cr_assert_eq(json_object_array_length(json_get_array(last_reply, "devices")), 1);
}

Test(linux_service, no_bind_of_what_vfio_does_not_hold)
{
	start("");
	verb("Connect", "dsm", DISTANT_PF);
	expect_ok();
	bind_to(DISTANT_PF, TVM_A, 1);
	expect_error("Refused", "the driver igb holds it");
	bind_to(PF, TVM_A, 1);
	expect_error("Refused", "no driver holds it");
}

Test(linux_service, no_bind_without_qemu)
{
	start("");
	verb("Connect", "dsm", PF);
	bind_to(VF0, TVM_A, 1);
	expect_error("Refused", "libvirt runs no domain");
	expect_attribute(VF0, "bound", "");
	bind_to(VF0, TVM_A, INT64_C(1) << 32);
	expect_error("Refused", "generation");
}

Test(linux_service, no_disconnect_under_a_bound_tdi)
{
	start("");
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF1, "bound", "tsm0\n");
	verb("Disconnect", "dsm", PF);
	expect_error("DeviceBusy", VF1 " is bound, by somebody else");
	expect_attribute(PF, "connect", "tsm0");
}

Test(linux_service, errors_become_sentences)
{
	start("");
	testing_behave("errno 129");
	verb("Connect", "dsm", PF);
	expect_error("Refused", "certificates were rejected");
	testing_behave("errno 110");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "did not answer before the deadline");
	testing_behave("silent");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "tsm/connect says otherwise");
	testing_behave("");
	verb("Connect", "dsm", PF);
	expect_ok();
}

Test(linux_service, repeated_and_foreign_ids)
{
	json_object *p;

	start("");
	for (unsigned int i = 0; i < 2; i++) {
		p = OBJECT(J_STRING("operation", "same"), J_STRING("dsm", PF));
		call("Connect", p);
		expect_ok();
		testing_behave("errno 5");
	}
	call("Disconnect", OBJECT(J_STRING("operation", "same"), J_STRING("dsm", PF)));
	expect_error("Refused", "used for another call");
	call("Cancel", OBJECT(J_STRING("operation", "same")));
	cr_assert_not(json_get_bool(last_reply, "cancelled", true));
}

Test(linux_service, hanging_connect_is_killed)
{
	connect_deadline = 300;
	start("");
	testing_behave("hang");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "was killed");
	cr_assert_null(strstr(reason(), "reboot"));
	testing_behave("");
	verb("Connect", "dsm", DISTANT_PF);
	expect_ok();
}

static void refuse_to_kill(int pidfd)
{
}

Test(linux_service, child_that_cannot_be_killed)
{
	kill_hook = refuse_to_kill;
	connect_deadline = 300;
	kill_deadline = 100;
	start("");
	call("Query", NULL);
	watch();
	testing_behave("hang");
	verb("Connect", "dsm", PF);
	expect_error("OutcomeUnknown", "cannot be killed");
	cr_assert_not_null(strstr(reason(), "rebooted"));
	wait_seen("cannot be killed");
	call("Query", NULL);
	cr_assert_not_null(json_get_string(last_reply, "stalled"));
	verb("Connect", "dsm", DISTANT_PF);
	expect_error("Refused", "nothing was done");
	testing_behave("");
	testing_release();
	wait_seen("verbs are taken again");
	verb("Connect", "dsm", DISTANT_PF);
	expect_ok();
	call("Query", NULL);
	cr_assert_null(json_get_string(last_reply, "stalled"));
}

Test(linux_service, observed_bind_that_does_not_come)
{
	start(", \"binder\": \"observe\"");
	verb("Connect", "dsm", PF);
	bind_to(VF0, TVM_A, 1);
	expect_error("Refused", "has not bound it within 200 ms");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_ok();
}

Test(linux_service, observed_bind)
{
	start(", \"binder\": \"observe\", \"unbind_confirms\": true");
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 3);
	expect_ok();
	cr_assert_str_eq(json_get_string(last_reply, "state"), "config_locked");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_eq(last_error, "TvmBusy");
	bind_to(VF0, TVM_B, 4);
	expect_error("DeviceBusy", "unbind it first");
	cr_assert_str_eq(json_get_string(last_reply, "tvm"), TVM_A);
	verb("Unbind", "device", VF0);
	expect_error("OutcomeUnknown", "has not unbound it");
	testing_tsm_attribute(VF0, "bound", "\n");
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert(json_get_bool(last_reply, "freed", false));
}

/* The record of a bind outlives the process, and a bind that ended without us. */
Test(linux_service, restart_under_a_bind)
{
	start(", \"binder\": \"observe\"");
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	stop();
	testing_tsm_attribute(VF0, "bound", "\n");
	start(", \"binder\": \"observe\"");
	bind_observed(VF0, TVM_A, 9);
	expect_ok();
	stop();
	start(", \"binder\": \"observe\"");
	cr_assert_eq(json_get_int(queried("tdis", "device", VF0), "generation", 0), 9);
	bind_to(VF0, TVM_A, 9);
	expect_ok();
	testing_tsm_attribute(VF0, "bound", "\n");
	cr_assert_str_eq(state(VF0), "config_unlocked");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_ok();
}

Test(linux_service, written_behind_our_back)
{
	FILE *f;

	start("");
	watch();
	cr_assert_not(connected(PF));
	f = fopen(testing_path("sys/bus/pci/devices/" PF "/tsm/connect"), "w");
	fputs("tsm0\n", f);
	fclose(f);
	wait_seen("\"connected\": true");
	cr_assert(connected(PF));
}

Test(linux_service, functions_come_and_go)
{
	static const char message[] = "add@/x\0SUBSYSTEM=pci\0";

	start("");
	call("Query", NULL);
	watch();
	testing_tsm_pf(OTHER_PF);
	cr_assert_eq(send(uevents, message, sizeof(message) - 1, 0), sizeof(message) - 1);
	while (!watch_ended)
		turn();
	call("ListDevices", NULL);
	cr_assert_eq(json_object_array_length(json_get_array(last_reply, "devices")), 5);
}

Test(linux_service, capabilities_of_the_kernel_alone)
{
	json_object *c;

	start("");
	call("GetCapabilities", NULL);
	c = json_get_object(last_reply, "capabilities");
	cr_assert_str_eq(json_get_string(c, "platform"), "unknown");
	cr_assert_not(json_get_bool(c, "protection", true), "an unknown TSM is not trusted");
	cr_assert_eq(json_get_int(c, "concurrency", 0), 1);
	mkdir(testing_path("sys/class/tsm/tsm0/device"), 0755);
	cr_assert_eq(symlink("../../../bus/pci/drivers/ccp",
			     testing_path("sys/class/tsm/tsm0/device/driver")),
		     0);
	stop();
	start("");
	call("Query", NULL);
	call("GetCapabilities", NULL);
	c = json_get_object(last_reply, "capabilities");
	cr_assert_str_eq(json_get_string(c, "platform"), "sev-tio");
	cr_assert(json_get_bool(c, "protection", false));
}

Test(linux_service, connects_and_disconnects)
{
	start("");
	watch();
	verb("Connect", "dsm", PF);
	expect_ok();
	wait_seen("\"connected\": true");
	expect_attribute(PF, "connect", "tsm0");
	cr_assert(connected(PF));
	cr_assert_not(connected(DISTANT_PF));
	verb("Connect", "dsm", PF);
	expect_ok();
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert(json_get_bool(last_reply, "freed", false));
	cr_assert(json_get_bool(last_reply, "device_confirmed", false), "it never was bound");
	verb("Disconnect", "dsm", PF);
	expect_ok();
	cr_assert_not(connected(PF));
	verb("Disconnect", "dsm", PF);
	expect_ok();
}

/* --- with a companion --- */

Test(linux_service, companion_is_missing)
{
	char extra[256];

	snprintf(extra, sizeof(extra), ", \"companion\": {\"socket\": \"%s/companion\"}",
		 testing_root);
	start(extra);
	call("GetCapabilities", NULL);
	expect_error("Refused", "companion");
	call("PrepareTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_error("Refused", "cannot be asked");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", "x")));
	cr_assert_str_eq(last_error, "InvalidParameter");
	verb("Connect", "dsm", PF);
	expect_ok();
}

Test(linux_service, companion_speaks_for_the_tsm)
{
	json_object *c;

	start_with_companion("");
	c = json_get_object(last_reply, "capabilities");
	cr_assert_str_eq(json_get_string(c, "platform"), "emulated");
	cr_assert_eq(json_get_int(c, "concurrency", 0), 1);
	cr_assert_not_null(strstr(json_get_string(last_reply, "instance"), "behind"));
	call("PrepareTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_ok();
	cr_assert_str_eq(json_get_string(last_reply, "key_file"), "/run/key");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_eq(last_error, "UnknownTvm");
	call("GetEvidence", OBJECT(J_STRING("device", VF0)));
	expect_error("Refused", "the companion says no");
	verb("Connect", "dsm", PF);
	expect_ok();
	cr_assert_str_eq(json_get_string(last_reply, "certificate_digest"), "abcd");
}

Test(linux_service, companion_knows_the_states)
{
	start_with_companion("");
	watch();
	verb("Connect", "dsm", PF);
	companion_says("run", true);
	wait_seen("\"run\"");
	cr_assert_str_eq(state(VF0), "run");
	cr_assert_eq(json_get_int(queried("tdis", "device", VF0), "generation", 0), 7);
	/* The kernel has nothing to unbind, the TSM says that the device is not clean. */
	companion_says("error", false);
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert_not(json_get_bool(last_reply, "device_confirmed", true));
	companion_says("config_unlocked", false);
	verb("Unbind", "device", VF0);
	expect_ok();
	cr_assert(json_get_bool(last_reply, "device_confirmed", false));
	/* Without the companion nobody says so. */
	companion_says("run", true);
	wait_seen("\"run\"");
	stop_companion();
	wait_seen("companion ");
	verb("Unbind", "device", VF0);
	cr_assert_not(json_get_bool(last_reply, "device_confirmed", true));
}
