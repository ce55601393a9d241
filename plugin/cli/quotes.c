/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/text.h"

#include <string.h>

static const TableColumn asker_columns[] = {
	{ "WHO" },
	{ "OK", .right = true },
	{ "ERROR", .right = true },
	{ "UNAVAILABLE", .right = true },
	{ "LATE", .right = true },
	{ "LIMITED", .right = true },
	{ "BAD", .right = true },
	{ "GONE", .right = true },
	{ "IN FLIGHT", .right = true },
	{ "MEDIAN", .right = true },
	{ "P99", .right = true },
};

static const TableColumn upstream_columns[] = {
	{ "UPSTREAM" },
	{ "STATE" },
	{ "IN FLIGHT", .right = true },
	{ "ANSWERED", .right = true },
	{ "FAILED", .right = true },
	{ "MEDIAN", .right = true },
	{ "P99", .right = true },
	{ "TROUBLE" },
};

enum { COLUMN_STATE = 1 };

#define NUMBER_SIZE TEXT_DURATION_SIZE

static const char *number(json_object *object, const char *name, char buffer[static NUMBER_SIZE])
{
	snprintf(buffer, NUMBER_SIZE, "%lld", (long long)json_get_int(object, name, 0));
	return buffer;
}

/* They are the bounds of buckets. */
static const char *bound(json_object *object, const char *name, char buffer[static 40])
{
	char text[TEXT_DURATION_SIZE];
	int64_t usec = json_get_int(object, name, -1);

	if (usec < 0)
		return NULL;
	snprintf(buffer, 40, "<= %s", text_duration((uint64_t)usec, text));
	return buffer;
}

static void add_asker(Table *table, json_object *asker)
{
	static const char *const outcomes[] = { "ok",	   "error", "unavailable", "late",
						"limited", "bad",   "gone" };
	json_object *counts = json_get_object(asker, "counts");
	char n[ELEMENTSOF(outcomes)][NUMBER_SIZE], open[NUMBER_SIZE], median[40], p99[40];
	const char *cells[ELEMENTSOF(asker_columns)] = { json_get_string(asker, "name") };

	for (size_t i = 0; i < ELEMENTSOF(outcomes); i++)
		cells[1 + i] = number(counts, outcomes[i], n[i]);
	cells[8] = number(asker, "in_flight", open);
	cells[9] = bound(asker, "median_usec", median);
	cells[10] = bound(asker, "p99_usec", p99);
	table_add(table, cells);
}

static void add_upstream(Table *table, json_object *upstream)
{
	char busy[NUMBER_SIZE], answered[NUMBER_SIZE], failed[NUMBER_SIZE], median[40], p99[40];
	const char *state = json_get_string(upstream, "state");

	table_add(table, (const char *const[]){ json_get_string(upstream, "address"), state,
						number(upstream, "in_flight", busy),
						number(upstream, "answered", answered),
						number(upstream, "failed", failed),
						bound(upstream, "median_usec", median),
						bound(upstream, "p99_usec", p99),
						json_get_string(upstream, "trouble") });
	table_tone(table, COLUMN_STATE, strcmp(state, "closed") == 0 ? TABLE_GOOD : TABLE_BAD);
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(table_freep) Table *askers = table_new(asker_columns, ELEMENTSOF(asker_columns));
	_cleanup_(table_freep) Table *upstreams =
		table_new(upstream_columns, ELEMENTSOF(upstream_columns));
	_cleanup_(json_unrefp) json_object *reply = NULL;
	TableStyle style = table_style(stdout);
	CliStatus status = cli_call(cli, "List", NULL, &reply);
	json_object *array;

	if (status != CLI_OK)
		return status;
	if (cli->json) {
		cli_print_json(reply);
		return CLI_OK;
	}
	array = json_get_array(reply, "upstreams");
	for (size_t i = 0; i < json_object_array_length(array); i++)
		add_upstream(upstreams, json_object_array_get_idx(array, i));
	table_print(upstreams, &style, stdout);
	array = json_get_array(reply, "askers");
	if (json_object_array_length(array) == 0) {
		fprintf(stderr, "Nobody has asked for a quote.\n");
		return CLI_OK;
	}
	for (size_t i = 0; i < json_object_array_length(array); i++)
		add_asker(askers, json_object_array_get_idx(array, i));
	putchar('\n');
	table_print(askers, &style, stdout);
	return CLI_OK;
}

const Command command_quotes = {
	.name = "quotes",
	.arguments = "",
	.summary = "Show who has asked for TDX quotes, and how the quoting services do",
	.help = "STATE is that of a service's circuit breaker: closed is good; open: it is not "
		"asked\n"
		"until it answers a check. LIMITED were turned away, GONE have not waited. MEDIAN\n"
		"and P99 are bounds. For figures in full: io.tdid.Quote Metrics.\n"
		"--json prints {askers, upstreams} with the field names of io.tdid.Quote.\n",
	.run = run,
	.service = &cli_quoted,
};
