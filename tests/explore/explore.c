/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Explores the shipped engine over everything that can happen around it.
 *
 *   explore           the scenarios below
 *   explore --deep    the same with more trouble: minutes
 *   explore --prove   breaks the engine on purpose, once for each line, and sees that it is noticed
 *
 * Exit code: 0 all properties hold (or every mistake was noticed), 1 not so, 2 it could not be
 * done.
 */
#include "mistakes.h"
#include "search.h"
#include "table.h"

#include "core/cleanup.h"

#include <stdlib.h>
#include <string.h>

static const Scenario scenarios[] = {
	{ .name = "one TDI of one TVM",
	  .tvms = 1,
	  .dsms = 1,
	  .tdis = 1,
	  .assignments = 1,
	  .tvm_of = { 0 },
	  .tdi_of = { 0 },
	  .dsm_of = { 0 },
	  .arrivals = 2,
	  .trouble = 3,
	  .requests = 2,
	  .clears = 1 },
	{ .name = "the same, held when rejected, bound again after a timeout",
	  .tvms = 1,
	  .dsms = 1,
	  .tdis = 1,
	  .assignments = 1,
	  .tvm_of = { 0 },
	  .tdi_of = { 0 },
	  .dsm_of = { 0 },
	  .arrivals = 1,
	  .trouble = 3,
	  .clears = 1,
	  .policy = { .on_reject = POLICY_HOLD, .on_timeout = POLICY_REBIND, .rebinds = 1 } },
	{ .name = "the same where the guest locks, bound again after errors",
	  .tvms = 1,
	  .dsms = 1,
	  .tdis = 1,
	  .assignments = 1,
	  .tvm_of = { 0 },
	  .tdi_of = { 0 },
	  .dsm_of = { 0 },
	  .arrivals = 1,
	  .trouble = 3,
	  .guest_locks = true,
	  .policy = { .on_error = POLICY_REBIND, .rebinds = 1 } },
	{ .name = "one TDI wanted by two TVMs",
	  .tvms = 2,
	  .dsms = 1,
	  .tdis = 1,
	  .assignments = 2,
	  .tvm_of = { 0, 1 },
	  .tdi_of = { 0, 0 },
	  .dsm_of = { 0 },
	  .arrivals = 1,
	  .trouble = 2,
	  .clears = 1 },
	{ .name = "two TDIs of one DSM, two TVMs",
	  .tvms = 2,
	  .dsms = 1,
	  .tdis = 2,
	  .assignments = 2,
	  .tvm_of = { 0, 1 },
	  .tdi_of = { 0, 1 },
	  .dsm_of = { 0, 0 },
	  .arrivals = 1,
	  .trouble = 1,
	  .requests = 1 },
	{ .name = "two TDIs of two DSMs, two TVMs",
	  .tvms = 2,
	  .dsms = 2,
	  .tdis = 2,
	  .assignments = 2,
	  .tvm_of = { 0, 1 },
	  .tdi_of = { 0, 1 },
	  .dsm_of = { 0, 1 },
	  .arrivals = 1,
	  .trouble = 0 },
	{ .name = "two TDIs of one DSM, one of them wanted by two TVMs",
	  .tvms = 2,
	  .dsms = 1,
	  .tdis = 2,
	  .assignments = 3,
	  .tvm_of = { 0, 1, 1 },
	  .tdi_of = { 0, 0, 1 },
	  .dsm_of = { 0, 0 },
	  .arrivals = 1,
	  .trouble = 0 },
};

static int explore(uint8_t more)
{
	bool broken = false;

	for (size_t i = 0; i < ELEMENTSOF(scenarios); i++) {
		Scenario scenario = scenarios[i];
		SearchResult result;

		scenario.trouble += more;
		table_restore();
		if (search(&scenario, EFFECT_N_TYPES, stdout, &result) < 0) {
			fprintf(stderr, "explore: %s: it takes more than 2 GiB of memory\n",
				scenario.name);
			return 2;
		}
		printf("%s: %u states, %llu transitions, %.1f s\n", scenario.name,
		       (unsigned)result.states, (unsigned long long)result.transitions,
		       result.seconds);
		fflush(stdout);
		broken |= result.broken != NULL;
	}
	return broken;
}

int main(int argc, char **argv)
{
	if (argc == 1)
		return explore(0);
	if (argc == 2 && strcmp(argv[1], "--deep") == 0)
		return explore(1);
	if (argc == 2 && strcmp(argv[1], "--prove") == 0)
		return mistakes_prove(scenarios, 2);
	fprintf(stderr, "usage: explore [--deep | --prove]\n");
	return 2;
}
