/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine: what is to be done about every trusted device, decided without doing anything.
 *
 * engine_step() takes one event, changes the state, and returns effects in the order in which they
 * are to be carried out, records first. It does no I/O and knows no clock. Objects are named by
 * small dense ids that the caller chooses: TVMs (one id per incarnation), DSMs, TDIs (host
 * functions), assignments (a TDI in an incarnation). Texts, addresses and times are the caller's.
 *
 * Generations count the binds of one TDI. Operations are numbers that are never used twice; they
 * carry the identity of a verb through retries and restarts.
 */
#pragma once

#include "core/policy.h"
#include "core/tdisp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_NONE UINT32_MAX
/* A step gives no more effects of one assignment: up to three transitions of it. */
#define ENGINE_EFFECTS_MAX 24

typedef enum AssignmentState {
	ASSIGNMENT_DECLARED,	/* in its domain, and not begun: the engine does not know it yet */
	ASSIGNMENT_WAITING,	/* its DSM is connected; bind-when does not hold yet */
	ASSIGNMENT_ATTACHED,	/* in the TVM through VFIO, nothing asked of the TSM; with a fault:
				   what becomes of it is decided, or it waits to be bound again */
	ASSIGNMENT_CONNECTING,	/* waits for device_connect of its DSM, or for its turn there */
	ASSIGNMENT_BINDING,	/* tdi_bind under way */
	ASSIGNMENT_BOUND,	/* bound, not locked: where the guest asks for LOCK */
	ASSIGNMENT_LOCKED,	/* CONFIG_LOCKED; waits for the TVM's tdi_validate */
	ASSIGNMENT_RUNNING,	/* RUN, accepted by its TVM for this generation */
	ASSIGNMENT_UNBINDING,	/* tdi_unbind under way */
	ASSIGNMENT_HELD,	/* unbound, still in the domain: somebody has to act */
	ASSIGNMENT_DETACHING,	/* unbound, waits for the guest to let the device go */
	ASSIGNMENT_RELEASED,	/* gone from the domain, nothing is left */
	ASSIGNMENT_FAILED,	/* gone from the domain after a fault */
	ASSIGNMENT_QUARANTINED, /* what the TSM holds of it is not known */
	ASSIGNMENT_N_STATES,
} AssignmentState;

/* The names of io.tdid.Assignments.State. */
const char *assignment_state_name(AssignmentState state);
/* -EINVAL on any other word. */
int assignment_state_parse(AssignmentState *ret, const char *name);

/* One in this state needs the session of its DSM, or may: it is a user of it. */
bool assignment_state_needs_session(AssignmentState state);

typedef enum DsmState {
	DSM_IDLE,	/* no session */
	DSM_CONNECTING, /* device_connect under way */
	DSM_CONNECTED,
	DSM_RECLAIMING,	 /* device_reclaim under way */
	DSM_QUARANTINED, /* outcome of a connect or reclaim not known; left by a reclaim only */
	DSM_N_STATES,
} DsmState;

const char *dsm_state_name(DsmState state);
int dsm_state_parse(DsmState *ret, const char *name);

/* Whether it is known what the TSM holds of a TDI. */
typedef enum TdiState {
	TDI_KNOWN,
	TDI_QUARANTINED, /* not known: it is for nobody; left by a confirmed tdi_unbind only */
	TDI_CLEARING,	 /* quarantined, and that tdi_unbind is under way */
	TDI_N_STATES,
} TdiState;

const char *tdi_state_name(TdiState state);

/* Why an assignment left the way to RUN. The first cause stays; only FAULT_UNLOCKED yields. */
typedef enum EngineFault {
	FAULT_NONE,
	FAULT_CONNECT,	   /* device_connect refused or its outcome unknown */
	FAULT_BIND,	   /* tdi_bind refused or its outcome unknown */
	FAULT_NOT_READY,   /* the guest never became ready */
	FAULT_NO_VERDICT,  /* the guest never validated */
	FAULT_REJECTED,	   /* the guest refused, or took its acceptance back */
	FAULT_ERROR,	   /* TDISP ERROR */
	FAULT_UNLOCKED,	   /* the TDI fell back to CONFIG_UNLOCKED, or its TVM let it go */
	FAULT_VOIDED,	   /* the TSM does not hold the bind any more: somebody else ended it */
	FAULT_FOREIGN,	   /* not to be had: another TVM's, quarantined, or no TSM's */
	FAULT_UNBIND,	   /* tdi_unbind failed: what the TSM holds is not known */
	FAULT_UNACCOUNTED, /* RUN without an acceptance of this generation */
	FAULT_REQUEST,	   /* what came of a LOCK or START that its TVM asked for is not known */
	FAULT_N,
} EngineFault;

const char *engine_fault_name(EngineFault fault);
int engine_fault_parse(EngineFault *ret, const char *name);

typedef enum OperationOutcome {
	OUTCOME_DONE,
	OUTCOME_REFUSED, /* nothing was changed */
	OUTCOME_UNKNOWN, /* it started and did not answer, or broke off half-way */
} OperationOutcome;

/* What a TVM asks of its host, by way of the TSM: where the host issues LOCK, or START. */
typedef enum EngineRequest {
	REQUEST_NONE,
	REQUEST_LOCK,
	REQUEST_START,
	REQUEST_N,
} EngineRequest;

typedef enum EngineEventType {
	EVENT_TVM_STARTED,  /* id = TVM: a new incarnation */
	EVENT_TVM_STOPPING, /* id = TVM: the VMM is gone, libvirt waits to give VFs back */
	EVENT_TVM_ENDED,    /* id = TVM: its QEMU is gone */
	EVENT_APPEARED, /* id = assignment (new or final), tvm, dsm (may be another), tdi, policy */
	EVENT_GONE,	/* id = assignment: no longer in the live domain */
	EVENT_GUEST_READY,    /* id = assignment: what bind-when asks for holds */
	EVENT_GUEST_REJECTED, /* id = assignment, generation */
	EVENT_TDI_CHANGED,    /* id = TDI; generation, tdi_state, accepted, asks, request: as the
				 TSM says */
	EVENT_BIND_LOST, /* id = TDI, generation: the TSM holds it no more, and not by an unbind */
	EVENT_DSM_LOST,	 /* id = DSM: the TSM says that its session is gone */
	EVENT_CONNECT_DONE,	 /* id = DSM, operation, outcome */
	EVENT_RECLAIM_DONE,	 /* id = DSM, operation, outcome */
	EVENT_BIND_DONE,	 /* id = assignment, operation, outcome, tdi_state */
	EVENT_UNBIND_DONE,	 /* id = assignment, operation, outcome, device_confirmed */
	EVENT_LOOKED,		 /* id = assignment: read anew, and still in the live domain */
	EVENT_RETRY_TIMEOUT,	 /* id = assignment: TIMER_RETRY went off */
	EVENT_POLICY_CHANGED,	 /* id = assignment, policy: for what is decided from now on */
	EVENT_DETACH_FAILED,	 /* id = assignment: the VMM refused for good */
	EVENT_GUEST_TIMEOUT,	 /* id = assignment: TIMER_GUEST went off */
	EVENT_IDLE_TIMEOUT,	 /* id = DSM: TIMER_IDLE went off */
	EVENT_CONNECT_REQUESTED, /* id = DSM (may be new): connect it, and keep it connected */
	EVENT_CONNECT_AHEAD,	 /* id = DSM (may be new): one is about to appear that needs it; or
				    records may have left one waiting that nothing moves any more */
	EVENT_RECLAIM_REQUESTED, /* id = DSM: the end of that, and of a quarantine */
	EVENT_CLEAR_REQUESTED,	 /* id = TDI, which may be a new one: whatever the TSM holds of it
				    ends */
	EVENT_CLEAR_DONE,	 /* id = TDI, operation, outcome, device_confirmed */
	EVENT_REQUEST_DONE,	 /* id = assignment, operation, outcome: of EFFECT_LOCK or _START.
				    Where the TDI is then is told by EVENT_TDI_CHANGED */
	EVENT_N_TYPES,
} EngineEventType;

const char *engine_event_name(EngineEventType type);

typedef struct EngineEvent {
	EngineEventType type;
	uint32_t id;
	uint32_t tvm, dsm, tdi; /* EVENT_APPEARED only */
	bool unserved;		/* EVENT_APPEARED: no TSM serves this device */
	bool guest_ready; /* EVENT_APPEARED: as EVENT_GUEST_READY, which may come later, too */
	Policy policy;	  /* EVENT_APPEARED, EVENT_POLICY_CHANGED */
	uint64_t operation;
	uint64_t generation;
	OperationOutcome outcome;
	TdispState tdi_state;
	bool accepted;
	bool device_confirmed;
	EngineRequest asks; /* the request of the TVM that is open, and its number */
	uint64_t request;
} EngineEvent;

typedef enum EngineEffectType {
	/* Records, which come first, each as the engine is after the step */
	EFFECT_PERSIST_TDI,	   /* id = TDI */
	EFFECT_PERSIST_DSM,	   /* id = DSM */
	EFFECT_PERSIST_ASSIGNMENT, /* id = assignment; its record goes if there is none any more */
	EFFECT_FORGET_ASSIGNMENT,  /* id = assignment: its id is free */
	EFFECT_CONNECT,		   /* id = DSM, operation */
	EFFECT_RECLAIM,		   /* id = DSM, operation */
	EFFECT_BIND,		   /* id = assignment, operation, generation */
	EFFECT_LOCK,		   /* id = assignment, operation, generation, request */
	EFFECT_START,		   /* the same */
	EFFECT_CLEAR,		   /* id = TDI, operation: tdi_unbind, whoever had it */
	EFFECT_UNBIND,		   /* id = assignment, operation */
	EFFECT_LOOK,   /* id = assignment: read its domain anew, then EVENT_LOOKED or EVENT_GONE */
	EFFECT_DETACH, /* id = assignment: ask the VMM to take it out of the domain */
	EFFECT_TELL_LOCKED,    /* id = assignment, generation: the guest may verify */
	EFFECT_TELL_WITHDRAWN, /* id = assignment, generation */
	EFFECT_TIMER_GUEST,    /* id = assignment: start (anew) the wait for the guest */
	EFFECT_TIMER_GUEST_OFF,
	EFFECT_TIMER_RETRY, /* id = assignment: ATTACHED: the wait before it is bound again;
			       RUNNING: how long until what was before counts no more */
	EFFECT_TIMER_RETRY_OFF,
	EFFECT_TIMER_IDLE, /* id = DSM: start the grace before device_reclaim */
	EFFECT_TIMER_IDLE_OFF,
	EFFECT_CHANGED,	  /* id = assignment: its state or fault is another */
	EFFECT_TVM_QUIET, /* id = TVM: stopping, and nothing of it is bound any more */
	EFFECT_N_TYPES,
} EngineEffectType;

const char *engine_effect_name(EngineEffectType type);
/* EFFECT_PERSIST_*: it has to be durable before any effect of another kind is carried out. */
bool engine_effect_is_record(EngineEffectType type);

typedef struct EngineEffect {
	EngineEffectType type;
	uint32_t id;
	uint64_t operation;
	uint64_t generation;
	uint64_t request;      /* EFFECT_LOCK, EFFECT_START: the TVM's that it carries */
	AssignmentState state; /* EFFECT_CHANGED: the state at that moment */
} EngineEffect;

typedef struct EngineAssignment {
	bool used;
	AssignmentState state;
	EngineFault fault;
	uint32_t tvm, dsm, tdi;
	uint64_t generation; /* of the present bind, 0 before the first */
	uint64_t operation;  /* in flight, or 0; of BOUND and LOCKED: LOCK, START */
	uint64_t request;    /* of its TVM in this bind, that was carried last, or is; or 0 */
	bool present;	     /* in the live domain */
	bool left;	     /* was taken out of the domain since this bind began */
	bool guest_ready;
	Policy policy;
	uint32_t rebinds; /* of policy.rebinds, so far */
	bool retry_timer;
	bool unserved;	 /* EVENT_APPEARED's: never to be bound as it is here */
	TdispState seen; /* BINDING: what the TSM said last, TDISP_N_STATES: nothing yet */
	bool seen_accepted;
	EngineRequest asks; /* what the TSM said last of its TVM's request */
	uint64_t asked;
	uint32_t next_of_dsm, prev_of_dsm, next_of_tvm, prev_of_tvm;
} EngineAssignment;

typedef struct EngineTdi {
	bool used;
	TdiState state;
	uint64_t operation;  /* CLEARING: in flight; else 0 */
	uint32_t owner;	     /* assignment, or ENGINE_NONE */
	uint64_t generation; /* the last one given out */
} EngineTdi;

typedef struct EngineDsm {
	bool used;
	DsmState state;
	uint64_t operation; /* in flight, or 0 */
	uint32_t users;	    /* assignments that need its session, or may */
	uint32_t first;	    /* of its assignments */
	bool pinned;	    /* connected by request: not reclaimed for being idle */
	bool doubtful;	    /* RECLAIMING: from quarantine; refused leads back there */
	bool idle_timer;
} EngineDsm;

typedef struct EngineTvm {
	bool used;
	bool stopping;
	bool ended;
	uint32_t bound; /* assignments of which the TSM holds something, or may soon */
	uint32_t first;
} EngineTvm;

typedef struct Engine Engine;

/*
 * Operations are numbered from first_operation on: the caller picks a start from which no number of
 * an earlier run is met, and not 0 (-EINVAL). -ENOMEM.
 */
int engine_new(Engine **ret, uint64_t first_operation);
Engine *engine_free(Engine *engine);

/*
 * Takes one event. *ret_effects stays valid until the next call and is the engine's.
 * Late and repeated events (an operation that is not in flight, an old generation) change nothing.
 * Errors: -EINVAL when the event names an object that it cannot name, -ENOMEM; then nothing has
 * changed.
 */
int engine_step(Engine *engine, const EngineEvent *event, const EngineEffect **ret_effects,
		size_t *ret_n);

/* NULL when there is no such object. */
const EngineAssignment *engine_assignment(const Engine *engine, uint32_t id);
const EngineTdi *engine_tdi(const Engine *engine, uint32_t id);
const EngineDsm *engine_dsm(const Engine *engine, uint32_t id);
const EngineTvm *engine_tvm(const Engine *engine, uint32_t id);

/*
 * Put back what records say, before the first step after a restart: TVMs and DSMs first, then TDIs
 * and assignments. Of a DSM state, operation, pinned and doubtful are taken; of a TDI state,
 * operation and generation; of an assignment state, fault, tvm, dsm, tdi, generation, operation,
 * request, present, left, guest_ready, policy, rebinds, retry_timer and unserved; lists and
 * counters are rebuilt. Of a TDI's generation and those of its assignments the highest is the last
 * one given out. An operation that was in flight stays in flight: the caller sends it again under
 * its old number and the engine waits for the outcome. -EINVAL on contradictions (an unused TVM,
 * two owners of a TDI, an id that is taken).
 */
int engine_restore_tvm(Engine *engine, uint32_t id);
int engine_restore_dsm(Engine *engine, uint32_t id, const EngineDsm *record);
int engine_restore_tdi(Engine *engine, uint32_t id, const EngineTdi *record);
int engine_restore_assignment(Engine *engine, uint32_t id, const EngineAssignment *record);
/* What a record tells that says nothing else that can be used: this bind was given out. */
void engine_restore_generation(Engine *engine, uint32_t tdi, uint64_t generation);

/*
 * For tests: the state as bytes (equal states give equal bytes). Returns the size, 0 when it does
 * not fit.
 */
size_t engine_serialize(const Engine *engine, uint8_t *buffer, size_t capacity);
