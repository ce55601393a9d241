/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-daemon.h"

#include "common/process.h"
#include "daemon/incarnation.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static TestingDaemon d;

static void set_up(void)
{
	testing_daemon_init(&d);
	testing_daemon_start(&d);
}

static void tear_down(void)
{
	testing_daemon_done(&d);
}

TestSuite(daemon_incarnation, .init = set_up, .fini = tear_down);

static Domain *domain(void)
{
	Domain *found;
	Uuid uuid;

	cr_assert_eq(uuid_from_string(&uuid, TVM0), 0);
	cr_assert_eq(registry_domain(d.tdid.registry, uuid, &found), 0);
	if (!found->name)
		found->name = strdup("tvm0");
	return found;
}

Test(daemon_incarnation, names_that_lead_elsewhere)
{
	pid_t pid;

	cr_assert_eq(incarnation_libvirt_pid("../../../etc/passwd", &pid), -EBADMSG);
	cr_assert_eq(incarnation_libvirt_pid("no such domain", &pid), -ENOENT);
}

Test(daemon_incarnation, wrong_processes)
{
	uint64_t start_time;

	process_start_time(&start_time, "", getpid());
	cr_assert_eq(incarnation_begin(&d.tdid, domain(), getpid(), start_time + 1), -ESRCH);
	cr_assert_lt(incarnation_begin(&d.tdid, domain(), INT32_MAX, 1), 0);
	cr_assert_lt(incarnation_begin(&d.tdid, domain(), 0, 1), 0);
	cr_assert_lt(incarnation_begin(&d.tdid, domain(), -1, 1), 0);
	cr_assert_null(domain()->tvm);
	cr_assert_null(registry_tvm_at(d.tdid.registry, 0));
	cr_assert_eq(testing_records(&d, "tvm", NULL), 0);
}

Test(daemon_incarnation, same_one_again)
{
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT));
	cr_assert_eq(incarnation_begin(&d.tdid, domain(), d.qemu[0], domain()->tvm->start_time), 0);
	cr_assert_null(registry_tvm_at(d.tdid.registry, 1));
	cr_assert_eq(testing_records(&d, "tvm", NULL), 1);
}

Test(daemon_incarnation, end_by_the_pidfd_alone)
{
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT));
	testing_idle(d.event);
	cr_assert_not_null(domain()->tvm);
	testing_daemon_kill(&d, 0);
	UNTIL(d.event, !registry_tvm_at(d.tdid.registry, 0));
	cr_assert_eq(testing_records(&d, "tvm", NULL), 0);
}

/* The process is dead and not reaped: it can still be opened, and has its start time. */
Test(daemon_incarnation, ended_one_does_not_begin_again)
{
	uint64_t start_time;
	pid_t pid;

	testing_daemon_run(&d, 0,
			   TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV("ua-tdi-a", "1")));
	EXPECT_STATE(&d, "ua-tdi-a", ASSIGNMENT_CONNECTING);
	pid = d.qemu[0];
	start_time = domain()->tvm->start_time;
	d.tsm->answers[FAKE_BIND] = FAKE_BREAK_OFF;
	fake_vmm_place("ua-tdi-a", 5, 0, 0);
	fake_vmm_dirty(TVM0, VMM_DIRTY_LIFECYCLE, NULL);
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_A);
	EXPECT_STATE(&d, "ua-tdi-a", ASSIGNMENT_WAITING);
	testing_guest_event(SESSION_A, "Ready",
			    "\"name\":\"ua-tdi-a\",\"address\":\"0000:05:00.0\"");
	EXPECT_STATE(&d, "ua-tdi-a", ASSIGNMENT_QUARANTINED);
	kill(pid, SIGKILL);
	UNTIL(d.event, !domain()->tvm);
	cr_assert_eq(incarnation_begin(&d.tdid, domain(), pid, start_time), -ESRCH);
	cr_assert_eq(testing_records(&d, "tvm", NULL), 1);
}

Test(daemon_incarnation, next_one_of_the_same_domain)
{
	pid_t first;

	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT));
	first = d.qemu[0];
	testing_daemon_run(&d, 0, TESTING_DOMAIN(TVM0, TESTING_PORT));
	testing_idle(d.event);
	cr_assert_eq(domain()->tvm->pid, d.qemu[0]);
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	UNTIL(d.event, !registry_tvm_at(d.tdid.registry, 0));
	cr_assert_eq(domain()->tvm->pid, d.qemu[0]);
}

Test(daemon_incarnation, end_of_one_that_had_several_devices)
{
	testing_daemon_run(&d, 0,
			   TESTING_DOMAIN(TVM0, TESTING_PORT TESTING_HOSTDEV("ua-tdi-a", "1")
							TESTING_HOSTDEV("ua-tdi-b", "2")));
	EXPECT_STATE(&d, "ua-tdi-a", ASSIGNMENT_WAITING);
	EXPECT_STATE(&d, "ua-tdi-b", ASSIGNMENT_WAITING);
	testing_daemon_change(&d, 0, VMM_DIRTY_DEVICE_REMOVED, "ua-tdi-a",
			      TESTING_DOMAIN(TVM0, TESTING_PORT));
	EXPECT_STATE(&d, "ua-tdi-a", ASSIGNMENT_RELEASED);
	EXPECT_STATE(&d, "ua-tdi-b", ASSIGNMENT_RELEASED);
	kill(d.qemu[0], SIGKILL);
	UNTIL(d.event, !registry_tvm_at(d.tdid.registry, 0));
	cr_assert_null(testing_assignment(&d, 0, "ua-tdi-a"));
	cr_assert_null(testing_assignment(&d, 0, "ua-tdi-b"));
	cr_assert_eq(testing_records(&d, "assignment", NULL), 0);
	cr_assert_eq(testing_records(&d, "tvm", NULL), 0);
}

/* That no descriptor is left does not mean that QEMU has ended: its TDIs would be unbound. */
Test(daemon_incarnation, restored_when_no_descriptor_is_left)
{
	uint64_t start_time;
	struct rlimit limit;
	Domain *of;
	Uuid uuid;

	uuid_from_string(&uuid, TVM0);
	cr_assert_eq(registry_domain(d.tdid.registry, uuid, &of), 0);
	of->name = strdup("tvm0");
	cr_assert_eq(process_start_time(&start_time, "", getpid()), 0);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, limit.rlim_max }), 0);
	cr_assert_eq(incarnation_restore(&d.tdid, of, getpid(), start_time), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_null(registry_tvm_at(d.tdid.registry, 0));
	cr_assert_eq(incarnation_restore(&d.tdid, of, getpid(), start_time), 0);
	testing_idle(d.event);
	cr_assert_eq(of->tvm->pid, getpid());
}
