/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/dsm-verb.h"

#include "cli/text.h"

static char *dsm_line(json_object *dsm)
{
	return text_format("%s: %s (tsm: %s)", json_get_string(dsm, "dsm"),
			   json_get_string(dsm, "state"), json_get_string(dsm, "tsm"));
}

CliStatus dsm_verb_address(const Cli *cli, const char *argument, char ret[static BDF_STRING_SIZE])
{
	Bdf bdf;

	if (bdf_parse(&bdf, argument) < 0) {
		cli_error(cli,
			  "'%s' is no address of a DSM, such as 0000:01:00.0. 'tdictl devices' has "
			  "them",
			  argument);
		return CLI_USAGE;
	}
	bdf_format(bdf, ret);
	return CLI_OK;
}

CliStatus dsm_verb_run(const Cli *cli, const char *method, const char *verb, const char *argument)
{
	VerbCall call = { .method = method, .verb = verb, .parameter = "dsm", .line = dsm_line };
	char address[BDF_STRING_SIZE];
	CliStatus status = dsm_verb_address(cli, argument, address);

	return status == CLI_OK ? verb_run(cli, &call, address) : status;
}
