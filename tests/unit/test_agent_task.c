/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/task.h"
#include "../scratch-folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct {
	Loop *loop;
	Task *task;
	char folder[64], path[80];
	bool ended;
	int result;
} bed;

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	cr_assert_eq(loop_new(&bed.loop), 0);
	cr_assert(scratch_folder(bed.folder, sizeof(bed.folder), NULL));
	snprintf(bed.path, sizeof(bed.path), "%s/file", bed.folder);
}

static void done(void)
{
	unlink(bed.path);
	rmdir(bed.folder);
	loop_free(bed.loop);
}

TestSuite(agent_task, .init = setup, .fini = done, .timeout = 30);

static void on_task(void *userdata, int result)
{
	bed.ended = true;
	bed.result = result;
	bed.task = task_free(bed.task);
}

static void start(uint64_t usec)
{
	bed.ended = false;
	cr_assert_eq(task_new(&bed.task, bed.loop, bed.path, "text", usec, on_task, NULL), 0);
	cr_assert_not(bed.ended);
}

static int ends(uint64_t usec)
{
	start(usec);
	while (!bed.ended)
		cr_assert_eq(loop_turn(bed.loop), 0);
	return bed.result;
}

/* A driver that does not return. */
static void make_slow(void)
{
	cr_assert_eq(mkfifo(bed.path, 0600), 0);
}

static void none_left(void)
{
	siginfo_t info;

	/* Nothing else is in the loop: a turn ends when the killed child does. */
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		cr_assert_eq(loop_turn(bed.loop), 0);
	cr_assert(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD,
		  "a child is left");
}

Test(agent_task, no_such_file)
{
	cr_assert_eq(ends(10 * USEC_PER_SEC), -ENOENT);
	none_left();
}

Test(agent_task, writes)
{
	char text[8] = "";
	int fd = open(bed.path, O_RDWR | O_CREAT, 0600);

	cr_assert_eq(ends(10 * USEC_PER_SEC), 0);
	cr_assert_eq(read(fd, text, sizeof(text)), 4);
	cr_assert_str_eq(text, "text");
	close(fd);
	none_left();
}

Test(agent_task, late)
{
	make_slow();
	cr_assert_eq(ends(10 * USEC_PER_MS), -ETIME);
	none_left();
}

Test(agent_task, freed_and_reaped)
{
	make_slow();
	start(10 * USEC_PER_SEC);
	bed.task = task_free(bed.task);
	cr_assert_not(bed.ended);
	none_left();
}

/* The end of a pipe is seen at its other end, however long a driver keeps a child. */
Test(agent_task, holds_nothing_open)
{
	struct pollfd other_end = { .events = POLLIN };
	int ends[2];

	make_slow();
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	other_end.fd = ends[0];
	start(10 * USEC_PER_SEC);
	close(ends[1]);
	cr_assert_eq(poll(&other_end, 1, 5000), 1);
	cr_assert(other_end.revents & POLLHUP);
	close(ends[0]);
	bed.task = task_free(bed.task);
	none_left();
}
