/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-cli.h"

#define ADDRESS "0000:01:10.0"
#define DEVICE                                                                                     \
	"{\"device\":\"" ADDRESS "\",\"dsm\":\"0000:01:00.0\",\"tsm\":\"linux\","                  \
	"\"is_virtual_function\":true,\"quarantined\":false"
#define ASSIGNMENT                                                                                 \
	"{\"domain\":\"11111111-2222-3333-4444-55555555abcd\",\"domain_name\":\"tvm0\","           \
	"\"name\":\"ua-tdi-nic0\",\"device\":\"" ADDRESS "\",\"generation\":1,"                    \
	"\"state\":\"quarantined\",\"state_source\":\"tsm\",\"protection\":true,\"timeline\":[]}"

static void set_up(void)
{
	testing_cli_begin(&command_clear);
}

TestSuite(cli_clear, .init = set_up, .fini = testing_cli_end);

static void serve(const char *call, const char *reply)
{
	testing_cli_serve(1, &(TestingCall){ call, reply });
}

static CliStatus run(const char *argument)
{
	char *arguments[] = { (char *)argument, NULL };

	return command_clear.run(&cli, arguments);
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
	serve("io.tdid.Assignments.Clear",
	      "{\"error\":\"io.tdid.Assignments.Refused\",\"parameters\":{"
	      "\"object\":\"" ADDRESS "\",\"message\":\"it stays so\"}}|");
	cr_assert_eq(run(ADDRESS), CLI_REFUSED);
	says("tdictl clear: it stays so\n");
}

Test(cli_clear, by_address)
{
	serve("Clear\",\"parameters\":{\"device\":\"" ADDRESS "\"}",
	      "{\"parameters\":{\"device\":" DEVICE "}}}|");
	cr_assert_eq(run(ADDRESS), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(ADDRESS ": not quarantined (tsm: linux)\n");
}

Test(cli_clear, by_domain_and_name)
{
	static const TestingCall calls[] = {
		{ "Get\",\"parameters\":{\"domain\":\"tvm0\",\"name\":\"ua-tdi-nic0\"}",
		  "{\"parameters\":{\"assignment\":" ASSIGNMENT "}}|" },
		{ "Clear\",\"parameters\":{\"device\":\"" ADDRESS "\"}",
		  "{\"parameters\":{\"device\":" DEVICE
		  ",\"domain_name\":\"tvm0\",\"name\":\"ua-tdi-nic0\"}}}|" },
	};

	testing_cli_serve(ELEMENTSOF(calls), calls);
	cr_assert_eq(run("tvm0/ua-tdi-nic0"), CLI_OK);
	fflush(stdout);
	cr_assert_stdout_eq_str(ADDRESS
				": not quarantined (tsm: linux); it is still tvm0/ua-tdi-nic0\n");
}
