/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dsm-verb.h"
#include "raw-peer.h"
#include "schemas/schemas.h"

#include <criterion/redirect.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define ADDRESS "0000:01:00.0"
#define DSM                                                                                        \
	"{\"dsm\":\"" ADDRESS "\",\"tsm\":\"linux\",\"state\":\"connected\",\"connected\":true,"   \
	"\"pinned\":true}"

static Cli cli;
static char path[64];
static pid_t server;

static void set_up(void)
{
	char *error = NULL;

	signal(SIGPIPE, SIG_IGN);
	raw_path(path);
	cli = (Cli){ .command = &command_connect, .socket = path };
	cr_assert_eq(idl_parse(&cli.interface, schema_io_tdid_assignments, &error), 0, "%s", error);
	cr_redirect_stdout();
	cr_redirect_stderr();
}

static void tear_down(void)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	idl_free(cli.interface);
	raw_done(path);
}

TestSuite(cli_dsm_verb, .init = set_up, .fini = tear_down);

/* A tdid that answers one call with `reply`, after `pause_ms`, if the call is this one. */
static void serve(const char *call, const char *reply, int pause_ms)
{
	int listening = raw_listen(path, 1), fd;

	server = fork();
	cr_assert_geq(server, 0);
	if (server > 0) {
		close(listening);
		return;
	}
	poll(&(struct pollfd){ .fd = listening, .events = POLLIN }, 1, 10000);
	fd = raw_accept(listening);
	poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000);
	if (strstr(raw_received(fd), call)) {
		poll(NULL, 0, pause_ms);
		if (reply)
			raw_send(fd, reply);
		else
			pause();
	}
	_exit(0);
}

static CliStatus run(const Command *command, const char *address)
{
	char *arguments[] = { (char *)address, NULL };

	cli.command = command;
	return command->run(&cli, arguments);
}

static const char *errors(void)
{
	static char text[4096];
	FILE *f = cr_get_redirected_stderr();
	size_t n;

	fflush(stderr);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	return text;
}

static void says(const char *text)
{
	const char *all = errors();

	cr_assert(strstr(all, text), "%s: %s", text, all);
}

Test(cli_dsm_verb, addresses_that_are_none)
{
	static const char *const addresses[] = { "",	       "01:00.0",
						 "0000:01:00", "0000:01:00.8",
						 "tvm0/nic0",  "0000:01:00.0 " };

	for (size_t i = 0; i < ELEMENTSOF(addresses); i++)
		cr_assert_eq(run(&command_connect, addresses[i]), CLI_USAGE);
	says("'tdictl devices' has them");
}

Test(cli_dsm_verb, nobody_there)
{
	cr_assert_eq(run(&command_reclaim, ADDRESS), CLI_UNREACHABLE);
	says("tdictl reclaim: tdid does not answer");
}

Test(cli_dsm_verb, answer_that_breaks_the_interface)
{
	serve("Connect", "{\"parameters\":{\"dsm\":7}}|", 0);
	cr_assert_eq(run(&command_connect, ADDRESS), CLI_UNREACHABLE);
	says("does not keep to");
}

Test(cli_dsm_verb, connection_that_is_lost)
{
	serve("nothing of this", NULL, 0);
	cr_assert_eq(run(&command_connect, ADDRESS), CLI_UNREACHABLE);
	says("closed the connection");
}

Test(cli_dsm_verb, no_such_device)
{
	serve("Connect",
	      "{\"error\":\"io.tdid.Assignments.NoSuchDevice\",\"parameters\":{\"device\":"
	      "\"" ADDRESS "\"}}|",
	      0);
	cr_assert_eq(run(&command_connect, ADDRESS), CLI_REFUSED);
	says("no TSM serves " ADDRESS);
}

/* tdid's sentence, and nothing around it. */
Test(cli_dsm_verb, refused)
{
	serve("Reclaim",
	      "{\"error\":\"io.tdid.Assignments.Refused\",\"parameters\":{\"object\":\"" ADDRESS
	      "\",\"message\":\"" ADDRESS ": device_reclaim: in use. Detach it first\"}}|",
	      0);
	cr_assert_eq(run(&command_reclaim, ADDRESS), CLI_REFUSED);
	says("tdictl reclaim: " ADDRESS ": device_reclaim: in use. Detach it first\n");
}

Test(cli_dsm_verb, time_that_is_over)
{
	cli.timeout_usec = 50000;
	serve("Connect", NULL, 0);
	cr_assert_eq(run(&command_connect, ADDRESS), CLI_TIMEOUT);
	says("device_connect of " ADDRESS " has not ended within 50.000 ms. It goes on");
}

Test(cli_dsm_verb, one_line)
{
	serve("io.tdid.Assignments.Connect\",\"parameters\":{\"dsm\":\"" ADDRESS "\"}",
	      "{\"parameters\":{\"dsm\":" DSM "}}|", 0);
	cr_assert_eq(run(&command_connect, ADDRESS), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(ADDRESS ": connected (tsm: linux)\n");
	cr_assert_str_eq(errors(), "");
}

Test(cli_dsm_verb, json)
{
	cli.json = true;
	serve("Connect", "{\"parameters\":{\"dsm\":" DSM "}}|", 0);
	cr_assert_eq(run(&command_connect, ADDRESS), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(DSM "\n");
}

Test(cli_dsm_verb, long_wait_is_told)
{
	serve("Connect", "{\"parameters\":{\"dsm\":" DSM "}}|", 1200);
	cr_assert_eq(run(&command_connect, ADDRESS), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(ADDRESS ": connected (tsm: linux)\n");
	says("tdictl connect: waiting for device_connect of " ADDRESS "\n");
}
