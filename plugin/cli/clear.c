/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/text.h"
#include "cli/verb.h"
#include "core/bdf.h"

#include <errno.h>
#include <string.h>

static char *device_line(json_object *device)
{
	const char *domain = json_get_string(device, "domain_name");
	const char *name = json_get_string(device, "name");

	return text_format("%s: not quarantined (tsm: %s)%s%s%s%s",
			   json_get_string(device, "device"), json_get_string(device, "tsm"),
			   domain ? "; it is still " : "", domain ? domain : "", domain ? "/" : "",
			   domain && name ? name : "");
}

/* The host's address of DOMAIN/NAME, or the one that was given. */
static CliStatus find_address(const Cli *cli, const char *argument, Bdf *ret)
{
	_cleanup_(json_unrefp) json_object *assignment = NULL;
	CliStatus status;

	if (!strchr(argument, '/')) {
		if (bdf_parse(ret, argument) >= 0)
			return CLI_OK;
		cli_error(cli,
			  "'%s' is neither DOMAIN/NAME nor a device's address, such as "
			  "0000:01:10.0. 'tdictl devices' has them",
			  argument);
		return CLI_USAGE;
	}
	status = cli_get(cli, argument, &assignment);
	if (status == CLI_OK && bdf_parse(ret, json_get_string(assignment, "device")) < 0)
		return cli_tell_failure(cli, -EBADMSG, NULL);
	return status;
}

static CliStatus run(Cli *cli, char **arguments)
{
	static const VerbCall call = {
		.method = "Clear",
		.verb = "tdi_unbind",
		.parameter = "device",
		.line = device_line,
	};
	char address[BDF_STRING_SIZE];
	CliStatus status;
	Bdf bdf;

	status = find_address(cli, arguments[0], &bdf);
	return status == CLI_OK ? verb_run(cli, &call, bdf_format(bdf, address)) : status;
}

const Command command_clear = {
	.name = "clear",
	.arguments = "DOMAIN/NAME|DEVICE",
	.summary = "End the quarantine of a device",
	.help = "For a device of which nobody knows what the TSM holds of it. DEVICE is its "
		"address\n"
		"on the host. The TSM is asked to unbind it (tdi_unbind), whoever had it; a "
		"device\n"
		"that never confirmed the end of its last bind is reset (FLR), where its provider\n"
		"may, and asked again. When the TSM and the device, or such a reset in the "
		"device's\n"
		"place, confirm that nothing is left, the device is to be had again; if it is "
		"still\n"
		"in a domain, it is taken out of there. Else it stays quarantined, and what is\n"
		"printed says why and what else can be done. A device that the TSM holds although\n"
		"no domain has it (the records of its bind were lost) is unbound in the\n"
		"same way.\n" VERB_TIMEOUT_HELP "\n"
		"--json prints {device, dsm, tsm, quarantined, ...} as 'tdictl devices' does.\n",
	.options = COMMAND_TIMEOUT,
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
