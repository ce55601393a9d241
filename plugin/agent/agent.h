/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All of tdi-agent but the command line: who gets which driver in this TVM. */
#pragma once

#include "agent/loop.h"
#include "agent/policy.h"
#include "agent/tree.h"
#include "agent/tsm-client.h"
#include "agent/tvm-key.h"
#include "core/cleanup.h"

#define AGENT_MAX_DEVICES 64

typedef struct Agent Agent;

typedef struct AgentOptions {
	Loop *loop;
	const Tree *tree;
	const AgentPolicy *policy;
	const TvmKey *key;
	int uevent_fd;		     /* taken */
	const TsmClientTimes *times; /* NULL: the usual ones */
} AgentOptions;

/* Everything in *options is borrowed, but the descriptor. */
int agent_new(Agent **ret, const AgentOptions *options);
Agent *agent_free(Agent *agent);
DEFINE_CLEANUP(Agent, agent_free);

/*
 * Turns the bus's automatic probing off, gives the unverified functions their drivers, and looks
 * for the guest port. Call it once, with the uevents already coming in. Negative errno if automatic
 * probing cannot be turned off: then nothing may go on.
 */
int agent_start(Agent *agent);

/* The session under it, for a test that brings a port of its own. */
Session *agent_session(Agent *agent);
