/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dsm-verb.h"

static CliStatus run(Cli *cli, char **arguments)
{
	return dsm_verb_run(cli, "Connect", "device_connect", arguments[0]);
}

const Command command_connect = {
	.name = "connect",
	.arguments = "DSM",
	.summary = "Connect a device without any bind, and keep it so",
	.help = "DSM is the address of the device's function 0. It is authenticated and its link\n"
		"encrypted (device_connect), and it stays connected, used or not, until 'tdictl\n"
		"reclaim' or until its session is lost. Waits until that is done or has "
		"failed.\n" DSM_VERB_HELP,
	.options = COMMAND_TIMEOUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
