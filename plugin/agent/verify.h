/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One verification of one bound TDI, from the TSM's statement to RUN confirmed, or to its
 * revocation. */
#pragma once

#include "agent/function.h"
#include "agent/policy.h"
#include "agent/tsm-client.h"
#include "core/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

#define VERIFY_USEC	     (120 * USEC_PER_SEC)
#define VERIFY_REVOKE_USEC   (30 * USEC_PER_SEC)
#define VERIFY_BUSY_USEC     (100 * USEC_PER_MS)
#define VERIFY_MAX_BUSY	     50
#define VERIFY_WAIT_USEC     (10 * USEC_PER_MS) /* until the host has carried a request; doubles */
#define VERIFY_WAIT_MAX_USEC USEC_PER_SEC
#define VERIFY_MAX_STALE     3

typedef struct Verify Verify;

typedef struct VerifyTarget {
	Bdf address;
	Uuid tvm;
	uint64_t generation;
	bool accepted_before; /* by this boot's record */
	/*
	 * Ask for the state first, and if the TSM says that this bind runs accepted leave it at
	 * that: for a function that this very process has accepted. Otherwise evidence is collected
	 * and the ranges are confirmed.
	 */
	bool running_will_do;
} VerifyTarget;

typedef struct VerifyHandlers {
	/* "lock-asked", "locked", "info", "checked", "relying-party", "mmio", "validated",
	 * "start-asked", "confirmed"; the first two and "start-asked" only where the host has to
	 * issue LOCK, or START */
	void (*progress)(void *userdata, const char *step);
	/*
	 * It has failed, at this step and for this reason (one sentence; NULL: out of memory).
	 * Before the TSM is asked to revoke: the host may hear of a revocation from the TSM, and
	 * then it has to know why. done follows, so the verification is not to be freed here. The
	 * strings are borrowed for the call.
	 */
	void (*failed)(void *userdata, const char *step, const char *reason);
	/*
	 * The TSM confirmed RUN, or was told to revoke (and answered or could not be reached).
	 * Called once; the receiver may free the verification.
	 */
	void (*done)(void *userdata, bool accepted);
} VerifyHandlers;

/* All borrowed but *target. No handler is called from within. -ENOMEM; -EIO: no random numbers. */
int verify_new(Verify **ret, Loop *loop, const Tree *tree, TsmClient *client,
	       const AgentPolicy *policy, const VerifyTarget *target,
	       const VerifyHandlers *handlers, void *userdata);

/* Ends it wherever it is, without a word to the TSM. */
Verify *verify_free(Verify *verify);
DEFINE_CLEANUP(Verify, verify_free);

/* It has failed and only the revocation is still under way. */
bool verify_is_revoking(const Verify *verify);
