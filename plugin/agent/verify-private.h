/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What verify.c (the steps) and verify-evidence.c (whether it is good) share. Not for others. */
#pragma once

#include "agent/relying-party.h"
#include "agent/verify.h"

typedef enum VerifyPhase {
	VERIFY_STATE,
	VERIFY_INFO,
	VERIFY_LOCK,
	VERIFY_LOCKED,
	VERIFY_ASK,
	VERIFY_MMIO,
	VERIFY_VALIDATE,
	VERIFY_CONFIRM,
	VERIFY_REVOKE,
} VerifyPhase;

struct Verify {
	Loop *loop;
	const Tree *tree;
	TsmClient *client;
	const AgentPolicy *policy;
	VerifyTarget target;
	VerifyHandlers handlers;
	void *userdata;

	VerifyPhase phase;
	LoopTimer deadline, busy_timer;
	unsigned int n_stale, n_busy;
	bool lock_asked;
	uint64_t wait_usec;	    /* for the host; 0: it is not waited for */
	uint64_t revoke_generation; /* of the bind that the TSM knows, once it said so */
	Function function;	    /* as it was when the evidence was held against it */
	uint8_t nonce[STATEMENT_NONCE_SIZE];
	Statement statement; /* the one whose evidence is good */
	RelyingParty *relying_party;
	GuestMmioValidate ranges[INTERFACE_REPORT_MAX_RANGES];
	unsigned int n_ranges, range;
	bool running; /* with an acceptance, when the evidence was asked for */
};

static inline uint32_t verify_rid(const Verify *verify)
{
	return bdf_requester_id(verify->target.address);
}

/* --- verify.c --- */

/* What the phase is called in a verdict. */
const char *verify_phase_name(VerifyPhase phase);
/* The reason is told; it revokes from here on, and ends with that. */
void verify_fail(Verify *verify, const char *step, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The evidence is good, for whoever was to be asked as well: it goes on to the ranges. */
void verify_evidence_done(Verify *verify);
/* The relying party's command, if one runs, is ended. */
void verify_ask_no_more(Verify *verify);

/* --- verify-evidence.c --- */

/* INFO has been answered: it fails, asks the relying party, or goes on. */
void verify_judge(Verify *verify, const TsmAnswer *answer);
