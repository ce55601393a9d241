/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What agent.c (the offered devices) and agent-functions.c (all others) share. Not for others. */
#pragma once

#include "agent/agent.h"
#include "agent/device.h"
#include "agent/report-port.h"
#include "agent/task.h"

#include <sys/queue.h>

/* A function without evidence that is probed or loses its driver, one at a time, in order. */
typedef struct Chore {
	Bdf address;
	bool probe; /* else unbind */
	TAILQ_ENTRY(Chore) link;
} Chore;

struct Agent {
	DeviceShared shared;
	Device *devices[AGENT_MAX_DEVICES];
	int uevent_fd;
	LoopFd uevent_source;
	TAILQ_HEAD(, Chore) chores;
	Task *task; /* of the first chore */
	ReportPort *report_port;
};

/* --- agent.c --- */

/* NULL: nobody has offered it. ret_index: its place in agent->devices; may be NULL. */
Device *agent_find(Agent *agent, Bdf address, size_t *ret_index);

/* --- agent-functions.c --- */

/* At one that nobody has offered, and at all of them. news: it has just appeared, or we have. */
void agent_function_look(Agent *agent, Bdf address, bool news);
void agent_functions_look(Agent *agent, bool news);
/* A driver bound to what nobody has offered. */
void agent_function_bound(Agent *agent, Bdf address, const char *driver);
/* What was still to be done to them is not done. */
void agent_functions_stop(Agent *agent);
