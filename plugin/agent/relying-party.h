/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TVM owner's own verifier: a command (policy-command.h) that is asked about a device when all
 * of the agent's own checks have passed. It can only refuse: whatever it does but answer "accept"
 * in time is a refusal, and nobody asks it about a device that the agent refuses itself.
 */
#pragma once

#include "agent/evidence-document.h"
#include "agent/loop.h"
#include "agent/policy-command.h"
#include "core/cleanup.h"

#include <stdbool.h>

typedef struct RelyingParty RelyingParty;

/* reason: one sentence of a refusal, borrowed (NULL: out of memory); NULL when accepted. */
typedef void (*RelyingPartyHandler)(void *userdata, bool accepted, const char *reason);

/*
 * Everything is borrowed for the call, but the command, which has to outlive the question. The
 * handler is called once, never from within; it may free the relying party. Negative errno: nobody
 * was asked, with a sentence.
 */
int relying_party_ask(RelyingParty **ret, Loop *loop, const PolicyCommand *command,
		      const EvidenceSubject *subject, RelyingPartyHandler handler, void *userdata,
		      char **ret_error);

/* The question is withdrawn: a command that still runs is killed. */
RelyingParty *relying_party_free(RelyingParty *party);
DEFINE_CLEANUP(RelyingParty, relying_party_free);
