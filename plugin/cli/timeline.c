/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/assignment.h"
#include "cli/cli.h"
#include "cli/segments.h"
#include "cli/text.h"

#include <errno.h>

#define BAR_COLUMNS 40

static const TableColumn columns[] = {
	{ "SEGMENT" },
	{ "START ms", .right = true },
	{ "DURATION ms", .right = true },
	{ "SHARE", .right = true },
	{ "" },
};

static void add_row(Table *table, const char *name, uint64_t start, uint64_t duration,
		    unsigned share, const char *bar)
{
	char start_text[32], duration_text[32], share_text[16];

	snprintf(start_text, sizeof(start_text), "%.3f", (double)start / 1000);
	snprintf(duration_text, sizeof(duration_text), "%.3f", (double)duration / 1000);
	snprintf(share_text, sizeof(share_text), "%u.%u %%", share / 10, share % 10);
	table_add(table, (const char *const[]){ name, start_text, duration_text, share_text, bar });
}

static void print_chart(const Assignment *a, const Segment *segments, size_t n, uint64_t total)
{
	_cleanup_(table_freep) Table *table = table_new(columns, ELEMENTSOF(columns));
	_cleanup_free_ char *tsm = assignment_tsm_words(a);
	_cleanup_free_ char *title =
		text_format("%s/%s %s, generation %lld, %s, tsm: %s", a->domain_name, a->name,
			    a->device, (long long)a->generation, a->state, tsm);
	_cleanup_free_ char *clean = text_clean(title);
	TableStyle style = table_style(stdout);
	char bar[BAR_COLUMNS + 1];

	printf("%s\n\n", clean);
	for (size_t i = 0; i < n; i++) {
		const Segment *s = &segments[i];
		_cleanup_free_ char *name = text_format("%s -> %s", s->from, s->to);

		add_row(table, name, s->start_usec, s->duration_usec, segment_share(s, total),
			segment_bar(s, total, BAR_COLUMNS, bar));
	}
	add_row(table, "total", 0, total, total ? 1000 : 0, "");
	table_print(table, &style, stdout);
}

static int print_json(const Segment *segments, size_t n, uint64_t total)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *name =
			text_format("%s -> %s", segments[i].from, segments[i].to);
		json_object *segment = NULL;
		int r = json_build(&segment, J_STRING("name", name),
				   J_INT("start_usec", (int64_t)segments[i].start_usec),
				   J_INT("duration_usec", (int64_t)segments[i].duration_usec));

		if (r == 0)
			r = json_append_take(array, segment);
		if (r < 0) {
			json_object_put(array);
			return r;
		}
	}
	if (json_build(&object, J_TAKE("segments", array), J_INT("total_usec", (int64_t)total)) < 0)
		return -ENOMEM;
	cli_print_json(object);
	return 0;
}

static CliStatus run(Cli *cli, char **arguments)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ SegmentMark *marks = NULL;
	_cleanup_free_ Segment *segments = NULL;
	uint64_t total;
	CliStatus status;
	Assignment a;
	size_t n;

	status = cli_get(cli, arguments[0], &object);
	if (status != CLI_OK)
		return status;
	a = assignment_read(object);
	n = json_object_array_length(a.timeline);
	marks = calloc(n + 1, sizeof(*marks));
	segments = calloc(n + 1, sizeof(*segments));
	if (!marks || !segments)
		abort();
	for (size_t i = 0; i < n; i++) {
		json_object *mark = json_object_array_get_idx(a.timeline, i);

		marks[i].at_usec = (uint64_t)json_get_int(mark, "at_usec", 0);
		marks[i].name = json_get_string(mark, "name");
	}
	if (segments_build(segments, &total, marks, n) < 0) {
		cli_error(cli, "%s: the marks of tdid's timeline are not in the order of time",
			  arguments[0]);
		return CLI_UNREACHABLE;
	}
	if (cli->json)
		return print_json(segments, segments_count(n), total) < 0 ? CLI_REFUSED : CLI_OK;
	if (segments_count(n) == 0) {
		fprintf(stderr, "Nothing has happened yet: the timeline has %s.\n",
			n ? "one mark only" : "no marks");
		return CLI_OK;
	}
	print_chart(&a, segments, segments_count(n), total);
	return CLI_OK;
}

const Command command_timeline = {
	.name = "timeline",
	.arguments = "DOMAIN/NAME",
	.summary = "Draw how long each step of the present or last bind took",
	.help = "One row for each stretch between two marks, in their order; they add up to the\n"
		"total. '|' stands for one that took no time.\n"
		"--json prints {segments: [{name, start_usec, duration_usec}], total_usec}.\n",
	.min_arguments = 1,
	.max_arguments = 1,
	.run = run,
};
