/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/assignment.h"
#include "cli/dsm-verb.h"
#include "cli/text.h"
#include "core/bdf.h"

static char *dsm_line(json_object *dsm)
{
	return text_format("%s: drained, %s (tsm: %s)", json_get_string(dsm, "dsm"),
			   json_get_string(dsm, "state"), json_get_string(dsm, "tsm"));
}

static char *progress_line(json_object *parameters)
{
	json_object *object = json_get_object(parameters, "assignment");
	Assignment a = object ? assignment_read(object) : (Assignment){ 0 };

	return object ? text_format("%s/%s %s: %s", a.domain_name, a.name, a.device, a.state)
		      : NULL;
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	uint64_t timeout_usec = cli->timeout_usec ? cli->timeout_usec : VERB_TIMEOUT_USEC;
	VerbCall call = { .method = "Drain",
			  .verb = "the drain",
			  .line = dsm_line,
			  .object = "dsm",
			  .progress = progress_line,
			  .timed = true };
	char address[BDF_STRING_SIZE];
	CliStatus status = dsm_verb_address(cli, arguments[0], address);

	if (status != CLI_OK)
		return status;
	if (json_build(&parameters, J_STRING("dsm", address),
		       J_INT("timeout_ms", (int64_t)((timeout_usec + 999) / 1000))) < 0)
		abort();
	call.parameters = parameters;
	return verb_run(cli, &call, address);
}

const Command command_drain = {
	.name = "drain",
	.arguments = "DSM",
	.summary = "Take a device out of use: nobody gets it any more",
	.help = "DSM is the address of the device's function 0. From now on nobody gets a "
		"function\n"
		"of it, also after a restart of tdid (but not of the host), until 'tdictl "
		"undrain'.\n"
		"All of them are detached, and then the device is reclaimed (device_reclaim). "
		"Waits\n"
		"until that is done or has failed; after a second standard error\n"
		"tells each change.\n" VERB_TIMEOUT_HELP "\n"
		"--json prints {dsm, tsm, state, connected, pinned, pinned_by, connected_by,\n"
		"drained, reason}.\n",
	.options = COMMAND_TIMEOUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
