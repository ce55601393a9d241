/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdictl's wait, watch and metrics with a real tdid, which may be restarted under them. */
#include "cli/cli.h"
#include "schemas/schemas.h"
#include "testing-child.h"

static TestingChild child;

static void begin(void)
{
	set_up();
	testing_daemon_start(&d);
}

static void finish(void)
{
	testing_child_done(&child);
	tear_down();
}

TestSuite(cli_wait, .init = begin, .fini = finish);

typedef struct Options {
	const char *state, *until;
	uint64_t timeout_usec;
	bool json;
} Options;

static void run_command(const Command *command, const char *argument, Options options)
{
	char *arguments[] = { (char *)argument, NULL };
	Cli cli = { .command = command,
		    .state = options.state,
		    .until = options.until,
		    .json = options.json,
		    .timeout_usec = options.timeout_usec };
	char path[128];
	int status;

	snprintf(path, sizeof(path), "%s/io.tdid.Assignments", d.directory);
	testing_child_done(&child);
	if (!testing_child_fork(&child))
		return;
	cli.socket = path;
	if (idl_parse(&cli.interface, schema_io_tdid_assignments, NULL) < 0)
		_exit(100);
	status = (int)command->run(&cli, arguments);
	fflush(stdout);
	_exit(status);
}

static void wait_for(const char *argument, Options options)
{
	run_command(&command_wait, argument, options);
}

static void restart(void)
{
	testing_daemon_stop(&d);
	CHILD_SAYS(&child, "tdid closed the connection at");
	testing_daemon_start(&d);
}

static void reject(void)
{
	testing_guest_event(SESSION_A, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"rejected\","
			    "\"step\":\"measurements\",\"reason\":\"bad digest\"");
}

Test(cli_wait, usage)
{
	wait_for("tvm0", (Options){});
	CHILD_ENDS(&child, CLI_USAGE);
	wait_for("tvm0/x", (Options){ .state = "running,runing" });
	CHILD_ENDS(&child, CLI_USAGE);
	CHILD_SAYS(&child, "--state: 'runing' is no state; there are declared, waiting,");
	wait_for("tvm0/x", (Options){ .state = "" });
	CHILD_ENDS(&child, CLI_USAGE);
	wait_for("tvm0/\xff", (Options){});
	CHILD_ENDS(&child, CLI_USAGE);
}

Test(cli_wait, no_such_domain)
{
	wait_for("tvm5/x", (Options){});
	CHILD_ENDS(&child, CLI_REFUSED);
	CHILD_SAYS(&child, "tdid knows of no trusted devices in a domain tvm5");
	wait_for("tvm5/x", (Options){ .state = "released" });
	CHILD_ENDS(&child, CLI_REFUSED);
	CHILD_SAYS(&child, "tdid knows of no trusted devices in a domain tvm5");
}

Test(cli_wait, tdid_is_not_there)
{
	testing_daemon_stop(&d);
	wait_for("tvm0/x", (Options){});
	CHILD_ENDS(&child, CLI_UNREACHABLE);
}

Test(cli_wait, until_it_runs)
{
	lock();
	wait_for("tvm0/" ALIAS, (Options){});
	CHILD_SAYS(&child, "waiting for tvm0/" ALIAS " to be running");
	testing_guest_send(ACCEPT);
	CHILD_ENDS(&child, CLI_OK);
	CHILD_SAYS(&child, "tvm0/" ALIAS ": running (tsm: fake (emulated, no protection))\n");
}

Test(cli_wait, json)
{
	lock();
	wait_for("tvm0/0000:41:00.1", (Options){ .state = "held,locked", .json = true });
	CHILD_ENDS(&child, CLI_OK);
	cr_assert(strstr(child.text, "{\"domain\":\"" TVM0 "\",") == child.text, "%s", child.text);
	wait_for("tvm0/other", (Options){ .state = "released", .json = true });
	CHILD_ENDS(&child, CLI_OK);
	cr_assert_str_eq(child.text, "null\n");
}

Test(cli_wait, cannot_get_there)
{
	lock();
	wait_for("tvm0/" ALIAS, (Options){});
	CHILD_SAYS(&child, "waiting for");
	reject();
	CHILD_ENDS(&child, CLI_NEVER);
	CHILD_SAYS(&child, "tvm0/" ALIAS ": it is detaching: ");
	CHILD_SAYS(&child, "bad digest");
}

Test(cli_wait, timeout)
{
	lock();
	wait_for("tvm0/" ALIAS, (Options){ .timeout_usec = 50000 });
	CHILD_ENDS(&child, CLI_TIMEOUT);
	CHILD_SAYS(&child, "it is not running in time: it is locked");
}

Test(cli_wait, tdid_is_restarted)
{
	lock();
	wait_for("tvm0/" ALIAS, (Options){});
	CHILD_SAYS(&child, "waiting for");
	restart();
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_B);
	fake_tsm_set(d.tsm, tdi(), "run", true);
	CHILD_ENDS(&child, CLI_OK);
	CHILD_SAYS(&child, "tvm0/" ALIAS ": running");
}

/* tdid does not come back: the time is over all the same. */
Test(cli_wait, tdid_goes_away)
{
	lock();
	wait_for("tvm0/" ALIAS, (Options){ .timeout_usec = 1500000 });
	CHILD_SAYS(&child, "waiting for");
	testing_daemon_stop(&d);
	CHILD_ENDS(&child, CLI_TIMEOUT);
	CHILD_SAYS(&child, "tdid has not answered in time");
}

Test(cli_wait, watch_over_a_restart)
{
	lock();
	run_command(&command_watch, NULL, (Options){ .until = "failed" });
	CHILD_SAYS(&child, "locked       (as it stands)");
	restart();
	CHILD_SAYS(&child, "tdid is back");
	CHILD_SAYS(&child, "tdid was restarted: how things stand now follows");
	CHILD_UNTIL(&child, strstr(strstr(child.text, "restarted"), "locked       (as it stands)"));
	UNTIL(d.event, fake_vmm.guest_fd >= 0);
	testing_guest_hello(SESSION_B);
	testing_guest_event(SESSION_B, "Verdict",
			    "\"name\":\"" ALIAS "\",\"generation\":1,\"verdict\":\"rejected\","
			    "\"step\":\"report\",\"reason\":\"too bad\"");
	EXPECT_STATE(&d, ALIAS, ASSIGNMENT_DETACHING);
	detach();
	CHILD_ENDS(&child, CLI_OK);
}

Test(cli_wait, watch_without_tdid)
{
	testing_daemon_stop(&d);
	run_command(&command_watch, NULL, (Options){});
	CHILD_ENDS(&child, CLI_UNREACHABLE);
}

Test(cli_wait, watch_usage)
{
	run_command(&command_watch, "\xff", (Options){});
	CHILD_ENDS(&child, CLI_USAGE);
	run_command(&command_watch, NULL, (Options){ .until = "running," });
	CHILD_ENDS(&child, CLI_USAGE);
}

Test(cli_wait, metrics)
{
	run_command(&command_metrics, NULL, (Options){});
	CHILD_ENDS(&child, CLI_OK);
	cr_assert(strncmp(child.text, "# TYPE tdid_build_info gauge\n", 29) == 0);
	cr_assert_str_eq(child.text + strlen(child.text) - 6, "# EOF\n");
	run_command(&command_metrics, NULL, (Options){ .json = true });
	CHILD_ENDS(&child, CLI_OK);
	cr_assert(strncmp(child.text, "{\"text\":\"# TYPE", 14) == 0);
}
