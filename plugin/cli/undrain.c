/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dsm-verb.h"

static CliStatus run(Cli *cli, char **arguments)
{
	return dsm_verb_run(cli, "Undrain", "the end of the drain", arguments[0]);
}

const Command command_undrain = {
	.name = "undrain",
	.arguments = "DSM",
	.summary = "End a drain",
	.help = "DSM is the address of the device's function 0: its functions are to be had "
		"again.\n"
		"A drain that is under way ends, and what it has detached stays "
		"so.\n" DSM_VERB_HELP,
	.options = COMMAND_TIMEOUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
