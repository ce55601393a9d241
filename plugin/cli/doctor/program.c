/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor/program.h"

#include "cli/doctor/bounded-read.h"
#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>

static int64_t now_msec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int start(pid_t *ret, const char *const *arguments, int output)
{
	posix_spawn_file_actions_t actions;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY,
						     0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnp(ret, arguments[0], &actions, NULL, (char *const *)arguments,
				 environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int collect(int fd, int64_t deadline, size_t max, char **ret, size_t *ret_size)
{
	BoundedRead it = {};
	int r = 1;

	while (r > 0) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_msec();

		if (left <= 0)
			r = -ETIME;
		else if (poll(&poll_fd, 1, (int)left) > 0)
			r = bounded_read(&it, fd, max);
	}
	if (r < 0) {
		free(it.text);
		return r;
	}
	*ret = it.text;
	if (ret_size)
		*ret_size = it.size;
	return 0;
}

/* Its output has ended, so it is about to end as well; one that is not is killed. */
static int end(pid_t child, int64_t deadline)
{
	int status;

	for (pid_t pid; (pid = waitpid(child, &status, WNOHANG)) != child;) {
		if (pid < 0 && errno != EINTR)
			return -errno;
		if (now_msec() >= deadline) {
			/* One that cannot be killed is left to whoever is there after us. */
			kill(child, SIGKILL);
			waitpid(child, NULL, WNOHANG);
			return -ETIME;
		}
		/* There is nothing to wait for that would not take SIGCHLD from the caller. */
		poll(NULL, 0, 1);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPROTO;
}

int program_output(const char *const *arguments, uint32_t timeout_ms, size_t max, char **ret,
		   size_t *ret_size)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int from = -1, to = -1;
	int64_t deadline = now_msec() + timeout_ms;
	int pipe_fds[2], r, r_end;
	pid_t child;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	from = pipe_fds[0];
	to = pipe_fds[1];
	r = start(&child, arguments, to);
	if (r < 0)
		return r;
	close(steal_fd(&to));
	r = collect(from, deadline, max, &text, ret_size);
	if (r < 0)
		kill(child, SIGKILL);
	r_end = end(child, deadline);
	if (r == 0)
		r = r_end;
	if (r == 0)
		*ret = steal_ptr(text);
	return r;
}
