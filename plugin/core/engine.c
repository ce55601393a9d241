/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events in, effects out.
 *
 * A step first makes room for every effect that it can possibly produce, so that nothing fails
 * once the state has begun to change. Then the event is translated into inputs of single
 * assignments, DSMs and TDIs; engine-table.c says what these do, engine-move.c does it.
 *
 * A DSM carries out one verb at a time. Those that have waited for its session therefore wait on
 * for their turn: each bind's end lets one of them go on. So the first is not held up by what has
 * to be written of the others, and one that leaves meanwhile need not be bound to be unbound.
 *
 * A DSM counts its users; when the last one has gone a grace timer runs, and only then is it
 * reclaimed, unless it is pinned. A quarantined assignment remains a user: nothing is reclaimed
 * under a TDI of which nobody knows what the TSM holds.
 *
 * Records come first, all of a step together and each once: they show the engine as the step has
 * left it; where it is forgotten, the record's removal takes that place. The process may die
 * between any two of them, so what is written first must make sense without what would have
 * followed: a TDI before the assignment that refers to it, and before it is over, because of the
 * binds until then only the assignment's record tells; a DSM that begins to connect before the
 * assignments that wait for it; the end of a DSM's verb after all of these, so that until then the
 * verb is sent again and answers again. That a reclaim comes from quarantine is in the same record
 * as the reclaim, so there is no moment at which a refusal would end it. The end of a TDI's
 * quarantine comes after what its assignment makes of it, for the same reason.
 */
#include "core/engine.h"

#include "core/cleanup.h"
#include "core/engine-private.h"
#include "core/engine-table.h"

#include <errno.h>
#include <string.h>

static int grow(EngineEffect **effects, size_t n)
{
	EngineEffect *grown = realloc(*effects, n * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*effects = grown;
	return 0;
}

/* The records' own array takes the other's effects, too, when the step is over. */
static int reserve_effects(Engine *engine, size_t n)
{
	if (n <= engine->capacity)
		return 0;
	if (grow(&engine->records, 2 * n) < 0 || grow(&engine->effects, n) < 0)
		return -ENOMEM;
	engine->capacity = n;
	return 0;
}

static void assignment_appeared(Engine *engine, const EngineEvent *event)
{
	EngineAssignment *a = &engine->assignments[event->id];

	if (a->used && a->present)
		return;
	if (a->used && !engine_state_is_final(a->state)) {
		/* Taken out and put back while its end is under way: it starts over after that, and
		 * what was wrong before is the operator's to judge, who has just attached it; but
		 * for a quarantine. */
		a->present = true;
		a->unserved = event->unserved;
		a->policy = event->policy;
		a->rebinds = 0;
		if (a->state != ASSIGNMENT_QUARANTINED)
			a->fault = FAULT_NONE;
		engine_emit_plain(engine, EFFECT_PERSIST_ASSIGNMENT, event->id);
		return;
	}
	if (!a->used) {
		*a = (EngineAssignment){
			.used = true, .tvm = event->tvm, .dsm = event->dsm, .tdi = event->tdi
		};
		engine_link(engine, event->id);
	}
	if (a->dsm != event->dsm) {
		engine_unlink(engine, event->id);
		a->dsm = event->dsm;
		engine_link(engine, event->id);
	}
	a->state = ASSIGNMENT_ATTACHED;
	a->fault = FAULT_NONE;
	a->unserved = event->unserved;
	a->generation = 0;
	a->policy = event->policy;
	a->rebinds = 0;
	a->present = true;
	a->guest_ready = event->guest_ready;
	engine_emit_plain(engine, EFFECT_PERSIST_TDI, a->tdi);
	engine_emit(engine,
		    (EngineEffect){ .type = EFFECT_CHANGED, .id = event->id, .state = a->state });
	engine_assignment_begin(engine, event->id);
}

static void assignment_gone(Engine *engine, uint32_t id)
{
	EngineAssignment *a = &engine->assignments[id];

	if (!a->present)
		return;
	a->present = false;
	a->left = true;
	a->guest_ready = false;
	if (!engine_assignment_input(engine, id, IN_GONE))
		engine_emit_plain(engine, EFFECT_PERSIST_ASSIGNMENT, id);
}

static void assignment_guest_ready(Engine *engine, uint32_t id)
{
	EngineAssignment *a = &engine->assignments[id];

	if (!a->present || a->guest_ready)
		return;
	a->guest_ready = true;
	if (!engine_assignment_input(engine, id, IN_GUEST_READY))
		engine_emit_plain(engine, EFFECT_PERSIST_ASSIGNMENT, id);
}

/* Of one that waits to be bound again it has been decided. */
static void looked(Engine *engine, uint32_t id)
{
	const EngineAssignment *a = &engine->assignments[id];

	if (a->present && a->fault != FAULT_NONE && !a->retry_timer)
		engine_assignment_input(engine, id, IN_LOOKED);
}

static void retry_timeout(Engine *engine, uint32_t id)
{
	EngineAssignment *a = &engine->assignments[id];

	if (!a->retry_timer)
		return;
	a->retry_timer = false;
	if (engine_assignment_input(engine, id, IN_RETRY))
		return;
	a->rebinds = 0;
	engine_emit_plain(engine, EFFECT_PERSIST_ASSIGNMENT, id);
}

static void policy_changed(Engine *engine, const EngineEvent *event)
{
	EngineAssignment *a = &engine->assignments[event->id];

	if (policy_equal(&a->policy, &event->policy))
		return;
	a->policy = event->policy;
	engine_emit_plain(engine, EFFECT_PERSIST_ASSIGNMENT, event->id);
}

static EngineInput input_of_tdi_state(TdispState state, bool accepted)
{
	switch (state) {
	case TDISP_CONFIG_LOCKED: return IN_LOCKED;
	case TDISP_RUN: return accepted ? IN_RUN : IN_RUN_UNACCOUNTED;
	case TDISP_ERROR: return IN_ERROR;
	default: return IN_UNLOCKED;
	}
}

/* It may be asked more often than once for the same. */
static void requested(Engine *engine, uint32_t id)
{
	const EngineAssignment *a = &engine->assignments[id];

	if (a->asks == REQUEST_LOCK)
		engine_assignment_input(engine, id, IN_LOCK_ASKED);
	else if (a->asks == REQUEST_START)
		engine_assignment_input(engine, id, IN_START_ASKED);
}

static void tdi_changed(Engine *engine, const EngineEvent *event)
{
	uint32_t id = engine->tdis[event->id].owner;
	EngineAssignment *a;

	if (id == ENGINE_NONE)
		return;
	a = &engine->assignments[id];
	if (a->generation == 0 || a->generation != event->generation)
		return;
	if (a->state >= ASSIGNMENT_BINDING && a->state <= ASSIGNMENT_LOCKED) {
		a->asks = event->request == 0 ? REQUEST_NONE : event->asks;
		a->asked = a->asks == REQUEST_NONE ? 0 : event->request;
	}
	if (a->state == ASSIGNMENT_BINDING) {
		/* The watch has overtaken the bind's own answer. ERROR is left by its end only. */
		if (a->seen == TDISP_ERROR)
			return;
		a->seen = event->tdi_state;
		a->seen_accepted = event->accepted;
		return;
	}
	engine_assignment_input(engine, id, input_of_tdi_state(event->tdi_state, event->accepted));
	requested(engine, id);
}

static void bind_lost(Engine *engine, const EngineEvent *event)
{
	uint32_t id = engine->tdis[event->id].owner;

	if (id != ENGINE_NONE && engine->assignments[id].generation == event->generation)
		engine_assignment_input(engine, id, IN_VOIDED);
}

static void bind_done(Engine *engine, const EngineEvent *event)
{
	EngineAssignment *a = &engine->assignments[event->id];

	if (a->state != ASSIGNMENT_BINDING || a->operation != event->operation)
		return;
	engine_next_turn(engine, &engine->dsms[a->dsm]);
	if (event->outcome == OUTCOME_REFUSED)
		engine_assignment_input(engine, event->id, IN_BIND_REFUSED);
	else if (event->outcome == OUTCOME_UNKNOWN)
		engine_assignment_input(engine, event->id, IN_BIND_UNKNOWN);
	else if (event->tdi_state == TDISP_ERROR)
		engine_assignment_input(engine, event->id, IN_BIND_ERROR);
	else if (event->tdi_state == TDISP_CONFIG_UNLOCKED)
		engine_assignment_input(engine, event->id, IN_BIND_BOUND);
	else
		engine_assignment_input(engine, event->id, IN_BIND_LOCKED);
	if (a->used && (a->state == ASSIGNMENT_LOCKED || a->state == ASSIGNMENT_BOUND) &&
	    a->seen != TDISP_N_STATES) {
		engine_assignment_input(engine, event->id,
					input_of_tdi_state(a->seen, a->seen_accepted));
		requested(engine, event->id);
	}
}

/* Another may have been opened meanwhile. */
static void request_done(Engine *engine, const EngineEvent *event)
{
	const EngineAssignment *a = &engine->assignments[event->id];

	if ((a->state != ASSIGNMENT_BOUND && a->state != ASSIGNMENT_LOCKED) || a->operation == 0 ||
	    a->operation != event->operation)
		return;
	engine_assignment_input(engine, event->id,
				event->outcome == OUTCOME_UNKNOWN ? IN_REQUEST_UNKNOWN
								  : IN_REQUEST_CARRIED);
	requested(engine, event->id);
}

static void unbind_done(Engine *engine, const EngineEvent *event)
{
	EngineAssignment *a = &engine->assignments[event->id];

	if (a->state != ASSIGNMENT_UNBINDING || a->operation != event->operation)
		return;
	engine_assignment_input(engine, event->id,
				event->outcome == OUTCOME_DONE && event->device_confirmed
					? IN_UNBIND_CLEAN
					: IN_UNBIND_UNKNOWN);
}

static void clear_done(Engine *engine, const EngineEvent *event)
{
	const EngineTdi *tdi = &engine->tdis[event->id];

	if (tdi->state == TDI_CLEARING && tdi->operation == event->operation)
		engine_tdi_input(engine, event->id,
				 event->outcome == OUTCOME_DONE && event->device_confirmed
					 ? TDI_IN_CLEARED
					 : TDI_IN_NOT_CLEARED);
}

static void tvm_gone(Engine *engine, uint32_t tvm)
{
	uint32_t next;

	for (uint32_t id = engine->tvms[tvm].first; id != ENGINE_NONE; id = next) {
		next = engine->assignments[id].next_of_tvm;
		assignment_gone(engine, id);
	}
}

static void dsm_done(Engine *engine, const EngineEvent *event, DsmState verb)
{
	static const DsmInput inputs[][2] = {
		[OUTCOME_DONE] = { DSM_IN_CONNECT_DONE, DSM_IN_RECLAIM_DONE },
		[OUTCOME_REFUSED] = { DSM_IN_CONNECT_REFUSED, DSM_IN_RECLAIM_REFUSED },
		[OUTCOME_UNKNOWN] = { DSM_IN_CONNECT_UNKNOWN, DSM_IN_RECLAIM_UNKNOWN },
	};
	const EngineDsm *dsm = &engine->dsms[event->id];

	if (dsm->state == verb && dsm->operation == event->operation)
		engine_dsm_input(engine, event->id, inputs[event->outcome][verb == DSM_RECLAIMING]);
}

/* Should it not appear after all, the DSM is idle, and its grace has begun. */
static void connect_ahead(Engine *engine, uint32_t id)
{
	if (engine->dsms[id].state == DSM_CONNECTED)
		engine_tell_users(engine, id, IN_DSM_READY);
	else
		engine_dsm_input(engine, id, DSM_IN_NEEDED);
}

static void idle_timeout(Engine *engine, uint32_t id)
{
	engine->dsms[id].idle_timer = false;
	engine_dsm_input(engine, id, DSM_IN_IDLE_TIMEOUT);
}

static void tvm_started(Engine *engine, uint32_t id)
{
	if (!engine->tvms[id].used)
		engine->tvms[id] = (EngineTvm){ .used = true, .first = ENGINE_NONE };
}

static void tvm_stopping(Engine *engine, uint32_t id)
{
	EngineTvm *tvm = &engine->tvms[id];
	bool quiet = tvm->bound == 0;

	if (tvm->stopping)
		return;
	tvm->stopping = true;
	tvm_gone(engine, id);
	if (quiet)
		engine_emit_plain(engine, EFFECT_TVM_QUIET, id);
}

static void tvm_ended(Engine *engine, uint32_t id)
{
	EngineTvm *tvm = &engine->tvms[id];
	uint32_t next;

	tvm->stopping = tvm->ended = true;
	tvm_gone(engine, id);
	for (uint32_t a = tvm->first; a != ENGINE_NONE; a = next) {
		next = engine->assignments[a].next_of_tvm;
		if (!engine_state_is_final(engine->assignments[a].state))
			continue;
		engine_forget(engine, a);
	}
	if (tvm->first == ENGINE_NONE)
		tvm->used = false;
}

static int prepare_dsm(Engine *engine, uint32_t id)
{
	int r = MAKE_ROOM(engine, dsms, id);

	if (r >= 0 && !engine->dsms[id].used)
		engine->dsms[id] = (EngineDsm){ .used = true, .first = ENGINE_NONE };
	return r;
}

static int prepare_tdi(Engine *engine, uint32_t id)
{
	int r = MAKE_ROOM(engine, tdis, id);

	if (r >= 0 && !engine->tdis[id].used)
		engine->tdis[id] = (EngineTdi){ .used = true, .owner = ENGINE_NONE };
	return r;
}

/* The ids of EVENT_APPEARED may be new ones; all its preconditions are checked here. */
static int prepare_appeared(Engine *engine, const EngineEvent *event)
{
	const EngineAssignment *a;
	int r;

	if (!engine_tvm(engine, event->tvm) || engine->tvms[event->tvm].stopping)
		return -EINVAL;
	a = engine_assignment(engine, event->id);
	/* Nothing is asked of the DSM of a final one; by now another may serve its function. */
	if (a && (a->tvm != event->tvm || a->tdi != event->tdi ||
		  (a->dsm != event->dsm && !engine_state_is_final(a->state))))
		return -EINVAL;
	r = MAKE_ROOM(engine, assignments, event->id);
	if (r >= 0)
		r = MAKE_ROOM(engine, tdis, event->tdi);
	if (r >= 0)
		r = prepare_dsm(engine, event->dsm);
	return r < 0 ? r : prepare_tdi(engine, event->tdi);
}

/* Checks the event's object and counts the assignments that it may reach. */
static int prepare(Engine *engine, const EngineEvent *event, size_t *ret_reach)
{
	bool known;
	int r;

	*ret_reach = 1;
	switch (event->type) {
	case EVENT_BIND_DONE: /* and the next in turn */
		*ret_reach = 2;
		known = engine_assignment(engine, event->id);
		break;
	case EVENT_TVM_STARTED: return MAKE_ROOM(engine, tvms, event->id);
	case EVENT_APPEARED: return prepare_appeared(engine, event);
	case EVENT_CONNECT_REQUESTED: return prepare_dsm(engine, event->id);
	case EVENT_CLEAR_REQUESTED: return prepare_tdi(engine, event->id);
	case EVENT_TVM_STOPPING:
	case EVENT_TVM_ENDED:
		known = engine_tvm(engine, event->id);
		for (uint32_t a = known ? engine->tvms[event->id].first : ENGINE_NONE;
		     a != ENGINE_NONE; a = engine->assignments[a].next_of_tvm)
			(*ret_reach)++;
		break;
	case EVENT_CONNECT_AHEAD:
		r = prepare_dsm(engine, event->id);
		if (r < 0)
			return r;
		/* fall through */
	case EVENT_DSM_LOST:
	case EVENT_CONNECT_DONE:
	case EVENT_RECLAIM_DONE:
	case EVENT_IDLE_TIMEOUT:
	case EVENT_RECLAIM_REQUESTED:
		known = engine_dsm(engine, event->id);
		for (uint32_t a = known ? engine->dsms[event->id].first : ENGINE_NONE;
		     a != ENGINE_NONE; a = engine->assignments[a].next_of_dsm)
			(*ret_reach)++;
		break;
	case EVENT_BIND_LOST:
	case EVENT_CLEAR_DONE:
	case EVENT_TDI_CHANGED: known = engine_tdi(engine, event->id); break;
	default: known = engine_assignment(engine, event->id); break;
	}
	return known ? 0 : -EINVAL;
}

int engine_step(Engine *engine, const EngineEvent *event, const EngineEffect **ret_effects,
		size_t *ret_n)
{
	size_t reach;
	int r;

	engine->n_records = engine->n_effects = 0;
	*ret_effects = engine->records;
	*ret_n = 0;
	r = prepare(engine, event, &reach);
	if (r >= 0)
		r = reserve_effects(engine, (reach + 1) * ENGINE_EFFECTS_MAX);
	if (r < 0)
		return r;

	switch (event->type) {
	case EVENT_TVM_STARTED: tvm_started(engine, event->id); break;
	case EVENT_TVM_STOPPING: tvm_stopping(engine, event->id); break;
	case EVENT_TVM_ENDED: tvm_ended(engine, event->id); break;
	case EVENT_APPEARED: assignment_appeared(engine, event); break;
	case EVENT_GONE: assignment_gone(engine, event->id); break;
	case EVENT_GUEST_READY: assignment_guest_ready(engine, event->id); break;
	case EVENT_GUEST_REJECTED:
		if (engine->assignments[event->id].generation == event->generation)
			engine_assignment_input(engine, event->id, IN_REJECTED);
		break;
	case EVENT_BIND_LOST: bind_lost(engine, event); break;
	case EVENT_TDI_CHANGED: tdi_changed(engine, event); break;
	case EVENT_DSM_LOST: engine_dsm_input(engine, event->id, DSM_IN_LOST); break;
	case EVENT_CONNECT_DONE: dsm_done(engine, event, DSM_CONNECTING); break;
	case EVENT_RECLAIM_DONE: dsm_done(engine, event, DSM_RECLAIMING); break;
	case EVENT_CONNECT_REQUESTED:
		engine_dsm_input(engine, event->id, DSM_IN_CONNECT_REQUESTED);
		break;
	case EVENT_CONNECT_AHEAD: connect_ahead(engine, event->id); break;
	case EVENT_RECLAIM_REQUESTED:
		engine_dsm_input(engine, event->id, DSM_IN_RECLAIM_REQUESTED);
		break;
	case EVENT_BIND_DONE: bind_done(engine, event); break;
	case EVENT_REQUEST_DONE: request_done(engine, event); break;
	case EVENT_UNBIND_DONE: unbind_done(engine, event); break;
	case EVENT_LOOKED: looked(engine, event->id); break;
	case EVENT_RETRY_TIMEOUT: retry_timeout(engine, event->id); break;
	case EVENT_POLICY_CHANGED: policy_changed(engine, event); break;
	case EVENT_DETACH_FAILED:
		engine_assignment_input(engine, event->id, IN_DETACH_FAILED);
		break;
	case EVENT_GUEST_TIMEOUT: engine_assignment_input(engine, event->id, IN_TIMEOUT); break;
	case EVENT_IDLE_TIMEOUT: idle_timeout(engine, event->id); break;
	case EVENT_CLEAR_REQUESTED:
		engine_tdi_input(engine, event->id, TDI_IN_CLEAR_REQUESTED);
		break;
	case EVENT_CLEAR_DONE: clear_done(engine, event); break;
	case EVENT_N_TYPES: return -EINVAL;
	}

	if (engine->n_effects > 0)
		memcpy(engine->records + engine->n_records, engine->effects,
		       engine->n_effects * sizeof(engine->effects[0]));
	*ret_effects = engine->records;
	*ret_n = engine->n_records + engine->n_effects;
	return 0;
}
