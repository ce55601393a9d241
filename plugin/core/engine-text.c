/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine's words: names of states, faults, events and effects, and back. */
#include "core/cleanup.h"
#include "core/engine.h"

#include <errno.h>
#include <string.h>

static const char *const assignment_states[ASSIGNMENT_N_STATES] = {
	[ASSIGNMENT_DECLARED] = "declared",   [ASSIGNMENT_WAITING] = "waiting",
	[ASSIGNMENT_ATTACHED] = "attached",   [ASSIGNMENT_CONNECTING] = "connecting",
	[ASSIGNMENT_BINDING] = "binding",     [ASSIGNMENT_BOUND] = "bound",
	[ASSIGNMENT_LOCKED] = "locked",	      [ASSIGNMENT_RUNNING] = "running",
	[ASSIGNMENT_UNBINDING] = "unbinding", [ASSIGNMENT_HELD] = "held",
	[ASSIGNMENT_DETACHING] = "detaching", [ASSIGNMENT_RELEASED] = "released",
	[ASSIGNMENT_FAILED] = "failed",	      [ASSIGNMENT_QUARANTINED] = "quarantined",
};

static const char *const dsm_states[DSM_N_STATES] = {
	[DSM_IDLE] = "idle",
	[DSM_CONNECTING] = "connecting",
	[DSM_CONNECTED] = "connected",
	[DSM_RECLAIMING] = "reclaiming",
	[DSM_QUARANTINED] = "quarantined",
};

static const char *const tdi_states[TDI_N_STATES] = {
	[TDI_KNOWN] = "known",
	[TDI_QUARANTINED] = "quarantined",
	[TDI_CLEARING] = "clearing",
};

static const char *const faults[FAULT_N] = {
	[FAULT_NONE] = "none",
	[FAULT_CONNECT] = "connect",
	[FAULT_BIND] = "bind",
	[FAULT_NOT_READY] = "not-ready",
	[FAULT_NO_VERDICT] = "no-verdict",
	[FAULT_REJECTED] = "rejected",
	[FAULT_ERROR] = "error",
	[FAULT_UNLOCKED] = "unlocked",
	[FAULT_VOIDED] = "voided",
	[FAULT_FOREIGN] = "foreign",
	[FAULT_UNBIND] = "unbind",
	[FAULT_UNACCOUNTED] = "unaccounted",
	[FAULT_REQUEST] = "request",
};

static const char *const events[EVENT_N_TYPES] = {
	[EVENT_TVM_STARTED] = "TVM started",
	[EVENT_TVM_STOPPING] = "TVM stopping",
	[EVENT_TVM_ENDED] = "TVM ended",
	[EVENT_APPEARED] = "appeared",
	[EVENT_GONE] = "gone",
	[EVENT_GUEST_READY] = "guest ready",
	[EVENT_GUEST_REJECTED] = "guest rejected",
	[EVENT_TDI_CHANGED] = "TDI changed",
	[EVENT_BIND_LOST] = "bind lost",
	[EVENT_DSM_LOST] = "DSM lost",
	[EVENT_CONNECT_DONE] = "connect done",
	[EVENT_RECLAIM_DONE] = "reclaim done",
	[EVENT_BIND_DONE] = "bind done",
	[EVENT_UNBIND_DONE] = "unbind done",
	[EVENT_LOOKED] = "looked",
	[EVENT_RETRY_TIMEOUT] = "retry timeout",
	[EVENT_POLICY_CHANGED] = "policy changed",
	[EVENT_DETACH_FAILED] = "detach failed",
	[EVENT_GUEST_TIMEOUT] = "guest timeout",
	[EVENT_IDLE_TIMEOUT] = "idle timeout",
	[EVENT_CONNECT_REQUESTED] = "connect requested",
	[EVENT_CONNECT_AHEAD] = "connect ahead",
	[EVENT_RECLAIM_REQUESTED] = "reclaim requested",
	[EVENT_CLEAR_REQUESTED] = "clear requested",
	[EVENT_CLEAR_DONE] = "clear done",
	[EVENT_REQUEST_DONE] = "request done",
};

static const char *const effects[EFFECT_N_TYPES] = {
	[EFFECT_PERSIST_TDI] = "persist TDI",
	[EFFECT_PERSIST_DSM] = "persist DSM",
	[EFFECT_PERSIST_ASSIGNMENT] = "persist assignment",
	[EFFECT_FORGET_ASSIGNMENT] = "forget assignment",
	[EFFECT_CONNECT] = "connect",
	[EFFECT_RECLAIM] = "reclaim",
	[EFFECT_BIND] = "bind",
	[EFFECT_LOCK] = "lock",
	[EFFECT_START] = "start",
	[EFFECT_CLEAR] = "clear",
	[EFFECT_UNBIND] = "unbind",
	[EFFECT_LOOK] = "look",
	[EFFECT_DETACH] = "detach",
	[EFFECT_TELL_LOCKED] = "tell locked",
	[EFFECT_TELL_WITHDRAWN] = "tell withdrawn",
	[EFFECT_TIMER_GUEST] = "guest timer",
	[EFFECT_TIMER_GUEST_OFF] = "guest timer off",
	[EFFECT_TIMER_RETRY] = "retry timer",
	[EFFECT_TIMER_RETRY_OFF] = "retry timer off",
	[EFFECT_TIMER_IDLE] = "idle timer",
	[EFFECT_TIMER_IDLE_OFF] = "idle timer off",
	[EFFECT_CHANGED] = "changed",
	[EFFECT_TVM_QUIET] = "TVM quiet",
};

static const char *name_of(const char *const *names, size_t n, size_t i)
{
	return i < n ? names[i] : "?";
}

static int index_of(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; name && i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -EINVAL;
}

const char *assignment_state_name(AssignmentState state)
{
	return name_of(assignment_states, ELEMENTSOF(assignment_states), state);
}

int assignment_state_parse(AssignmentState *ret, const char *name)
{
	int i = index_of(assignment_states, ELEMENTSOF(assignment_states), name);

	if (i < 0)
		return i;
	*ret = (AssignmentState)i;
	return 0;
}

const char *dsm_state_name(DsmState state)
{
	return name_of(dsm_states, ELEMENTSOF(dsm_states), state);
}

int dsm_state_parse(DsmState *ret, const char *name)
{
	int i = index_of(dsm_states, ELEMENTSOF(dsm_states), name);

	if (i < 0)
		return i;
	*ret = (DsmState)i;
	return 0;
}

const char *tdi_state_name(TdiState state)
{
	return name_of(tdi_states, ELEMENTSOF(tdi_states), state);
}

const char *engine_fault_name(EngineFault fault)
{
	return name_of(faults, ELEMENTSOF(faults), fault);
}

int engine_fault_parse(EngineFault *ret, const char *name)
{
	int i = index_of(faults, ELEMENTSOF(faults), name);

	if (i < 0)
		return i;
	*ret = (EngineFault)i;
	return 0;
}

const char *engine_event_name(EngineEventType type)
{
	return name_of(events, ELEMENTSOF(events), type);
}

const char *engine_effect_name(EngineEffectType type)
{
	return name_of(effects, ELEMENTSOF(effects), type);
}
