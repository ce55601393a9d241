/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of tdictl's commands: a made-up tdid at its socket, and what tdictl says. */
#pragma once

#include "cli/cli.h"
#include "raw-peer.h"
#include "schemas/schemas.h"

#include <criterion/redirect.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

static Cli cli;
static char path[64];
static pid_t server;

static inline void testing_cli_begin(const Command *command)
{
	char *error = NULL;

	signal(SIGPIPE, SIG_IGN);
	raw_path(path);
	cli = (Cli){ .command = command, .socket = path };
	cr_assert_eq(idl_parse(&cli.interface, schema_io_tdid_assignments, &error), 0, "%s", error);
	cr_redirect_stdout();
	cr_redirect_stderr();
}

static inline void testing_cli_end(void)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	idl_free(cli.interface);
	raw_done(path);
}

typedef struct TestingCall {
	const char *call;  /* what is in it; it is not answered, and tdid ends, if it is another */
	const char *first; /* NULL: nothing */
	int pause_ms;
	const char *last; /* NULL: nothing */
} TestingCall;

/* A tdid that answers one call on each connection, and keeps the last one open. */
static inline void testing_cli_serve(size_t n, const TestingCall calls[])
{
	int listening = raw_listen(path, (int)n), fd;

	server = fork();
	cr_assert_geq(server, 0);
	if (server > 0) {
		close(listening);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		poll(&(struct pollfd){ .fd = listening, .events = POLLIN }, 1, 10000);
		fd = raw_accept(listening);
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000);
		if (!strstr(raw_received(fd), calls[i].call))
			_exit(1);
		if (calls[i].first)
			raw_send(fd, calls[i].first);
		poll(NULL, 0, calls[i].pause_ms);
		if (calls[i].last)
			raw_send(fd, calls[i].last);
	}
	pause();
	_exit(0);
}

/* What it has said on standard error since this was asked last. */
static inline const char *testing_cli_said(void)
{
	static char all[4096];
	FILE *f = cr_get_redirected_stderr();

	fflush(stderr);
	all[fread(all, 1, sizeof(all) - 1, f)] = '\0';
	return all;
}

static inline void says(const char *text)
{
	const char *all = testing_cli_said();

	cr_assert(strstr(all, text), "%s: %s", text, all);
}
