/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/assignment.h"
#include "cli/cli.h"
#include "cli/text.h"

#include <string.h>

static void print_line(const char *label, const char *text)
{
	_cleanup_free_ char *clean = text_clean(text);

	printf("%14s %s\n", label, clean);
}

static void print_marks(json_object *marks)
{
	size_t n = json_object_array_length(marks);
	int64_t first = 0;

	if (n == 0) {
		print_line("timeline:", "empty");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		json_object *mark = json_object_array_get_idx(marks, i);
		const char *detail = json_get_string(mark, "detail");
		_cleanup_free_ char *line = NULL;
		int64_t at = json_get_int(mark, "at_usec", 0);

		if (i == 0)
			first = at;
		line = text_format("%12.3f ms  %s%s%s", (double)(at - first) / 1000,
				   json_get_string(mark, "name"), detail ? ": " : "",
				   detail ? detail : "");
		print_line(i == 0 ? "timeline:" : "", line);
	}
}

static void print_assignment(const Assignment *a)
{
	const char *meaning = assignment_state_words(a->state);
	_cleanup_free_ char *title = text_format("%s/%s", a->domain_name, a->name);
	_cleanup_free_ char *domain = text_format("%s (UUID %s)", a->domain_name, a->domain);
	_cleanup_free_ char *generation = text_format("%lld%s", (long long)a->generation,
						      a->generation == 0 ? " (never bound)" : "");
	_cleanup_free_ char *state = text_format("%s%s%s", a->state, *meaning ? ": " : "", meaning);
	_cleanup_free_ char *tsm = assignment_tsm_words(a);

	print_line("assignment:", title);
	print_line("domain:", domain);
	print_line("device:", a->device);
	print_line("dsm:", a->dsm ? a->dsm : "not known yet");
	print_line("guest address:", a->guest_address ? a->guest_address : "not known yet");
	print_line("generation:", generation);
	print_line("state:", state);
	if (a->reason)
		print_line("reason:", a->reason);
	print_line("tdi state:", a->tdi_state ? a->tdi_state : "not known");
	print_line("state source:", strcmp(a->state_source, "guest") == 0
					    ? "the TVM (this TSM does not tell the host)"
					    : "the TSM");
	print_line("tsm:", tsm);
	print_line("protection:", a->protection ? "yes" : "no");
	print_marks(a->timeline);
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	CliStatus status = cli_get(cli, arguments[0], &object);

	if (status != CLI_OK)
		return status;
	if (cli->json) {
		cli_print_json(object);
	} else {
		Assignment a = assignment_read(object);

		print_assignment(&a);
	}
	return CLI_OK;
}

const Command command_show = {
	.name = "show",
	.arguments = "DOMAIN/NAME",
	.summary = "Tell all about one trusted device",
	.help = "DOMAIN is a name or a UUID, NAME the device's alias or its address on the host.\n",
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
