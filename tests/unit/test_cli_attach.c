/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdictl attach, detach, drain and undrain against a made-up tdid. */
#include "testing-cli.h"

#define ADDRESS "0000:01:10.0"
#define DSM	"0000:01:00.0"
#define ASSIGNMENT(state)                                                                          \
	"{\"domain\":\"11111111-2222-3333-4444-55555555abcd\",\"domain_name\":\"tvm0\","           \
	"\"name\":\"ua-tdi-nic0\",\"device\":\"" ADDRESS "\",\"generation\":1,"                    \
	"\"state\":\"" state "\",\"state_source\":\"tsm\",\"tsm\":\"linux\",\"protection\":true,"  \
	"\"timeline\":[]}"
#define PLAN                                                                                       \
	"{\"domain\":\"11111111-2222-3333-4444-55555555abcd\",\"domain_name\":\"tvm0\","           \
	"\"name\":\"ua-tdi-nic0\",\"device\":\"" ADDRESS "\",\"dsm\":\"" DSM "\",\"tsm\":\"linux"  \
	"\",\"protection\":true,\"connects\":true,\"already_attached\":false,"                     \
	"\"xml\":\"<hostdev>\\n  <x/>\\n</hostdev>\\n\"}"

static void set_up(void)
{
	testing_cli_begin(&command_attach);
}

TestSuite(cli_attach, .init = set_up, .fini = testing_cli_end);

static void serve(const char *call, const char *first, int pause_ms, const char *last)
{
	testing_cli_serve(1, &(TestingCall){ call, first, pause_ms, last });
}

static CliStatus run(const char *first, const char *second)
{
	char *arguments[] = { (char *)first, (char *)second, NULL };

	return cli.command->run(&cli, arguments);
}

Test(cli_attach, no_address)
{
	cr_assert_eq(run("tvm0", "01:10.0"), CLI_USAGE);
	says("'01:10.0' is no address of a device");
}

Test(cli_attach, no_state)
{
	cli.wait_for = "there";
	cr_assert_eq(run("tvm0", ADDRESS), CLI_USAGE);
	says("--wait: 'there' is no state");
}

Test(cli_attach, nobody_there)
{
	cr_assert_eq(run("tvm0", ADDRESS), CLI_UNREACHABLE);
}

Test(cli_attach, refused)
{
	serve("Attach",
	      "{\"error\":\"io.tdid.Assignments.Refused\",\"parameters\":{\"object\":\"x\","
	      "\"message\":\"tvm0/" ADDRESS ": attach: not so\"}}|",
	      0, NULL);
	cr_assert_eq(run("tvm0", ADDRESS), CLI_REFUSED);
	says("tdictl attach: tvm0/" ADDRESS ": attach: not so\n");
}

Test(cli_attach, denied)
{
	serve("Attach",
	      "{\"error\":\"io.tdid.Assignments.PermissionDenied\",\"parameters\":{\"method\":"
	      "\"x\",\"message\":\"uid 7 may not\"}}|",
	      0, NULL);
	cr_assert_eq(run("tvm0", ADDRESS), CLI_REFUSED);
	says("tdictl attach: uid 7 may not\n");
}

Test(cli_attach, not_reached)
{
	serve("\"wait_for\":\"running\"",
	      "{\"error\":\"io.tdid.Assignments.NotReached\",\"parameters\":{"
	      "\"assignment\":" ASSIGNMENT("failed") ",\"message\":\"it is failed: why\"}}|",
	      0, NULL);
	cli.wait_for = "running";
	cr_assert_eq(run("tvm0", ADDRESS), CLI_NEVER);
	says("it is failed: why\n");
}

Test(cli_attach, time_is_over)
{
	serve("\"timeout_ms\":2000",
	      "{\"error\":\"io.tdid.Assignments.TimedOut\",\"parameters\":{\"message\":\"it goes "
	      "on\"}}|",
	      0, NULL);
	cli.timeout_usec = 2000000;
	cr_assert_eq(run("tvm0", ADDRESS), CLI_TIMEOUT);
	says("tdictl attach: it goes on\n");
}

Test(cli_attach, everything_given)
{
	serve("{\"method\":\"io.tdid.Assignments.Attach\",\"parameters\":{\"domain\":\"tvm0\","
	      "\"device\":\"" ADDRESS "\",\"name\":\"nic0\",\"client_token\":\"t\",\"wait_for\":"
	      "\"running\",\"timeout_ms\":300000},\"more\":true}",
	      "{\"parameters\":{\"plan\":" PLAN "},\"continues\":true}|"
	      "{\"parameters\":{\"assignment\":" ASSIGNMENT("locked") "},\"continues\":true}|",
	      0, "{\"parameters\":{\"assignment\":" ASSIGNMENT("running") "}}|");
	cli.name = "nic0";
	cli.token = "t";
	cli.wait_for = "running";
	cr_assert_eq(run("tvm0", ADDRESS), CLI_OK);
	cr_assert_str_empty(testing_cli_said());
	fflush(stdout);
	cr_assert_stdout_eq_str("tvm0/ua-tdi-nic0 " ADDRESS ": running (tsm: linux)\n");
}

/* What came within the first second is told then, its last word only. */
Test(cli_attach, slow)
{
	serve("Attach",
	      "{\"parameters\":{\"plan\":" PLAN "},\"continues\":true}|"
	      "{\"parameters\":{\"assignment\":" ASSIGNMENT("locked") "},\"continues\":true}|",
	      1200, "{\"parameters\":{\"assignment\":" ASSIGNMENT("running") "}}|");
	cr_assert_eq(run("tvm0", ADDRESS), CLI_OK);
	cr_assert_str_eq(testing_cli_said(),
			 "tdictl attach: tvm0/ua-tdi-nic0 " ADDRESS ": locked (tsm: linux)\n");
}

Test(cli_attach, dry_run)
{
	serve("\"dry_run\":true", "{\"parameters\":{\"plan\":" PLAN "}}|", 0, NULL);
	cli.dry_run = true;
	cr_assert_eq(run("tvm0", ADDRESS), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str("tvm0/ua-tdi-nic0 " ADDRESS
				": would be attached (tsm: linux); meanwhile device_connect " DSM
				"\n<hostdev>\n  <x/>\n</hostdev>\n");
}

Test(cli_attach, json)
{
	serve("Attach", "{\"parameters\":{\"assignment\":" ASSIGNMENT("attached") "}}|", 0, NULL);
	cli.json = true;
	cr_assert_eq(run("tvm0", ADDRESS), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(ASSIGNMENT("attached") "\n");
}

/* --- detach --- */

Test(cli_attach, detach_needs_a_name)
{
	cli.command = &command_detach;
	cr_assert_eq(run("tvm0", NULL), CLI_USAGE);
}

Test(cli_attach, detach)
{
	serve("Detach\",\"parameters\":{\"domain\":\"tvm0\",\"name\":\"ua-tdi-nic0\","
	      "\"client_token\":\"t\",\"timeout_ms\":60000},\"more\":true}",
	      "{\"parameters\":{\"assignment\":" ASSIGNMENT("unbinding") "},\"continues\":true}|",
	      0, "{\"parameters\":{\"assignment\":" ASSIGNMENT("released") "}}|");
	cli.command = &command_detach;
	cli.token = "t";
	cr_assert_eq(run("tvm0/ua-tdi-nic0", NULL), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str("tvm0/ua-tdi-nic0 " ADDRESS ": released\n");
}

/* --- drain --- */

Test(cli_attach, drain_needs_an_address)
{
	cli.command = &command_drain;
	cr_assert_eq(run("tvm0", NULL), CLI_USAGE);
	says("'tvm0' is no address of a DSM");
}

Test(cli_attach, drain_and_undrain)
{
	serve("Drain\",\"parameters\":{\"dsm\":\"" DSM "\",\"timeout_ms\":300000},\"more\":true}",
	      "{\"parameters\":{\"dsm\":{\"dsm\":\"" DSM
	      "\",\"tsm\":\"linux\",\"state\":\"connected\","
	      "\"connected\":true,\"pinned\":false,\"drained\":true},\"assignment\":" ASSIGNMENT(
		      "released") "},\"continues\":true}|",
	      0,
	      "{\"parameters\":{\"dsm\":{\"dsm\":\"" DSM "\",\"tsm\":\"linux\",\"state\":\"idle\","
	      "\"connected\":false,\"pinned\":false,\"drained\":true}}}|");
	cli.command = &command_drain;
	cr_assert_eq(run(DSM, NULL), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(DSM ": drained, idle (tsm: linux)\n");
}
