/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Binds: what is recorded, what the VMM does by itself, and how they end. */
#include "testing-linux-service.h"

TestSuite(linux_binds, .init = set_up, .fini = tear_down);

/* --- records --- */

/* It was written before the act, which never came. */
Test(linux_binds, record_of_a_bind_that_is_not)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 9);
	stop();
	testing_tsm_attribute(VF0, "bound", "\n");
	hold(DISTANT_PF, "connect");
	start(OBSERVE);
	bind_to(VF0, TVM_A, 9);
	expect_error("Refused", "has not bound it");
	stop();
	start(OBSERVE);
	bind_to(VF0, TVM_B, 10);
	expect_error("Refused", "has not bound it");
}

Test(linux_binds, record_that_cannot_be_held_against_the_kernel)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 9);
	expect_ok();
	call("Query", NULL);
	hold(VF0, "bound");
	bind_to(VF0, TVM_A, 9);
	expect_error("OutcomeUnknown", "cannot be read");
	bind_to(VF0, TVM_B, 10);
	expect_error("Refused", "cannot be read");
	let_go(VF0, "bound", "tsm0\n");
	bind_to(VF0, TVM_A, 9);
	expect_ok();
	bind_to(VF0, TVM_B, 10);
	expect_error("DeviceBusy", "unbind it first");
	cr_assert_eq(generation(VF0), 9);
}

/* --- unbinds that nobody confirms --- */

Test(linux_binds, unconfirmed_stays_unconfirmed)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	cr_assert(is_confirmed(VF0), "there was no bind");
	bind_observed(VF0, TVM_A, 3);
	testing_tsm_attribute(VF0, "bound", "\n");
	cr_assert_not(is_confirmed(VF0));
	cr_assert_not(is_confirmed(VF0), "nothing has happened since");
	stop();
	start(OBSERVE);
	cr_assert_not(is_confirmed(VF0), "nor by starting anew");
}

/* A look finds that the VMM has let go, before anybody asks to unbind. */
Test(linux_binds, unconfirmed_though_a_look_was_first)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 3);
	testing_tsm_attribute(VF0, "bound", "\n");
	cr_assert_eq(generation(VF0), -1);
	cr_assert_not(is_confirmed(VF0));
}

Test(linux_binds, module_hands_on_what_the_tsm_says)
{
	start("");
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	cr_assert(is_confirmed(VF0));
	cr_assert(is_confirmed(VF0));
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("unconfirmed"), "", 0);
	cr_assert_not(is_confirmed(VF0));
	remove(testing_path("unconfirmed"));
	cr_assert_not(is_confirmed(VF0), "there was nothing to hear");
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	cr_assert(is_confirmed(VF0));
	/* The VFIO driver lets go of it while the module is asked. */
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	testing_write(testing_path("too_late"), "", 0);
	cr_assert_not(is_confirmed(VF0));
	remove(testing_path("too_late"));
	/* Or before. */
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	call("Query", NULL);
	testing_tsm_attribute(VF0, "bound", "\n");
	cr_assert_not(is_confirmed(VF0));
}

/* --- VMMs that bind --- */

static void write_domain(const char *uuid, pid_t pid)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "<domstatus pid='%d'><domain type='kvm'><name>a</name><uuid>%s</uuid>"
			 "</domain></domstatus>\n",
			 (int)pid, uuid);

	testing_write(testing_path("run/libvirt/qemu/a.xml"), text, (size_t)n);
	mkdir(testing_path("proc/%d", (int)pid), 0755);
	mkdir(testing_path("proc/%d/fd", (int)pid), 0755);
	n = snprintf(text, sizeof(text), "qemu%c-uuid%c%s%c", 0, 0, uuid, 0);
	testing_write(testing_path("proc/%d/cmdline", (int)pid), text, (size_t)n);
	n = snprintf(text, sizeof(text),
		     "%d (qemu) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n",
		     (int)pid);
	testing_write(testing_path("proc/%d/stat", (int)pid), text, (size_t)n);
}

Test(linux_binds, vmm_that_bound_before_it_was_asked)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	testing_tsm_attribute(VF0, "bound", "tsm0\n");
	bind_to(VF0, TVM_A, 3);
	expect_error("DeviceBusy", "by somebody else");
	write_domain(TVM_A, getpid());
	bind_to(VF0, TVM_A, 3);
	expect_error("DeviceBusy", "by somebody else");
	cr_assert_eq(symlink("/dev/vfio/17", testing_path("proc/%d/fd/5", (int)getpid())), 0);
	bind_to(VF0, TVM_A, 3);
	expect_ok();
	cr_assert_str_eq(json_get_string(last_reply, "state"), "config_locked");
	cr_assert_eq(generation(VF0), 3);
	bind_to(VF1, TVM_A, 4);
	expect_error("Refused", "has not bound it");
}

/* Answers one reader of the attribute; the next one waits. */
static pid_t serve_once(const char *bdf, const char *name)
{
	char path[PATH_MAX], next[PATH_MAX];
	pid_t child;
	int fd;

	hold(bdf, name);
	snprintf(path, sizeof(path), "%s",
		 testing_path("sys/bus/pci/devices/%s/tsm/%s", bdf, name));
	snprintf(next, sizeof(next), "%s", testing_path("next"));
	cr_assert_eq(mkfifo(next, 0600), 0);
	child = fork();
	if (child == 0) {
		fd = open(path, O_WRONLY);
		if (rename(next, path) < 0)
			_exit(1);
		_exit(write(fd, "\n", 1) == 1 ? 0 : 1);
	}
	return child;
}

/* The kernel's lock is held by the VMM's bind when the time for it is over. */
Test(linux_binds, vmm_that_binds_when_time_is_over)
{
	pid_t child;

	start(OBSERVE);
	verb("Connect", "dsm", PF);
	call("Query", NULL);
	child = serve_once(VF0, "bound");
	bind_to(VF0, TVM_A, 3);
	expect_error("OutcomeUnknown", "may be under way");
	waitpid(child, NULL, 0);
	let_go(VF0, "bound", "tsm0\n");
	cr_assert_eq(generation(VF0), 3);
}

/* QEMU closes the device and VFIO keeps it: no event tells. */
Test(linux_binds, vmm_that_unbinds_without_a_word)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 3);
	expect_ok();
	call("Query", NULL);
	watch();
	testing_tsm_attribute(VF0, "bound", "\n");
	wait_seen("config_unlocked");
}

/* What could not be read is tried again after 5 s only; the bind is looked after as before. */
Test(linux_binds, unreadable_function_delays_no_other)
{
	struct timespec begin, end;

	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 3);
	expect_ok();
	testing_tsm_attribute(DISTANT_PF, "connect", "rubbish without an end");
	stop();
	start(OBSERVE);
	watch();
	cr_assert_eq(generation(VF0), 3);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	testing_tsm_attribute(VF0, "bound", "\n");
	wait_seen("config_unlocked");
	clock_gettime(CLOCK_MONOTONIC, &end);
	cr_assert_lt(end.tv_sec - begin.tv_sec, 4);
}

/* --- TVMs --- */

Test(linux_binds, release_after_a_bind_that_ended_by_itself)
{
	start(OBSERVE);
	verb("Connect", "dsm", PF);
	bind_observed(VF0, TVM_A, 3);
	call("Query", NULL);
	testing_tsm_attribute(VF0, "bound", "\n");
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	expect_ok();
}

Test(linux_binds, no_release_before_a_bind_that_waits)
{
	VarlinkClient *other = NULL;
	json_object *p;

	start(OBSERVE);
	call("Query", NULL);
	testing_behave("hang");
	send_call("Connect", OBJECT(J_STRING("operation", "long"), J_STRING("dsm", PF)));
	cr_assert_eq(varlink_client_connect(&other, event, config->socket, NULL, NULL), 0);
	p = OBJECT(J_STRING("operation", "waits"), J_STRING("tvm", TVM_A), J_STRING("device", VF0),
		   J_INT("guest_requester_id", 0x200), J_INT("generation", 3));
	cr_assert_eq(varlink_client_call(other, "io.tdid.Tsm.Bind", p, 0, 0, NULL, NULL), 0);
	json_object_put(p);
	for (unsigned int i = 0; i < 5; i++)
		sd_event_run(event, 20000);
	varlink_client_free(client);
	cr_assert_eq(varlink_client_connect(&client, event, config->socket, NULL, NULL), 0);
	call("ReleaseTvm", OBJECT(J_STRING("tvm", TVM_A)));
	cr_assert_str_eq(last_error, "TvmBusy");
	varlink_client_free(other);
}
