/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mistakes.h"

#include "search.h"
#include "table.h"

#include "core/cleanup.h"

#define S(x)  ASSIGNMENT_##x
#define SKIP  S(N_STATES) /* as `to`: the row is not there */
#define DROPS EFFECT_N_TYPES

/* Either a row of the table is another, or an effect is never carried out. */
typedef struct Mistake {
	const char *text;
	AssignmentState from;
	EngineInput input;
	EngineGuard guard;
	AssignmentState to;
	unsigned int actions;
	EngineEffectType dropped;
} Mistake;

static const Mistake mistakes[] = {
	/* clang-format off */
	{ "RUN without acceptance is taken",         S(LOCKED), IN_RUN_UNACCOUNTED, GUARD_NONE, S(RUNNING), ACT_TIMER_OFF, DROPS },
	{ "a bind goes on after the device left",    S(BINDING), IN_BIND_LOCKED, GUARD_LEFT, SKIP, 0, DROPS },
	{ "a running device leaves unnoticed",       S(RUNNING), IN_GONE, GUARD_NONE, SKIP, 0, DROPS },
	{ "a locked device is let go, still bound",  S(LOCKED), IN_GONE, GUARD_NONE, S(RELEASED), ACT_TIMER_OFF | ACT_DISOWN, DROPS },
	{ "ERROR is overlooked",                     S(RUNNING), IN_ERROR, GUARD_NONE, SKIP, 0, DROPS },
	{ "a lost session is overlooked",            S(WAITING), IN_DSM_LOST, GUARD_NONE, SKIP, 0, DROPS },
	{ "waiters do not hear of a refusal",        S(CONNECTING), IN_DSM_REFUSED, GUARD_NONE, SKIP, 0, DROPS },
	{ "an unknown bind leaves its TDI free",     S(BINDING), IN_BIND_UNKNOWN, GUARD_NONE, S(FAILED), ACT_DISOWN, DROPS },
	{ "an unknown bind does not keep its DSM",   S(BINDING), IN_BIND_UNKNOWN, GUARD_NONE, S(FAILED), ACT_QUARANTINE, DROPS },
	{ "an unknown unbind leaves its TDI free",   S(UNBINDING), IN_UNBIND_UNKNOWN, GUARD_NONE, S(RELEASED), ACT_DISOWN, DROPS },
	{ "the TDI is not given free",               S(UNBINDING), IN_UNBIND_CLEAN, GUARD_NONE, SKIP, 0, DROPS },
	{ "the guest timer is not stopped",          S(LOCKED), IN_RUN, GUARD_NONE, S(RUNNING), 0, DROPS },
	{ "nobody unbinds",                          SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_UNBIND },
	{ "nobody detaches",                         SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_DETACH },
	{ "assignments are not recorded",            SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_PERSIST_ASSIGNMENT },
	{ "TDIs are not recorded",                   SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_PERSIST_TDI },
	{ "DSMs are not recorded",                   SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_PERSIST_DSM },
	{ "the idle timer is never started",         SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_TIMER_IDLE },
	{ "nobody says that a TVM is quiet",         SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_TVM_QUIET },
	/* clang-format on */
};

static bool make(const Mistake *mistake)
{
	EngineTransition *row;

	table_restore();
	if (mistake->dropped != DROPS)
		return true;
	row = table_row(mistake->from, mistake->input, mistake->guard);
	if (!row)
		return false;
	if (mistake->to == SKIP) {
		row->from = SKIP;
	} else {
		row->to = mistake->to;
		row->actions = mistake->actions;
	}
	return true;
}

int mistakes_prove(const Scenario *scenario)
{
	size_t noticed = 0;
	SearchResult result;

	table_restore();
	if (search(scenario, DROPS, stdout, &result) < 0)
		return 2;
	printf("%-42s %s\n", "no mistake", result.broken ? "BROKEN" : "all properties hold");
	if (result.broken)
		return 1;
	for (size_t i = 0; i < ELEMENTSOF(mistakes); i++) {
		if (!make(&mistakes[i])) {
			printf("%-42s NO SUCH ROW\n", mistakes[i].text);
			continue;
		}
		if (search(scenario, mistakes[i].dropped, NULL, &result) < 0)
			return 2;
		printf("%-42s %s\n", mistakes[i].text,
		       result.broken ? result.broken : "NOT NOTICED");
		noticed += result.broken != NULL;
	}
	printf("%zu of %zu mistakes noticed\n", noticed, ELEMENTSOF(mistakes));
	return noticed != ELEMENTSOF(mistakes);
}
