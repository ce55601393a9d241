/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct Task {
	Loop *loop;
	pid_t pid;
	int pid_fd;
	LoopFd source;
	LoopTimer deadline;
	TaskHandler handler;
	void *userdata;
};

static void task_end(Task *task, int result)
{
	loop_fd_off(&task->source);
	loop_timer_off(&task->deadline);
	/* The handler may free the task. */
	task->handler(task->userdata, result);
}

static void on_child(void *userdata, short revents)
{
	Task *task = userdata;
	siginfo_t info = { 0 };
	int result = -EIO;

	if (waitid(P_PID, (id_t)task->pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return;
	task->pid = 0;
	/* The exit code is the errno. */
	if (info.si_code == CLD_EXITED)
		result = -info.si_status;
	task_end(task, result);
}

static void on_deadline(void *userdata)
{
	task_end(userdata, -ETIME);
}

/*
 * Only what may be done between fork and exit in any process. What this process has open is none of
 * the child's: inside a driver it may stay for long, and hold other children's pipes open.
 */
__attribute__((noreturn)) static void child(const char *path, const char *text, size_t size)
{
	int fd;

	if (syscall(SYS_close_range, 3, ~0U, 0) < 0)
		_exit(errno);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, size) < 0)
		_exit(errno);
	_exit(0);
}

int task_new(Task **ret, Loop *loop, const char *path, const char *text, uint64_t deadline_usec,
	     TaskHandler handler, void *userdata)
{
	_cleanup_(task_freep) Task *task = calloc(1, sizeof(*task));
	size_t size = strlen(text);
	int r;

	if (!task)
		return -ENOMEM;
	task->loop = loop;
	task->pid_fd = -1;
	task->handler = handler;
	task->userdata = userdata;
	loop_timer_init(loop, &task->deadline, on_deadline, task);

	task->pid = fork();
	if (task->pid < 0) {
		task->pid = 0;
		return -errno;
	}
	if (task->pid == 0)
		child(path, text, size);
	task->pid_fd = (int)syscall(SYS_pidfd_open, task->pid, 0);
	if (task->pid_fd < 0)
		return -errno;
	r = loop_fd_on(loop, &task->source, task->pid_fd, POLLIN, on_child, task);
	if (r < 0)
		return r;
	loop_timer_set(&task->deadline, deadline_usec);
	*ret = steal_ptr(task);
	return 0;
}

Task *task_free(Task *task)
{
	loop_fd_off(&task->source);
	loop_timer_off(&task->deadline);
	if (task->pid > 0)
		kill(task->pid, SIGKILL);
	if (task->pid > 0 && task->pid_fd >= 0)
		loop_bury(task->loop, steal_fd(&task->pid_fd));
	if (task->pid_fd >= 0)
		close(task->pid_fd);
	free(task);
	return NULL;
}
