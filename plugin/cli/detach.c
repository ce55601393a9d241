/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/assignment.h"
#include "cli/text.h"
#include "cli/verb.h"

#define TIMEOUT_USEC (60 * 1000000ULL)

static char *assignment_line(json_object *object)
{
	Assignment a = assignment_read(object);

	return text_format("%s/%s %s: %s%s%s", a.domain_name, a.name, a.device, a.state,
			   a.reason ? ": " : "", a.reason ? a.reason : "");
}

static char *progress_line(json_object *parameters)
{
	json_object *assignment = json_get_object(parameters, "assignment");

	return assignment ? assignment_line(assignment) : NULL;
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	_cleanup_free_ char *domain = NULL;
	VerbCall call = { .method = "Detach",
			  .verb = "the detach",
			  .line = assignment_line,
			  .object = "assignment",
			  .progress = progress_line,
			  .timed = true };
	const char *name;
	CliStatus status = cli_split(cli, arguments[0], &domain, &name);

	if (status != CLI_OK)
		return status;
	if (!cli->timeout_usec)
		cli->timeout_usec = TIMEOUT_USEC;
	if (json_build(&parameters, J_STRING("domain", domain), J_STRING("name", name),
		       J_STRING("client_token", cli->token),
		       J_INT("timeout_ms", (int64_t)((cli->timeout_usec + 999) / 1000))) < 0) {
		cli_error(cli, "an argument is not UTF-8");
		return CLI_USAGE;
	}
	call.parameters = parameters;
	return verb_run(cli, &call, arguments[0]);
}

const Command command_detach = {
	.name = "detach",
	.arguments = "DOMAIN/NAME",
	.summary = "Take a device out of its domain, and wait until it is released",
	.help = "NAME is the device's alias or its address on the host. The guest is asked to let "
		"it\n"
		"go, as by 'virsh detach-device'; then the TSM unbinds it. What is released "
		"already is\n"
		"success. After a second standard error tells each change.\n"
		"\n"
		"  --token TOKEN      asking once more with the same token does not detach it "
		"twice,\n"
		"                     should it have been attached again meanwhile\n"
		"  --timeout SECONDS  wait no longer than that, and end with 4 (60); what the "
		"guest was\n"
		"                     asked for stands\n"
		"\n"
		"--json prints the assignment as 'tdictl show' does.\n",
	.options = COMMAND_TOKEN | COMMAND_TIMEOUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
