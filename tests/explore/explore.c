/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Explores the shipped engine over everything that can happen around it.
 *
 *   explore           the worlds below, each to its end
 *   explore --deep    the same with one thing more that goes wrong, where that fits: many minutes
 *   explore --check   smaller ones: that states which are taken for the same have the same future
 *   explore --prove   breaks the engine on purpose, once for each line, and sees that it is noticed
 *
 * A world is explored to its end, but it is a bounded one: so many hot-plugs, so many requests, and
 * so many faults, which may be any (`MOVE_REJECT` and what follows it in model.h, and `Execution`)
 * at any moment, the death of the process between two effects of a step included. What comes late,
 * early or in another order is no fault: that is explored without bound.
 *
 * States that have the same future are one (canonical.c, symmetry.h). Of a state a 128-bit
 * fingerprint is kept: should two states have the same, what follows one of them would be missed.
 *
 * Exit code: 0 all properties hold (or every mistake was noticed), 1 not so, or it could not be
 * done.
 */
#include "mistakes.h"
#include "parallel.h"
#include "search.h"
#include "table.h"

#include "core/cleanup.h"

#include <string.h>
#include <time.h>

/* Any of three TDIs, of which two have one DSM, for either of two TVMs. */
#define THREE_TDIS                                                                                 \
	.tvms = 2, .dsms = 2, .tdis = 3, .assignments = 6, .tvm_of = { 0, 0, 0, 1, 1, 1 },         \
	.tdi_of = { 0, 1, 2, 0, 1, 2 }, .dsm_of = { 0, 0, 1 }, .arrivals = 1

#define ONE_TDI .tvms = 1, .dsms = 1, .tdis = 1, .assignments = 1

/* The largest first, so that the others are explored beside it. */
static const Scenario scenarios[] = {
	{ .name = "two TVMs, three TDIs on two DSMs, any three hot-plugs",
	  THREE_TDIS,
	  .hotplugs = 3,
	  .trouble = 1 },
	{ .name = "the same, any two hot-plugs",
	  THREE_TDIS,
	  .hotplugs = 2,
	  .trouble = 1,
	  .deep = 1,
	  .clears = 1 },
	{ .name = "the same, any four hot-plugs", THREE_TDIS, .hotplugs = 4 },
	{ .name = "two TDIs of one DSM, two TVMs",
	  .tvms = 2,
	  .dsms = 1,
	  .tdis = 2,
	  .assignments = 2,
	  .tvm_of = { 0, 1 },
	  .tdi_of = { 0, 1 },
	  .arrivals = 1,
	  .trouble = 2,
	  .deep = 1,
	  .requests = 1 },
	{ .name = "three TDIs of one DSM, one TVM",
	  .tvms = 1,
	  .dsms = 1,
	  .tdis = 3,
	  .assignments = 3,
	  .tdi_of = { 0, 1, 2 },
	  .arrivals = 1,
	  .trouble = 1 },
	{ .name = "one TDI wanted by two TVMs, the host carries LOCK and START",
	  .tvms = 2,
	  .dsms = 1,
	  .tdis = 1,
	  .assignments = 2,
	  .tvm_of = { 0, 1 },
	  .arrivals = 1,
	  .trouble = 2,
	  .clears = 1,
	  .host_carries = true,
	  .ready_at_once = true },
	/* From here on mistakes are looked for. */
	{ .name = "one TDI, the host carries LOCK and START, bound again after errors; admission "
		  "refuses",
	  ONE_TDI,
	  .arrivals = 2,
	  .trouble = 2,
	  .deep = 1,
	  .refusals = 1,
	  .requests = 1,
	  .host_carries = true,
	  .errors_untold = true,
	  .ready_at_once = true,
	  .policy = { .on_error = POLICY_REBIND, .rebinds = 1 } },
	{ .name = "one TDI wanted by two TVMs",
	  .tvms = 2,
	  .dsms = 1,
	  .tdis = 1,
	  .assignments = 2,
	  .tvm_of = { 0, 1 },
	  .arrivals = 1,
	  .trouble = 3,
	  .deep = 1,
	  .clears = 1,
	  .clears_any = true,
	  .ready_at_once = true },
	{ .name = "one TDI, held when rejected, bound again after a timeout; its policy changes",
	  ONE_TDI,
	  .arrivals = 1,
	  .trouble = 3,
	  .deep = 1,
	  .clears = 1,
	  .clears_any = true,
	  .changes = 1,
	  .policy = { .on_reject = POLICY_HOLD, .on_timeout = POLICY_REBIND, .rebinds = 1 },
	  .other = { .on_error = POLICY_HOLD } },
	{ .name = "one TDI of one TVM",
	  ONE_TDI,
	  .arrivals = 2,
	  .trouble = 3,
	  .deep = 1,
	  .requests = 2,
	  .clears = 1 },
};

#define FIRST_SMALL 6

typedef struct Exploration {
	bool deep, check;
	SearchResult *results; /* by scenario, shared */
} Exploration;

/* Each state is then looked at as often as it is reached. */
static void make_small(Scenario *scenario)
{
	scenario->trouble = scenario->trouble > 0;
	if (scenario->assignments == MAX_ASSIGNMENTS)
		scenario->hotplugs = scenario->trouble > 0 ? 1 : 2;
}

static int explore_one(size_t i, FILE *to, void *userdata)
{
	const Exploration *exploration = userdata;
	SearchResult *result = &exploration->results[i];
	Scenario scenario = scenarios[i];

	if (exploration->deep)
		scenario.trouble += scenario.deep;
	if (exploration->check)
		make_small(&scenario);
	table_restore();
	if (search(&scenario, EFFECT_N_TYPES, exploration->check, to, result) < 0) {
		fprintf(to, "explore: %s: it takes too much memory\n", scenario.name);
		return 2;
	}
	fprintf(to, "%s, faults at most %u: %u states, %llu transitions, %.1f s\n", scenario.name,
		scenario.trouble, (unsigned)result->states, (unsigned long long)result->transitions,
		result->seconds);
	return result->broken != NULL;
}

static int explore(bool deep, bool check)
{
	Exploration exploration = { .deep = deep, .check = check };
	unsigned long long states = 0, transitions = 0;
	struct timespec start, end;
	bool well;

	exploration.results = parallel_memory(sizeof(SearchResult) * ELEMENTSOF(scenarios));
	if (!exploration.results)
		return 1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	well = parallel_run(ELEMENTSOF(scenarios), explore_one, &exploration);
	clock_gettime(CLOCK_MONOTONIC, &end);
	for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
		states += exploration.results[i].states;
		transitions += exploration.results[i].transitions;
	}
	printf("%llu states, %llu transitions of %zu bounded worlds in %ld s: %s\n", states,
	       transitions, ELEMENTSOF(scenarios), (long)(end.tv_sec - start.tv_sec),
	       well ? "all properties hold" : "NOT WELL");
	return !well;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return explore(false, false);
	if (argc == 2 && strcmp(argv[1], "--deep") == 0)
		return explore(true, false);
	if (argc == 2 && strcmp(argv[1], "--check") == 0)
		return explore(false, true);
	if (argc == 2 && strcmp(argv[1], "--prove") == 0)
		return mistakes_prove(&scenarios[FIRST_SMALL], ELEMENTSOF(scenarios) - FIRST_SMALL);
	fprintf(stderr, "usage: explore [--deep | --check | --prove]\n");
	return 2;
}
