/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-host.h"
#include "tsm/common/tsm-attribute.h"

#include <errno.h>
#include <time.h>

static char value[16];

static void set_up(void)
{
	testing_host_new();
	mkdir(testing_path("sys/bus/pci/devices/" PF "/tsm"), 0755);
}

TestSuite(tsm_attribute, .init = set_up, .fini = testing_host_remove, .timeout = 10);

static int read_bound(const char *text)
{
	if (text)
		testing_attribute(PF, "tsm/bound", text);
	strcpy(value, "left over");
	return tsm_attribute_read(testing_path("sys"), testing_bdf(PF), "bound", value,
				  sizeof(value));
}

Test(tsm_attribute, malformed)
{
	static const char *const bad[] = { "",
					   "tsm0",
					   "0123456789abcdef\n",
					   "tsm0 and much more than fits\n",
					   "tsm0\ntsm1\n",
					   "\n\n",
					   "0123456789abcde\nf\n" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		cr_assert_eq(read_bound(bad[i]), -EBADMSG, "'%s'", bad[i]);
		cr_assert_str_empty(value);
	}
}

/* Else it would be taken for what stands before it, an empty one for "not bound". */
Test(tsm_attribute, nul)
{
	testing_write(testing_path("sys/bus/pci/devices/" PF "/tsm/bound"), "\0tsm0\n", 6);
	cr_assert_eq(read_bound(NULL), -EBADMSG);
	testing_write(testing_path("sys/bus/pci/devices/" PF "/tsm/bound"), "tsm0\0\n", 6);
	cr_assert_eq(read_bound(NULL), -EBADMSG);
	cr_assert_str_empty(value);
}

Test(tsm_attribute, path_too_long)
{
	char path[32];

	cr_assert_eq(tsm_attribute_path(path, sizeof(path), "/sys", testing_bdf(PF), "bound"),
		     -ENAMETOOLONG);
}

Test(tsm_attribute, absent_is_empty)
{
	cr_assert_eq(read_bound(NULL), 0);
	cr_assert_str_empty(value);
	cr_assert_eq(read_bound("\n"), 0);
	cr_assert_str_empty(value);
}

Test(tsm_attribute, line)
{
	cr_assert_eq(read_bound("tsm4294967295\n"), 0);
	cr_assert_str_eq(value, "tsm4294967295");
}

/* A FIFO without a writer stands for the kernel's lock. */
Test(tsm_attribute, waits_no_longer_than_it_is_told)
{
	struct timespec before, after;

	cr_assert_eq(mkfifo(testing_path("sys/bus/pci/devices/" PF "/tsm/bound"), 0644), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	tsm_attribute_arm(200);
	cr_assert_eq(read_bound(NULL), -EINTR);
	cr_assert_eq(read_bound(NULL), -EINTR, "and the next one too");
	tsm_attribute_arm(0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	cr_assert_leq(after.tv_sec - before.tv_sec, 2);
}
