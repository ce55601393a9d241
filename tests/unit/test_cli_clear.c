/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "raw-peer.h"
#include "schemas/schemas.h"

#include <criterion/redirect.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define ADDRESS "0000:01:10.0"
#define DEVICE                                                                                     \
	"{\"device\":\"" ADDRESS "\",\"dsm\":\"0000:01:00.0\",\"tsm\":\"linux\","                  \
	"\"is_virtual_function\":true,\"quarantined\":false"
#define ASSIGNMENT                                                                                 \
	"{\"domain\":\"11111111-2222-3333-4444-55555555abcd\",\"domain_name\":\"tvm0\","           \
	"\"name\":\"ua-tdi-nic0\",\"device\":\"" ADDRESS "\",\"generation\":1,"                    \
	"\"state\":\"quarantined\",\"state_source\":\"tsm\",\"protection\":true,\"timeline\":[]}"

static Cli cli;
static char path[64];
static pid_t server;

static void set_up(void)
{
	char *error = NULL;

	signal(SIGPIPE, SIG_IGN);
	raw_path(path);
	cli = (Cli){ .command = &command_clear, .socket = path };
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

TestSuite(cli_clear, .init = set_up, .fini = tear_down);

/* A tdid that answers as many calls, each if it is the one that is expected. */
static void serve(size_t n, const char *const calls[], const char *const replies[])
{
	int listening = raw_listen(path, 4);

	server = fork();
	cr_assert_geq(server, 0);
	if (server > 0) {
		close(listening);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		int fd;

		poll(&(struct pollfd){ .fd = listening, .events = POLLIN }, 1, 10000);
		fd = raw_accept(listening);
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 10000);
		if (strstr(raw_received(fd), calls[i]))
			raw_send(fd, replies[i]);
	}
	pause();
	_exit(0);
}

static CliStatus run(const char *argument)
{
	char *arguments[] = { (char *)argument, NULL };

	return command_clear.run(&cli, arguments);
}

static void says(const char *text)
{
	static char all[4096];
	FILE *f = cr_get_redirected_stderr();

	fflush(stderr);
	all[fread(all, 1, sizeof(all) - 1, f)] = '\0';
	cr_assert(strstr(all, text), "%s: %s", text, all);
}

Test(cli_clear, neither_domain_nor_address)
{
	static const char *const arguments[] = { "",	 "01:10.0", "0000:01:10.8",
						 "tvm0", "tvm0/",   "/nic0" };

	for (size_t i = 0; i < ELEMENTSOF(arguments); i++)
		cr_assert_eq(run(arguments[i]), CLI_USAGE, "%s", arguments[i]);
	says("is neither DOMAIN/NAME nor a device's address");
}

Test(cli_clear, refused)
{
	serve(1, (const char *const[]){ "io.tdid.Assignments.Clear" },
	      (const char *const[]){ "{\"error\":\"io.tdid.Assignments.Refused\",\"parameters\":{"
				     "\"object\":\"" ADDRESS "\",\"message\":\"it stays so\"}}|" });
	cr_assert_eq(run(ADDRESS), CLI_REFUSED);
	says("tdictl clear: it stays so\n");
}

Test(cli_clear, by_address)
{
	serve(1, (const char *const[]){ "Clear\",\"parameters\":{\"device\":\"" ADDRESS "\"}" },
	      (const char *const[]){ "{\"parameters\":{\"device\":" DEVICE "}}}|" });
	cr_assert_eq(run(ADDRESS), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(ADDRESS ": not quarantined (tsm: linux)\n");
}

Test(cli_clear, by_domain_and_name)
{
	serve(2,
	      (const char *const[]){ "Get\",\"parameters\":{\"domain\":\"tvm0\",\"name\":"
				     "\"ua-tdi-nic0\"}",
				     "Clear\",\"parameters\":{\"device\":\"" ADDRESS "\"}" },
	      (const char *const[]){ "{\"parameters\":{\"assignment\":" ASSIGNMENT "}}|",
				     "{\"parameters\":{\"device\":" DEVICE
				     ",\"domain_name\":\"tvm0\",\"name\":\"ua-tdi-nic0\"}}}|" });
	cr_assert_eq(run("tvm0/ua-tdi-nic0"), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(ADDRESS
				": not quarantined (tsm: linux); it is still tvm0/ua-tdi-nic0\n");
}
