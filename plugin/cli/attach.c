/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/assignment.h"
#include "cli/text.h"
#include "cli/verb.h"
#include "core/bdf.h"
#include "core/engine.h"

#include <string.h>

static char *assignment_line(json_object *object)
{
	Assignment a = assignment_read(object);
	_cleanup_free_ char *tsm = assignment_tsm_words(&a);

	return text_format("%s/%s %s: %s (tsm: %s)", a.domain_name, a.name, a.device, a.state, tsm);
}

/* The XML as it is: tdid has made it, and it has several lines. */
static void print_xml(const char *xml)
{
	while (*xml) {
		size_t n = strcspn(xml, "\n");
		_cleanup_free_ char *line = text_format("%.*s", (int)n, xml);
		_cleanup_free_ char *clean = text_clean(line);

		puts(clean);
		xml += n + (xml[n] == '\n');
	}
}

static void print_plan(json_object *plan)
{
	bool there = json_get_bool(plan, "already_attached", false);
	bool connects = json_get_bool(plan, "connects", false);
	_cleanup_free_ char *line = text_format(
		"%s/%s %s: %s (tsm: %s)%s%s", json_get_string(plan, "domain_name"),
		json_get_string(plan, "name"), json_get_string(plan, "device"),
		there ? "is attached already" : "would be attached", json_get_string(plan, "tsm"),
		connects ? "; meanwhile device_connect " : "",
		connects ? json_get_string(plan, "dsm") : "");
	_cleanup_free_ char *clean = text_clean(line);

	puts(clean);
	print_xml(json_get_string(plan, "xml"));
}

static char *progress_line(json_object *parameters)
{
	json_object *assignment = json_get_object(parameters, "assignment");
	json_object *plan = json_get_object(parameters, "plan");

	if (assignment)
		return assignment_line(assignment);
	if (!plan)
		return NULL;
	return text_format("%s/%s %s: libvirt attaches it", json_get_string(plan, "domain_name"),
			   json_get_string(plan, "name"), json_get_string(plan, "device"));
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	uint64_t timeout_usec = cli->timeout_usec ? cli->timeout_usec : VERB_TIMEOUT_USEC;
	VerbCall call = { .method = "Attach",
			  .verb = "the attach",
			  .line = assignment_line,
			  .print = cli->dry_run ? print_plan : NULL,
			  .object = cli->dry_run ? "plan" : "assignment",
			  .progress = cli->dry_run ? NULL : progress_line,
			  .timed = true };
	AssignmentState state;
	char device[BDF_STRING_SIZE];
	Bdf bdf;

	if (bdf_parse(&bdf, arguments[1]) < 0) {
		cli_error(cli,
			  "'%s' is no address of a device, such as 0000:01:10.0. 'tdictl devices' "
			  "has them",
			  arguments[1]);
		return CLI_USAGE;
	}
	if (cli->wait_for && assignment_state_parse(&state, cli->wait_for) < 0) {
		cli_error(cli, "--wait: '%s' is no state; see 'tdictl attach --help'",
			  cli->wait_for);
		return CLI_USAGE;
	}
	if (json_build(&parameters, J_STRING("domain", arguments[0]),
		       J_STRING("device", bdf_format(bdf, device)), J_STRING("name", cli->name),
		       J_STRING("client_token", cli->token), J_STRING("wait_for", cli->wait_for),
		       J_BOOL_IF(cli->dry_run, "dry_run", true),
		       J_INT("timeout_ms", (int64_t)((timeout_usec + 999) / 1000))) < 0) {
		cli_error(cli, "an argument is not UTF-8");
		return CLI_USAGE;
	}
	call.parameters = parameters;
	return verb_run(cli, &call, device);
}

const Command command_attach = {
	.name = "attach",
	.arguments = "DOMAIN DEVICE",
	.summary = "Attach a device to a running domain, and wait for it",
	.help = "DOMAIN is its name or UUID, DEVICE the device's address on the host. tdid checks\n"
		"everything, lets libvirt attach the device, and connects the device's DSM "
		"meanwhile.\n"
		"What is there already is success. After a second standard error tells each "
		"change.\n"
		"\n"
		"  --name NAME        the device's alias: ua-tdi-NAME, or NAME if it begins so\n"
		"  --wait STATE       until it is in that state or further on the way attached,\n"
		"                     connecting, waiting, binding, bound, locked, running\n"
		"                     (attached)\n"
		"  --token TOKEN      asking once more with the same token does not attach it "
		"twice,\n"
		"                     not even when it has been detached meanwhile\n"
		"  --dry-run          check everything, say what would be done, and do nothing\n"
		"  --timeout SECONDS  wait no longer than that, and end with 4 (300); it goes "
		"on\n"
		"\n"
		"Interrupted before libvirt has been asked, it is cancelled; after that it goes "
		"on.\n"
		"--json prints the assignment as 'tdictl show' does, or with --dry-run\n"
		"{domain, domain_name, name, device, dsm, tsm, protection, connects,\n"
		"already_attached, xml}.\n",
	.options = COMMAND_NAME | COMMAND_WAIT | COMMAND_TOKEN | COMMAND_DRY_RUN | COMMAND_TIMEOUT,
	.min_arguments = 2,
	.max_arguments = 2,
	.run = run,
};
