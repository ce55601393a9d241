/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"

#include <stdio.h>

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *reply = NULL;
	CliStatus status = cli_call(cli, "Metrics", NULL, &reply);

	if (status != CLI_OK)
		return status;
	if (cli->json)
		cli_print_json(reply);
	else
		fputs(json_get_string(reply, "text"), stdout);
	return CLI_OK;
}

const Command command_metrics = {
	.name = "metrics",
	.arguments = "",
	.summary = "Print what tdid counts, as OpenMetrics",
	.help = "For node_exporter's textfile collector, by a timer that runs\n"
		"\n"
		"  tdictl metrics >DIRECTORY/tdid.tmp && mv DIRECTORY/tdid.tmp "
		"DIRECTORY/tdid.prom\n"
		"\n"
		"--json prints {text}.\n",
	.run = run,
};
