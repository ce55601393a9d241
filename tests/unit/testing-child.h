/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A process beside testing-tdi.h's daemon, which talks to it over its socket. */
#pragma once

#include "testing-tdi.h"
#include "rpc/event-loop.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define CHILD_TIMEOUT_USEC (20 * UINT64_C(1000000))

typedef struct TestingChild {
	pid_t pid;
	int fd; /* what it prints, both outputs */
	char text[65536];
	size_t used;
	int status; /* exit code; -1: it runs */
} TestingChild;

/* Forks; in the child it returns true, with nothing of the daemon's open. */
static inline bool testing_child_fork(TestingChild *child)
{
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	*child = (TestingChild){ .fd = ends[0], .status = -1, .pid = fork() };
	cr_assert_geq(child->pid, 0);
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close_range(3, ~0U, 0);
		return true;
	}
	close(ends[1]);
	fcntl(child->fd, F_SETFL, O_NONBLOCK);
	return false;
}

static inline void testing_child_done(TestingChild *child)
{
	if (child->pid <= 0)
		return;
	if (child->status < 0) {
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
	}
	close(child->fd);
	*child = (TestingChild){};
}

static inline void testing_child_look(TestingChild *child)
{
	ssize_t n;
	int status;

	if (child->status < 0 && waitpid(child->pid, &status, WNOHANG) == child->pid)
		child->status = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	while (child->used + 1 < sizeof(child->text) &&
	       (n = read(child->fd, child->text + child->used,
			 sizeof(child->text) - 1 - child->used)) > 0)
		child->used += (size_t)n;
	child->text[child->used] = '\0';
}

/* Runs the daemon, if it is there, until the condition holds. */
#define CHILD_UNTIL(child, condition)                                                              \
	do {                                                                                       \
		uint64_t _end = boottime_usec() + CHILD_TIMEOUT_USEC;                              \
		for (;;) {                                                                         \
			testing_child_look(child);                                                 \
			if (condition)                                                             \
				break;                                                             \
			cr_assert_lt(boottime_usec(), _end,                                        \
				     "waited in vain for " #condition ": %s", (child)->text);      \
			cr_assert_geq(sd_event_run(d.event, 10000), 0);                            \
		}                                                                                  \
	} while (0)

#define CHILD_SAYS(child, what) CHILD_UNTIL(child, strstr((child)->text, (what)))
#define CHILD_ENDS(child, code)                                                                    \
	do {                                                                                       \
		CHILD_UNTIL(child, (child)->status >= 0);                                          \
		cr_assert_eq((child)->status, (code), "%d: %s", (child)->status, (child)->text);   \
	} while (0)
