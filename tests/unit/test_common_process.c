/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/process.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

Test(common_process, nobody)
{
	uint64_t start_time;

	cr_assert_eq(process_start_time(&start_time, "", INT32_MAX), -ESRCH);
	cr_assert_eq(process_start_time(&start_time, "", -1), -ESRCH);
	cr_assert_eq(process_start_time(&start_time, "/nonexistent", getpid()), -ESRCH);
	cr_assert_lt(process_hold(INT32_MAX, 1), 0);
	cr_assert_lt(process_hold(-1, 1), 0);
}

Test(common_process, whatever_its_name_is)
{
	uint64_t before, after;

	cr_assert_eq(process_start_time(&before, "", getpid()), 0);
	prctl(PR_SET_NAME, ") R 1 2 (3");
	cr_assert_eq(process_start_time(&after, "", getpid()), 0);
	cr_assert_eq(before, after);
	cr_assert_gt(before, 0);
}

Test(common_process, held_until_its_end)
{
	_cleanup_close_ int fd = -1;
	struct pollfd ended = { .events = POLLIN };
	uint64_t start_time;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	cr_assert_eq(process_start_time(&start_time, "", pid), 0);
	cr_assert_eq(process_hold(pid, start_time + 1), -ESRCH, "another with its pid");
	fd = process_hold(pid, start_time);
	cr_assert_geq(fd, 0);
	ended.fd = fd;
	cr_assert_eq(poll(&ended, 1, 0), 0);
	kill(pid, SIGKILL);
	cr_assert_eq(poll(&ended, 1, 5000), 1);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_lt(process_hold(pid, start_time), 0);
}
