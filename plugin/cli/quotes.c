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
	{ "HELD", .right = true },
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

static const TableColumn bucket_columns[] = {
	{ "LATENCY", .right = true },
	{ "REQUESTS", .right = true },
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
						"limited", NULL,    "bad",	   "gone" };
	json_object *counts = json_get_object(asker, "counts");
	char n[ELEMENTSOF(outcomes)][NUMBER_SIZE], open[NUMBER_SIZE], median[40], p99[40];
	const char *cells[ELEMENTSOF(asker_columns)] = { json_get_string(asker, "name") };

	for (size_t i = 0; i < ELEMENTSOF(outcomes); i++)
		cells[1 + i] = outcomes[i] ? number(counts, outcomes[i], n[i])
					   : number(asker, "held", n[i]);
	cells[9] = number(asker, "in_flight", open);
	cells[10] = bound(asker, "median_usec", median);
	cells[11] = bound(asker, "p99_usec", p99);
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

static bool is_called(json_object *asker, const char *who)
{
	const char *domain = json_get_string(asker, "domain");

	return strcmp(json_get_string(asker, "name"), who) == 0 ||
	       (domain && strcasecmp(domain, who) == 0);
}

/* Of the askers, those that are called so. */
static json_object *called(json_object *askers, const char *who)
{
	json_object *found = json_object_new_array();

	for (size_t i = 0; found && i < json_object_array_length(askers); i++) {
		json_object *asker = json_object_array_get_idx(askers, i);

		if (is_called(asker, who))
			json_object_array_add(found, json_object_get(asker));
	}
	return found;
}

static void print_latency(json_object *asker, const TableStyle *style)
{
	_cleanup_(table_freep) Table *table = table_new(bucket_columns, ELEMENTSOF(bucket_columns));
	json_object *buckets = json_get_array(asker, "latency");
	char up_to[40], requests[NUMBER_SIZE];

	for (size_t i = 0; i < json_object_array_length(buckets); i++) {
		json_object *bucket = json_object_array_get_idx(buckets, i);

		table_add(table,
			  (const char *const[]){ bound(bucket, "up_to_usec", up_to) ?: "longer",
						 number(bucket, "requests", requests) });
	}
	if (json_object_array_length(buckets) == 0)
		return;
	putchar('\n');
	table_print(table, style, stdout);
}

/* What is asked about somebody: one row, and how long each took. */
static CliStatus print_one(const Cli *cli, json_object *askers, const char *who)
{
	_cleanup_(table_freep) Table *table = table_new(asker_columns, ELEMENTSOF(asker_columns));
	_cleanup_(json_unrefp) json_object *found = called(askers, who);
	TableStyle style = table_style(stdout);
	size_t n = found ? json_object_array_length(found) : 0;

	if (n == 0) {
		cli_error(cli,
			  "nobody who is called '%s' has asked for a quote; 'tdictl quotes' "
			  "lists who has",
			  who);
		return CLI_REFUSED;
	}
	if (cli->json) {
		cli_print_json(found);
		return CLI_OK;
	}
	for (size_t i = 0; i < n; i++)
		add_asker(table, json_object_array_get_idx(found, i));
	table_print(table, &style, stdout);
	for (size_t i = 0; i < n; i++)
		print_latency(json_object_array_get_idx(found, i), &style);
	return CLI_OK;
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
	if (arguments[0])
		return print_one(cli, json_get_array(reply, "askers"), arguments[0]);
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
	.arguments = "[WHO]",
	.summary = "Show who has asked for TDX quotes, and how the quoting services do",
	.help = "STATE is that of a service's circuit breaker: closed is good; open: it is not "
		"asked\n"
		"until it answers a check. LIMITED were turned away, GONE have not waited. HELD "
		"is\n"
		"how often a TVM had to wait before its own socket, for its limits; MEDIAN and "
		"P99\n"
		"are bounds, of the time from then on. With WHO, a domain's name or UUID or "
		"another's\n"
		"name, how many took how long. For all figures: io.tdid.Quote Metrics.\n"
		"--json prints {askers, upstreams} with the field names of io.tdid.Quote; with "
		"WHO\n"
		"an array of askers.\n",
	.max_arguments = 1,
	.run = run,
	.service = &cli_quoted,
};
