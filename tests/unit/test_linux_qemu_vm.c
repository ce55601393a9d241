/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* On a made-up /proc whose one process is a child of the test's. */
#include "testing-linux.h"

#include "tsm/linux/qemu-vm.h"

#include <signal.h>
#include <sys/wait.h>

static pid_t child;
static QemuVm vm = { .pidfd = -1, .kvm = -1 };
static char *error;

static void write_status(const char *name, const char *uuid, pid_t pid)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "<domstatus state='running' reason='booted' pid='%d'>\n"
			 "  <monitor path='/x' type='unix'/>\n"
			 "  <domain type='kvm' id='1'><name>%s</name><uuid>%s</uuid></domain>\n"
			 "</domstatus>\n",
			 (int)pid, name, uuid);

	testing_write(testing_path("run/libvirt/qemu/%s.xml", name), text, (size_t)n);
}

static void write_process(const char *command, size_t size, const char *start_time)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "%d (qemu (x) 1 2) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 %s 20\n",
			 (int)child, start_time);

	mkdir(testing_path("proc/%d", (int)child), 0755);
	mkdir(testing_path("proc/%d/fd", (int)child), 0755);
	testing_write(testing_path("proc/%d/cmdline", (int)child), command, size);
	testing_write(testing_path("proc/%d/stat", (int)child), text, (size_t)n);
}

#define COMMAND "qemu-system-x86_64\0-name\0guest=x\0-uuid\0" TVM_A "\0-display\0none\0"

static void set_up(void)
{
	testing_linux_new();
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	write_status("one", TVM_A, child);
	write_process(COMMAND, sizeof(COMMAND) - 1, "4711");
}

static void tear_down(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	qemu_vm_done(&vm);
	free(error);
	testing_host_remove();
}

TestSuite(linux_qemu_vm, .init = set_up, .fini = tear_down);

static int find(const char *uuid)
{
	int r;

	free(error);
	error = NULL;
	qemu_vm_done(&vm);
	r = qemu_vm_find(&vm, testing_root, testing_uuid(uuid), &error);
	cr_assert(r == 0 || error);
	return r;
}

static int parse(const char *text)
{
	Uuid uuid;
	pid_t pid;

	return qemu_vm_status_parse(&pid, &uuid, text, strlen(text), NULL);
}

Test(linux_qemu_vm, bad_status)
{
	cr_assert_lt(parse(""), 0);
	cr_assert_lt(parse("<domain><uuid>" TVM_A "</uuid></domain>"), 0);
	cr_assert_lt(parse("<domstatus pid='1'/>"), 0);
	cr_assert_lt(parse("<domstatus pid='1'><domain/></domstatus>"), 0);
	cr_assert_lt(parse("<domstatus pid='1'><domain><uuid>x</uuid></domain></domstatus>"), 0);
#define STATUS(pid) "<domstatus " pid "><domain><uuid>" TVM_A "</uuid></domain></domstatus>"
	cr_assert_lt(parse(STATUS("")), 0);
	cr_assert_lt(parse(STATUS("pid=''")), 0);
	cr_assert_lt(parse(STATUS("pid='0'")), 0);
	cr_assert_lt(parse(STATUS("pid='-1'")), 0);
	cr_assert_lt(parse(STATUS("pid='12x'")), 0);
	cr_assert_lt(parse(STATUS("pid='99999999999'")), 0);
	cr_assert_eq(parse(STATUS("pid='12'")), 0);
}

Test(linux_qemu_vm, no_such_domain)
{
	cr_assert_eq(find(TVM_B), -ENOENT);
	cr_assert_not_null(strstr(error, TVM_B));
	remove(testing_path("run/libvirt/qemu/one.xml"));
	rmdir(testing_path("run/libvirt/qemu"));
	cr_assert_eq(find(TVM_A), -ENOENT);
}

Test(linux_qemu_vm, two_say_they_are_it)
{
	write_status("two", TVM_A, child);
	cr_assert_eq(find(TVM_A), -ENOTUNIQ);
}

Test(linux_qemu_vm, a_symbolic_link_is_not_followed)
{
	remove(testing_path("run/libvirt/qemu/one.xml"));
	write_status("elsewhere", TVM_A, child);
	cr_assert_eq(rename(testing_path("run/libvirt/qemu/elsewhere.xml"),
			    strdupa(testing_path("status"))),
		     0);
	cr_assert_eq(symlink("../../../status", testing_path("run/libvirt/qemu/one.xml")), 0);
	cr_assert_eq(find(TVM_A), -ENOENT);
}

Test(linux_qemu_vm, stale_status)
{
#define OTHERS "qemu-system-x86_64\0-uuid\0" TVM_B "\0"
	write_process(OTHERS, sizeof(OTHERS) - 1, "4711");
	cr_assert_eq(find(TVM_A), -ESRCH, "another domain's QEMU");
	write_process("sh\0", 3, "4711");
	cr_assert_eq(find(TVM_A), -ESRCH, "no QEMU");
	write_process("qemu\0-uuid", 10, "4711");
	cr_assert_eq(find(TVM_A), -ESRCH, "cut off");
	write_process(COMMAND, sizeof(COMMAND) - 1, "x");
	cr_assert_lt(find(TVM_A), 0);
	write_process(COMMAND, sizeof(COMMAND) - 1, "4711");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_assert_eq(find(TVM_A), -ESRCH, "ended");
	child = 0;
}

Test(linux_qemu_vm, no_virtual_machine)
{
	cr_assert_eq(find(TVM_A), 0);
	cr_assert_eq(qemu_vm_take(&vm, testing_root, &error), -ENOENT);
	cr_assert_not_null(strstr(error, "no KVM VM"));
}

Test(linux_qemu_vm, more_than_one)
{
	cr_assert_eq(symlink("anon_inode:kvm-vm", testing_path("proc/%d/fd/7", (int)child)), 0);
	cr_assert_eq(symlink("anon_inode:kvm-vm", testing_path("proc/%d/fd/9", (int)child)), 0);
	cr_assert_eq(find(TVM_A), 0);
	cr_assert_eq(qemu_vm_take(&vm, testing_root, &error), -ENOTUNIQ);
}

/* What the number means now is looked at on the descriptor itself. */
Test(linux_qemu_vm, the_number_means_another_file_by_now)
{
	cr_assert_eq(symlink("anon_inode:kvm-vm", testing_path("proc/%d/fd/0", (int)child)), 0);
	cr_assert_eq(find(TVM_A), 0);
	cr_assert_eq(vm.start_time, 4711);
	cr_assert_eq(vm.pid, child);
	cr_assert_eq(qemu_vm_take(&vm, testing_root, &error), -ESRCH);
	cr_assert_lt(vm.kvm, 0);
}

/* By its device file or its IOMMU group's. */
Test(linux_qemu_vm, holds)
{
	char sysfs[128];
	HostFunction f;

	snprintf(sysfs, sizeof(sysfs), "%s", testing_path("sys"));
	cr_assert_eq(host_function_read(&f, sysfs, testing_bdf(VF0), NULL), 0);
	cr_assert_eq(find(TVM_A), 0);
	cr_assert_not(qemu_vm_holds(&vm, testing_root, sysfs, &f));
	cr_assert_eq(symlink("/dev/vfio/18", testing_path("proc/%d/fd/5", (int)child)), 0);
	cr_assert_not(qemu_vm_holds(&vm, testing_root, sysfs, &f), "another group's");
	cr_assert_eq(symlink("/dev/vfio/17", testing_path("proc/%d/fd/6", (int)child)), 0);
	cr_assert(qemu_vm_holds(&vm, testing_root, sysfs, &f));
	remove(testing_path("proc/%d/fd/6", (int)child));
	mkdir(testing_path("sys/bus/pci/devices/" VF0 "/vfio-dev"), 0755);
	mkdir(testing_path("sys/bus/pci/devices/" VF0 "/vfio-dev/vfio3"), 0755);
	cr_assert_not(qemu_vm_holds(&vm, testing_root, sysfs, &f));
	cr_assert_eq(symlink("/dev/vfio/devices/vfio3", testing_path("proc/%d/fd/8", (int)child)),
		     0);
	cr_assert(qemu_vm_holds(&vm, testing_root, sysfs, &f));
}
