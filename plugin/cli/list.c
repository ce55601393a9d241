/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/assignment.h"
#include "cli/cli.h"

#include <string.h>

/* What must not be cut away on a narrow terminal comes first: whether it protects is of that. */
static const TableColumn columns[] = {
	{ "DOMAIN" },
	{ "NAME" },
	{ "STATE" },
	{ "TSM" },
	{ "DEVICE" },
	{ "GUEST" },
	{ "GEN", .right = true },
	{ "TDI STATE" },
	{ "REASON" },
};

enum { COLUMN_STATE = 2 };

static void add(Table *table, const Assignment *a)
{
	_cleanup_free_ char *tdi = assignment_tdi_words(a), *tsm = assignment_tsm_words(a);
	char generation[24];

	snprintf(generation, sizeof(generation), "%lld", (long long)a->generation);
	table_add(table, (const char *const[]){ a->domain_name, a->name, a->state, tsm, a->device,
						a->guest_address, generation, tdi, a->reason });
	table_tone(table, COLUMN_STATE, assignment_state_tone(a->state));
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *reply = NULL;
	_cleanup_(table_freep) Table *table = table_new(columns, ELEMENTSOF(columns));
	json_object *parameters = NULL, *assignments;
	TableStyle style = table_style(stdout);
	CliStatus status;
	size_t n;

	if (json_build(&parameters, J_STRING("domain", arguments[0])) < 0) {
		cli_error(cli, "'%s' is not UTF-8", arguments[0]);
		return CLI_USAGE;
	}
	status = cli_call(cli, "List", parameters, &reply);
	if (status != CLI_OK)
		return status;
	assignments = json_get_array(reply, "assignments");
	if (cli->json) {
		cli_print_json(assignments);
		return CLI_OK;
	}
	n = json_object_array_length(assignments);
	if (n == 0) {
		fprintf(stderr, "There are no trusted devices.\n");
		return CLI_OK;
	}
	for (size_t i = 0; i < n; i++) {
		Assignment a = assignment_read(json_object_array_get_idx(assignments, i));

		add(table, &a);
	}
	table_print(table, &style, stdout);
	return CLI_OK;
}

const Command command_list = {
	.name = "list",
	.arguments = "[DOMAIN]",
	.summary = "List the trusted devices of all domains, or of one",
	.help = "DOMAIN is a name or a UUID. GUEST is the device's address in the TVM, GEN counts\n"
		"its binds. Released and failed ones stay listed until their domain ends.\n"
		"--json prints an array, [] when there is nothing.\n",
	.max_arguments = 1,
	.run = run,
};
