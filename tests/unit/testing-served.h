/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A made-up tdid that gives one answer to one call, in a process of its own. */
#pragma once

#include "raw-peer.h"

#include <sys/prctl.h>
#include <sys/wait.h>

/* `reply` as raw_send() has it: '|' for NUL. The socket is there when this returns. */
static inline pid_t testing_tdid(const char *path, const char *reply)
{
	struct sockaddr_un address = raw_address(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), connection;
	char call[4096];
	pid_t child;

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%m");
	cr_assert_eq(listen(fd, 1), 0);
	child = fork();
	if (child != 0) {
		close(fd);
		return child;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	connection = accept(fd, NULL, NULL);
	if (recv(connection, call, sizeof(call), 0) > 0)
		raw_send(connection, reply);
	_exit(0);
}

static inline void testing_tdid_end(pid_t child)
{
	waitpid(child, NULL, 0);
}
