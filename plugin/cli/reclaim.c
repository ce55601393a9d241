/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dsm-verb.h"

static CliStatus run(Cli *cli, char **arguments)
{
	return dsm_verb_run(cli, "Reclaim", "device_reclaim", arguments[0]);
}

const Command command_reclaim = {
	.name = "reclaim",
	.arguments = "DSM",
	.summary = "Take a device's session back, at once",
	.help = "DSM is the address of the device's function 0. Takes back 'tdictl connect' and "
		"ends\n"
		"the session (device_reclaim) without waiting for the idle grace. Refused while a\n"
		"TDI of it is in use. For a quarantined DSM this is the way out: when the TSM\n"
		"confirms that it holds no session, the DSM is idle again. A quarantined TDI of "
		"it\n"
		"has to be cleared first, with 'tdictl clear'.\n" DSM_VERB_HELP,
	.options = COMMAND_TIMEOUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
