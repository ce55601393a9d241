/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The transitions of assignments, DSMs and TDIs, as data. Only engine.c and its tests read this. */
#pragma once

#include "core/engine.h"

/* What can happen to one assignment. */
typedef enum EngineInput {
	IN_DSM_NEEDED,	/* it appeared, and its DSM has no session */
	IN_DSM_READY,	/* its DSM is connected */
	IN_DSM_REFUSED, /* its DSM cannot be connected */
	IN_DSM_LOST,	/* its DSM's session is gone */
	IN_FOREIGN,	/* another's, quarantined, or served by no TSM */
	IN_GUEST_READY,
	IN_BIND_LOCKED,
	IN_BIND_BOUND, /* bound, and left in CONFIG_UNLOCKED */
	IN_BIND_ERROR, /* bound, and on the way there it went to ERROR */
	IN_BIND_REFUSED,
	IN_BIND_UNKNOWN,
	IN_LOCKED, /* the TSM says CONFIG_LOCKED */
	IN_RUN,	   /* the TSM says RUN, accepted for this generation */
	IN_RUN_UNACCOUNTED,
	IN_ERROR,
	IN_UNLOCKED,
	IN_VOIDED, /* the TSM holds no bind any more */
	IN_REJECTED,
	IN_TIMEOUT,
	IN_LOOKED, /* after a fault: its domain has been read anew, and still has it */
	IN_RETRY,  /* the wait before it is bound again is over */
	IN_GONE,
	IN_UNBIND_CLEAN, /* freed, and the device confirmed */
	IN_UNBIND_UNKNOWN,
	IN_DETACH_FAILED,
	IN_CLEARED, /* its quarantine has ended */
	IN_NOT_CLEARED,
	IN_LOCK_ASKED,	    /* its TVM has a request to LOCK open */
	IN_START_ASKED,	    /* ... to START */
	IN_REQUEST_CARRIED, /* the TSM has done it, or refused it */
	IN_REQUEST_UNKNOWN,
	IN_N,
} EngineInput;

const char *engine_input_name(EngineInput input);

/* What has to hold as well. Of several rows for one state and input the first that fits counts. */
typedef enum EngineGuard {
	GUARD_NONE,
	GUARD_READY,   /* what bind-when asks for holds */
	GUARD_LEFT,    /* it was taken out of the domain since this bind began */
	GUARD_PRESENT, /* it is in the live domain */
	GUARD_BACK,    /* it is, and was not all the time since this bind began */
	GUARD_FAULT,   /* a fault is on record */
	GUARD_LET_GO,  /* all that is on record is that it fell back to CONFIG_UNLOCKED */
	GUARD_ENDED,   /* the same, or that the TSM does not hold the bind any more */
	GUARD_PRESENT_FAULT,
	GUARD_REBIND, /* the policy for its fault says rebind, and not so often yet */
	GUARD_RETRY,  /* ... and still does */
	GUARD_HOLD,   /* ... says hold, or rebind that is not to be had */
	GUARD_ASKS,   /* its TVM's request was not carried yet, and no other is being carried */
} EngineGuard;

/* Carried out in this order. */
enum {
	ACT_WITHDRAW = 1 << 0, /* tell the guest that the bind is over */
	ACT_TIMER_OFF = 1 << 1,
	ACT_BIND = 1 << 2, /* a new generation */
	ACT_UNBIND = 1 << 3,
	ACT_DISOWN = 1 << 4,	 /* the TDI is free for others */
	ACT_QUARANTINE = 1 << 5, /* the TDI is for nobody */
	ACT_DETACH = 1 << 6,
	ACT_TELL_LOCKED = 1 << 7,
	ACT_TIMER = 1 << 8,
	ACT_BEGIN = 1 << 9,  /* start over, as if it had just appeared */
	ACT_LOOK = 1 << 10,  /* what becomes of it is decided when its domain has been read */
	ACT_RETRY = 1 << 11, /* start over after a while */
	ACT_LOCK = 1 << 12,  /* carry its TVM's request */
	ACT_START = 1 << 13,
	ACT_CARRIED = 1 << 14, /* no request is being carried any more */
};

typedef struct EngineTransition {
	AssignmentState from;
	EngineInput input;
	EngineGuard guard;
	AssignmentState to;
	unsigned int actions;
	EngineFault fault; /* recorded unless one is on record that does not yield */
} EngineTransition;

extern const EngineTransition engine_transitions[];
extern const size_t engine_n_transitions;

/* What can happen to one DSM. */
typedef enum DsmInput {
	DSM_IN_NEEDED, /* by an assignment that has just begun */
	DSM_IN_CONNECT_REQUESTED,
	DSM_IN_RECLAIM_REQUESTED,
	DSM_IN_CONNECT_DONE,
	DSM_IN_CONNECT_REFUSED,
	DSM_IN_CONNECT_UNKNOWN,
	DSM_IN_RECLAIM_DONE,
	DSM_IN_RECLAIM_REFUSED,
	DSM_IN_RECLAIM_UNKNOWN,
	DSM_IN_LOST,
	DSM_IN_IDLE_TIMEOUT,
	DSM_IN_N,
} DsmInput;

const char *dsm_input_name(DsmInput input);

/* As EngineGuard. */
typedef enum DsmGuard {
	DSM_GUARD_NONE,
	DSM_GUARD_UNUSED,   /* it has no user */
	DSM_GUARD_FREE,	    /* it has no user and is not pinned */
	DSM_GUARD_WANTED,   /* it has a user or is pinned */
	DSM_GUARD_WAITED,   /* an assignment is going to bind as soon as it can */
	DSM_GUARD_DOUBTFUL, /* it is being reclaimed from quarantine */
} DsmGuard;

enum {
	DSM_ACT_PIN = 1 << 0,
	DSM_ACT_UNPIN = 1 << 1,
	DSM_ACT_CONNECT = 1 << 2,
	DSM_ACT_RECLAIM = 1 << 3,
	DSM_ACT_DOUBT = 1 << 4, /* until the reclaim is over */
};

typedef struct DsmTransition {
	DsmState from;
	DsmInput input;
	DsmGuard guard;
	DsmState to;
	unsigned int actions;
	EngineInput tells; /* what every assignment of it hears; IN_N: nothing */
} DsmTransition;

extern const DsmTransition dsm_transitions[];
extern const size_t dsm_n_transitions;

/* What can happen to one TDI, apart from its assignment. */
typedef enum TdiInput {
	TDI_IN_CLEAR_REQUESTED,
	TDI_IN_CLEARED,	    /* freed, and the device confirmed */
	TDI_IN_NOT_CLEARED, /* anything else */
	TDI_IN_N,
} TdiInput;

const char *tdi_input_name(TdiInput input);

/* As EngineGuard. */
typedef enum TdiGuard {
	TDI_GUARD_NONE,
	TDI_GUARD_IDLE, /* its assignment, if it has one, has nothing to do with the TSM */
} TdiGuard;

enum {
	TDI_ACT_CLEAR = 1 << 0,
};

typedef struct TdiTransition {
	TdiState from;
	TdiInput input;
	TdiGuard guard;
	TdiState to;
	unsigned int actions;
	EngineInput tells; /* what its assignment hears; IN_N: nothing */
} TdiTransition;

extern const TdiTransition tdi_transitions[];
extern const size_t tdi_n_transitions;
