/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mistakes.h"

#include "parallel.h"
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
	bool unguarded; /* the row counts whether its guard holds or not */
} Mistake;

static const Mistake mistakes[] = {
	/* clang-format off */
	{ "RUN without acceptance is taken",         S(LOCKED), IN_RUN_UNACCOUNTED, GUARD_NONE, S(RUNNING), ACT_TIMER_OFF, DROPS },
	{ "a bind goes on after the device left",    S(BINDING), IN_BIND_LOCKED, GUARD_LEFT, SKIP, 0, DROPS },
	{ "a running device leaves unnoticed",       S(RUNNING), IN_GONE, GUARD_NONE, SKIP, 0, DROPS },
	{ "a locked device is let go, still bound",  S(LOCKED), IN_GONE, GUARD_NONE, S(RELEASED), ACT_TIMER_OFF | ACT_DISOWN, DROPS },
	{ "ERROR is overlooked",                     S(RUNNING), IN_ERROR, GUARD_NONE, SKIP, 0, DROPS },
	{ "a bind that others ended is overlooked",  S(RUNNING), IN_VOIDED, GUARD_NONE, SKIP, 0, DROPS },
	{ "a lost session is overlooked",            S(WAITING), IN_DSM_LOST, GUARD_NONE, SKIP, 0, DROPS },
	{ "a lost session leaves what runs",         S(RUNNING), IN_DSM_LOST, GUARD_NONE, SKIP, 0, DROPS },
	{ "a lost session leaves what is locked",    S(LOCKED), IN_DSM_LOST, GUARD_NONE, SKIP, 0, DROPS },
	{ "waiters do not hear of a refusal",        S(CONNECTING), IN_DSM_REFUSED, GUARD_NONE, SKIP, 0, DROPS },
	{ "an unknown bind leaves its TDI free",     S(BINDING), IN_BIND_UNKNOWN, GUARD_NONE, S(FAILED), ACT_DISOWN, DROPS },
	{ "an unknown bind does not keep its DSM",   S(BINDING), IN_BIND_UNKNOWN, GUARD_NONE, S(FAILED), ACT_QUARANTINE, DROPS },
	{ "a bind that ended in ERROR is taken",     S(BINDING), IN_BIND_ERROR, GUARD_NONE, S(LOCKED), ACT_TELL_LOCKED | ACT_TIMER, DROPS },
	{ "a bind that ended in ERROR is let go",    S(BINDING), IN_BIND_ERROR, GUARD_LEFT, S(RELEASED), ACT_DISOWN, DROPS },
	{ "an unknown unbind leaves its TDI free",   S(UNBINDING), IN_UNBIND_UNKNOWN, GUARD_NONE, S(RELEASED), ACT_DISOWN, DROPS },
	{ "the end of a quarantine is not heard",    S(QUARANTINED), IN_CLEARED, GUARD_NONE, SKIP, 0, DROPS },
	{ "a cleared TDI stays its assignment's",    S(QUARANTINED), IN_CLEARED, GUARD_NONE, S(FAILED), 0, DROPS },
	{ "nobody clears",                           SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_CLEAR },
	{ "a cleared TDI stays in its domain",       S(QUARANTINED), IN_CLEARED, GUARD_PRESENT, S(ATTACHED), 0, DROPS },
	{ "a refused clear frees its assignment",    S(QUARANTINED), IN_NOT_CLEARED, GUARD_NONE, S(FAILED), ACT_DISOWN, DROPS },
	{ "the policy is never asked",               SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_LOOK },
	{ "what is to be held is taken out",         S(ATTACHED), IN_LOOKED, GUARD_HOLD, S(DETACHING), ACT_DETACH, DROPS },
	{ "what is to be taken out is held",         S(ATTACHED), IN_LOOKED, GUARD_NONE, S(HELD), 0, DROPS },
	{ "what is to be bound again is held",       S(ATTACHED), IN_RETRY, GUARD_RETRY, SKIP, 0, DROPS },
	{ "a tightened policy binds again all the same", S(ATTACHED), IN_RETRY, GUARD_NONE, S(ATTACHED), ACT_BEGIN, DROPS },
	{ "what admission refuses is bound",         S(ATTACHED), IN_FOREIGN, GUARD_NONE, S(BINDING), ACT_BIND, DROPS },
	{ "a late rejection is not heard when held", S(HELD), IN_REJECTED, GUARD_LET_GO, SKIP, 0, DROPS },
	{ "a late rejection does not decide",        S(ATTACHED), IN_REJECTED, GUARD_LET_GO, SKIP, 0, DROPS },
	{ "a rejection is not heard when unbinding", S(UNBINDING), IN_REJECTED, GUARD_LET_GO, SKIP, 0, DROPS },
	{ "bound again without end",                 S(ATTACHED), IN_LOOKED, GUARD_REBIND, S(ATTACHED), ACT_BEGIN, DROPS },
	{ "the wait for a bind is never over",       SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_TIMER_RETRY },
	{ "a device that waits leaves unnoticed",    S(ATTACHED), IN_GONE, GUARD_NONE, SKIP, 0, DROPS },
	{ "the TDI is not given free",               S(UNBINDING), IN_UNBIND_CLEAN, GUARD_NONE, SKIP, 0, DROPS },
	{ "the guest timer is not stopped",          S(LOCKED), IN_RUN, GUARD_NONE, S(RUNNING), 0, DROPS },
	{ "LOCK that no guest has asked for",        S(BINDING), IN_BIND_BOUND, GUARD_NONE, S(BOUND), ACT_TELL_LOCKED | ACT_TIMER | ACT_LOCK, DROPS },
	{ "START that no guest has asked for",       S(BOUND), IN_LOCKED, GUARD_NONE, S(LOCKED), ACT_START, DROPS },
	{ "START for a request to LOCK",             S(BOUND), IN_LOCK_ASKED, GUARD_ASKS, S(BOUND), ACT_START, DROPS },
	{ "a request to START is carried twice",     S(LOCKED), IN_REQUEST_CARRIED, GUARD_NONE, S(LOCKED), ACT_CARRIED | ACT_START, DROPS },
	{ "a request is carried when it is repeated", S(LOCKED), IN_START_ASKED, GUARD_ASKS, S(LOCKED), ACT_START, DROPS, true },
	{ "a request to START is not carried",       S(LOCKED), IN_START_ASKED, GUARD_ASKS, SKIP, 0, DROPS },
	{ "an answered LOCK is waited for",          S(BOUND), IN_REQUEST_CARRIED, GUARD_NONE, SKIP, 0, DROPS },
	{ "a START of unknown outcome is waited for", S(LOCKED), IN_REQUEST_UNKNOWN, GUARD_NONE, SKIP, 0, DROPS },
	{ "nobody starts",                           SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_START },
	{ "nobody unbinds",                          SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_UNBIND },
	{ "nobody detaches",                         SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_DETACH },
	{ "assignments are not recorded",            SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_PERSIST_ASSIGNMENT },
	{ "TDIs are not recorded",                   SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_PERSIST_TDI },
	{ "DSMs are not recorded",                   SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_PERSIST_DSM },
	{ "the idle timer is never started",         SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_TIMER_IDLE },
	{ "nobody says that a TVM is quiet",         SKIP, IN_N, GUARD_NONE, SKIP, 0, EFFECT_TVM_QUIET },
	/* clang-format on */
};

/* Of a DSM's row one thing is another. To N_STATES: the row is not there. */
typedef struct DsmMistake {
	const char *text;
	DsmState from;
	DsmInput input;
	DsmGuard guard;
	DsmState to;
	unsigned int actions;
	DsmGuard instead; /* of the guard */
} DsmMistake;

#define D(x) DSM_##x

static const DsmMistake dsm_mistakes[] = {
	/* clang-format off */
	{ "a request to connect pins nothing",       D(IDLE), DSM_IN_CONNECT_REQUESTED, DSM_GUARD_NONE, D(CONNECTING), DSM_ACT_CONNECT, DSM_GUARD_NONE },
	{ "a connected DSM is not pinned",           D(CONNECTED), DSM_IN_CONNECT_REQUESTED, DSM_GUARD_NONE, D(N_STATES), 0, DSM_GUARD_NONE },
	{ "idleness reclaims a pinned DSM",          D(CONNECTED), DSM_IN_IDLE_TIMEOUT, DSM_GUARD_FREE, D(RECLAIMING), DSM_ACT_RECLAIM, DSM_GUARD_UNUSED },
	{ "a request while reclaiming is forgotten", D(RECLAIMING), DSM_IN_CONNECT_REQUESTED, DSM_GUARD_NONE, D(N_STATES), 0, DSM_GUARD_NONE },
	{ "a request to reclaim leaves the pin",     D(CONNECTED), DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_UNUSED, D(RECLAIMING), DSM_ACT_RECLAIM, DSM_GUARD_UNUSED },
	{ "a request reclaims under a bind",         D(CONNECTED), DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_UNUSED, D(RECLAIMING), DSM_ACT_UNPIN | DSM_ACT_RECLAIM, DSM_GUARD_NONE },
	{ "a refused connect leaves the pin",        D(CONNECTING), DSM_IN_CONNECT_REFUSED, DSM_GUARD_NONE, D(IDLE), 0, DSM_GUARD_NONE },
	{ "an unknown connect leaves the pin",       D(CONNECTING), DSM_IN_CONNECT_UNKNOWN, DSM_GUARD_NONE, D(QUARANTINED), 0, DSM_GUARD_NONE },
	{ "a lost session leaves the pin",           D(CONNECTED), DSM_IN_LOST, DSM_GUARD_NONE, D(IDLE), 0, DSM_GUARD_NONE },
	{ "idleness does not start at a request",    D(CONNECTED), DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_NONE, D(N_STATES), 0, DSM_GUARD_NONE },
	{ "a pinned DSM is given up when reclaimed", D(RECLAIMING), DSM_IN_RECLAIM_DONE, DSM_GUARD_WANTED, D(N_STATES), 0, DSM_GUARD_NONE },
	{ "an unknown reclaim counts as done",       D(RECLAIMING), DSM_IN_RECLAIM_UNKNOWN, DSM_GUARD_NONE, D(IDLE), 0, DSM_GUARD_NONE },
	{ "a refused reclaim ends the quarantine",   D(RECLAIMING), DSM_IN_RECLAIM_REFUSED, DSM_GUARD_DOUBTFUL, D(N_STATES), 0, DSM_GUARD_NONE },
	{ "a reclaim forgets the quarantine",        D(QUARANTINED), DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_UNUSED, D(RECLAIMING), DSM_ACT_RECLAIM, DSM_GUARD_UNUSED },
	{ "a request alone ends the quarantine",     D(QUARANTINED), DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_UNUSED, D(IDLE), 0, DSM_GUARD_UNUSED },
	{ "a reclaim under an unknown bind",         D(QUARANTINED), DSM_IN_RECLAIM_REQUESTED, DSM_GUARD_UNUSED, D(RECLAIMING), DSM_ACT_DOUBT | DSM_ACT_RECLAIM, DSM_GUARD_NONE },
	/* clang-format on */
};

/* Likewise of a TDI's. */
typedef struct TdiMistake {
	const char *text;
	TdiState from;
	TdiInput input;
	TdiState to;
	unsigned int actions;
	EngineInput tells;
	TdiGuard instead;
} TdiMistake;

#define T(x) TDI_##x

static const TdiMistake tdi_mistakes[] = {
	/* clang-format off */
	{ "a request alone ends a TDI's quarantine", T(QUARANTINED), TDI_IN_CLEAR_REQUESTED, T(KNOWN), 0, IN_CLEARED, TDI_GUARD_IDLE },
	{ "a clear is sent and not waited for",      T(QUARANTINED), TDI_IN_CLEAR_REQUESTED, T(QUARANTINED), TDI_ACT_CLEAR, IN_N, TDI_GUARD_IDLE },
	{ "a clear under an unanswered verb",        T(QUARANTINED), TDI_IN_CLEAR_REQUESTED, T(CLEARING), TDI_ACT_CLEAR, IN_N, TDI_GUARD_NONE },
	{ "a clear of what is in use",               T(KNOWN), TDI_IN_CLEAR_REQUESTED, T(CLEARING), TDI_ACT_CLEAR, IN_N, TDI_GUARD_NONE },
	{ "a refused clear ends the quarantine",     T(CLEARING), TDI_IN_NOT_CLEARED, T(KNOWN), 0, IN_CLEARED, TDI_GUARD_NONE },
	{ "a refused clear is waited for",           T(CLEARING), TDI_IN_NOT_CLEARED, T(N_STATES), 0, IN_N, TDI_GUARD_NONE },
	{ "a cleared TDI does not tell its user",    T(CLEARING), TDI_IN_CLEARED, T(KNOWN), 0, IN_N, TDI_GUARD_NONE },
	/* clang-format on */
};

static bool make_tdi(const TdiMistake *mistake)
{
	TdiTransition *row;

	table_restore();
	row = table_tdi_row(mistake->from, mistake->input);
	if (!row)
		return false;
	if (mistake->to == T(N_STATES)) {
		row->from = T(N_STATES);
	} else {
		row->to = mistake->to;
		row->actions = mistake->actions;
		row->tells = mistake->tells;
		row->guard = mistake->instead;
	}
	return true;
}

static bool make_dsm(const DsmMistake *mistake)
{
	DsmTransition *row;

	table_restore();
	row = table_dsm_row(mistake->from, mistake->input, mistake->guard);
	if (!row)
		return false;
	if (mistake->to == D(N_STATES)) {
		row->from = D(N_STATES);
	} else {
		row->to = mistake->to;
		row->actions = mistake->actions;
		row->guard = mistake->instead;
	}
	return true;
}

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
		if (mistake->unguarded)
			row->guard = GUARD_NONE;
	}
	return true;
}

typedef struct Proof {
	const Scenario *scenarios;
	size_t n;
} Proof;

/* 0 when it is noticed in one of the scenarios. */
static int prove(const Proof *proof, FILE *to, const char *text, bool made,
		 EngineEffectType dropped)
{
	SearchResult result = {};

	for (size_t i = 0; made && i < proof->n && !result.broken; i++)
		if (search(&proof->scenarios[i], dropped, false, NULL, &result) < 0)
			return 2;
	fprintf(to, "%-45s %s\n", text,
		!made		? "NO SUCH ROW"
		: result.broken ? result.broken
				: "all properties hold");
	return result.broken == NULL;
}

/* First of all that nothing is noticed where no mistake is. */
static int prove_one(size_t i, FILE *to, void *userdata)
{
	const Proof *proof = userdata;

	if (i-- == 0) {
		table_restore();
		return !prove(proof, to, "(none)", true, DROPS);
	}
	if (i < ELEMENTSOF(mistakes))
		return prove(proof, to, mistakes[i].text, make(&mistakes[i]), mistakes[i].dropped);
	i -= ELEMENTSOF(mistakes);
	if (i < ELEMENTSOF(dsm_mistakes))
		return prove(proof, to, dsm_mistakes[i].text, make_dsm(&dsm_mistakes[i]), DROPS);
	i -= ELEMENTSOF(dsm_mistakes);
	return prove(proof, to, tdi_mistakes[i].text, make_tdi(&tdi_mistakes[i]), DROPS);
}

int mistakes_prove(const Scenario *scenarios, size_t n_scenarios)
{
	size_t n = ELEMENTSOF(mistakes) + ELEMENTSOF(dsm_mistakes) + ELEMENTSOF(tdi_mistakes);
	Proof proof = { .scenarios = scenarios, .n = n_scenarios };
	bool all = parallel_run(n + 1, prove_one, &proof);

	printf("%s %zu mistakes were noticed\n", all ? "all" : "NOT all", n);
	return !all;
}
