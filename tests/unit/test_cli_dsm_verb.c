/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dsm-verb.h"
#include "testing-cli.h"

#define ADDRESS "0000:01:00.0"
#define DSM                                                                                        \
	"{\"dsm\":\"" ADDRESS "\",\"tsm\":\"linux\",\"state\":\"connected\",\"connected\":true,"   \
	"\"pinned\":true}"

static void set_up(void)
{
	testing_cli_begin(&command_connect);
}

TestSuite(cli_dsm_verb, .init = set_up, .fini = testing_cli_end);

/* A tdid that answers one call with `reply`, after `pause_ms`, if the call is this one. */
static void serve(const char *call, const char *reply, int pause_ms)
{
	testing_cli_serve(1, &(TestingCall){ call, NULL, pause_ms, reply });
}

static CliStatus run(const Command *command, const char *address)
{
	char *arguments[] = { (char *)address, NULL };

	cli.command = command;
	return command->run(&cli, arguments);
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
	cr_assert_str_eq(testing_cli_said(), "");
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
