/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hooks/qemu.h"
#include "../scratch-folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

static int pid_of(const char *text, int64_t *ret)
{
	return qemu_parse_pid(ret, text, strlen(text));
}

static int start_of(const char *text, uint64_t *ret)
{
	return qemu_parse_start_time(ret, text, strlen(text));
}

#define FIELDS_3_TO_21 " S 1 2 2 0 -1 4194560 1 0 2 0 3 4 0 0 20 0 5 0"

Test(hook_qemu, bad_pid)
{
	static const char *const bad[] = { "",	    "\n",	  " 12",
					   "12 ",   "12\n\n",	  "12x",
					   "-12",   "+12",	  "0",
					   "0x10",  "2147483648", "99999999999999999999999",
					   "12\n13" };
	int64_t pid = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(pid_of(bad[i], &pid), -EBADMSG, "%s", bad[i]);
	cr_expect_eq(qemu_parse_pid(&pid, "1\0", 2), -EBADMSG);
	cr_expect_eq(pid, 7);
}

Test(hook_qemu, pid)
{
	int64_t pid;

	cr_expect_eq(pid_of("4711\n", &pid), 0);
	cr_expect_eq(pid, 4711);
	cr_expect_eq(pid_of("2147483647", &pid), 0);
	cr_expect_eq(pid, 2147483647);
}

Test(hook_qemu, bad_stat)
{
	static const char *const bad[] = {
		"",
		"1",
		"1 (qemu",
		"1 (qemu)",
		"1 (qemu) ",
		"1 (qemu)" FIELDS_3_TO_21,
		"1 (qemu)" FIELDS_3_TO_21 " ",
		"1 (qemu)" FIELDS_3_TO_21 " \n",
		"1 (qemu)" FIELDS_3_TO_21 " 123",
		"1 (qemu)" FIELDS_3_TO_21 " -1 0\n",
		"1 (qemu)" FIELDS_3_TO_21 " 12x 0\n",
		"1 (qemu)" FIELDS_3_TO_21 " 18446744073709551616 0\n",
		"1 (qemu)S" FIELDS_3_TO_21 " 123 0\n",
	};
	uint64_t start = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(start_of(bad[i], &start), -EBADMSG, "%s", bad[i]);
	cr_expect_eq(start, 7);
}

Test(hook_qemu, start_time)
{
	uint64_t start;

	cr_expect_eq(start_of("1 (qemu)" FIELDS_3_TO_21 " 8812 99 1\n", &start), 0);
	cr_expect_eq(start, 8812);
	cr_expect_eq(start_of("1 (qemu)" FIELDS_3_TO_21 " 18446744073709551615\n", &start), 0);
	cr_expect_eq(start, UINT64_MAX);
}

/* Whoever names his process like a line of stat gains nothing by it. */
Test(hook_qemu, command_with_parentheses)
{
	uint64_t start;

	cr_expect_eq(start_of("1 (a) S 1 1 1) (\n)" FIELDS_3_TO_21 " 8812 99\n", &start), 0);
	cr_expect_eq(start, 8812);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

Test(hook_qemu, reads_from_a_root)
{
	char root[64];
	char path[128], text[64];
	Qemu qemu = { 0 };

	cr_assert(scratch_folder(root, sizeof(root), NULL));
	cr_expect_eq(qemu_read(&qemu, root, "tvm0"), -ENOENT);
	cr_expect_eq(qemu_read(&qemu, root, "../tvm0"), -EINVAL);
	for (const char *const *d =
		     (const char *const[]){ "/run", "/run/libvirt", "/run/libvirt/qemu", NULL };
	     *d; d++) {
		snprintf(path, sizeof(path), "%s%s", root, *d);
		cr_assert_eq(mkdir(path, 0700), 0);
	}
	snprintf(path, sizeof(path), "%s/run/libvirt/qemu/tvm0.pid", root);

	write_file(path, "no pid");
	cr_expect_eq(qemu_read(&qemu, root, "tvm0"), -EBADMSG);
	/* The largest pid there can be is 2^22 (proc(5), pid_max). */
	write_file(path, "4194305\n");
	cr_expect_eq(qemu_read(&qemu, root, "tvm0"), -ESRCH);
	cr_expect_eq(qemu.pid, 0);

	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	write_file(path, text);
	cr_expect_eq(qemu_read(&qemu, root, "tvm0"), 0);
	cr_expect_eq(qemu.pid, getpid());
	cr_expect_gt(qemu.start_time, 0);

	unlink(path);
	for (const char *const *d =
		     (const char *const[]){ "/run/libvirt/qemu", "/run/libvirt", "/run", "", NULL };
	     *d; d++) {
		snprintf(path, sizeof(path), "%s%s", root, *d);
		rmdir(path);
	}
}
