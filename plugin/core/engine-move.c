/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one input does to one assignment, DSM or TDI: the row of the table that fits
 * (engine-table.c), the new state, and the effects in their order.
 */
#include "core/engine.h"

#include "core/engine-private.h"
#include "core/engine-table.h"

/* Only what one input may have given is looked through: a step may have thousands. */
static bool is_recorded(const Engine *engine, const EngineEffect *effect)
{
	size_t n = engine->n_records;

	for (size_t i = n; i-- > 0 && n - i <= ENGINE_EFFECTS_MAX;)
		if (engine->records[i].type == effect->type && engine->records[i].id == effect->id)
			return true;
	return false;
}

void engine_emit(Engine *engine, EngineEffect effect)
{
	if (engine_effect_is_record(effect.type)) {
		if (engine->n_records < engine->capacity && !is_recorded(engine, &effect))
			engine->records[engine->n_records++] = effect;
	} else if (engine->n_effects < engine->capacity) {
		engine->effects[engine->n_effects++] = effect;
	}
}

bool engine_effect_is_record(EngineEffectType type)
{
	return type == EFFECT_PERSIST_TDI || type == EFFECT_PERSIST_DSM ||
	       type == EFFECT_PERSIST_ASSIGNMENT;
}

void engine_emit_plain(Engine *engine, EngineEffectType type, uint32_t id)
{
	engine_emit(engine, (EngineEffect){ .type = type, .id = id });
}

/* The grace timer runs exactly while a connected DSM has no user and is not pinned. */
static void dsm_settle(Engine *engine, uint32_t id)
{
	EngineDsm *dsm = &engine->dsms[id];
	bool idle = dsm->state == DSM_CONNECTED && dsm->users == 0 && !dsm->pinned;

	if (idle == dsm->idle_timer)
		return;
	dsm->idle_timer = idle;
	engine_emit_plain(engine, idle ? EFFECT_TIMER_IDLE : EFFECT_TIMER_IDLE_OFF, id);
}

/* What is not listed has no policy: the device must not stay. */
static PolicyAction action_of(const EngineAssignment *a)
{
	switch (a->fault) {
	case FAULT_REJECTED: return a->policy.on_reject;
	case FAULT_NOT_READY:
	case FAULT_NO_VERDICT: return a->policy.on_timeout;
	case FAULT_CONNECT:
	case FAULT_BIND:
	case FAULT_ERROR:
	case FAULT_UNLOCKED:
	case FAULT_VOIDED:
	case FAULT_REQUEST: return a->policy.on_error;
	case FAULT_FOREIGN: /* binding it again is for nobody to decide here */
		return a->policy.on_error == POLICY_DETACH ? POLICY_DETACH : POLICY_HOLD;
	default: return POLICY_DETACH;
	}
}

/* The timer runs while it waits to be bound again, and until a rebound one has run steadily. */
static void retry_settle(Engine *engine, uint32_t id, bool waits)
{
	EngineAssignment *a = &engine->assignments[id];
	bool wanted = waits || (a->state == ASSIGNMENT_RUNNING && a->rebinds > 0);

	if (wanted == a->retry_timer)
		return;
	a->retry_timer = wanted;
	engine_emit_plain(engine, wanted ? EFFECT_TIMER_RETRY : EFFECT_TIMER_RETRY_OFF, id);
}

static bool guard_holds(const EngineAssignment *a, EngineGuard guard)
{
	switch (guard) {
	case GUARD_NONE: return true;
	case GUARD_READY: return a->guest_ready;
	case GUARD_LEFT: return a->left;
	case GUARD_PRESENT: return a->present;
	case GUARD_BACK: return a->present && a->left;
	case GUARD_FAULT: return a->fault != FAULT_NONE;
	case GUARD_LET_GO: return a->fault == FAULT_UNLOCKED;
	case GUARD_ENDED: return a->fault == FAULT_UNLOCKED || a->fault == FAULT_VOIDED;
	case GUARD_PRESENT_FAULT: return a->present && a->fault != FAULT_NONE;
	case GUARD_REBIND: return action_of(a) == POLICY_REBIND && a->rebinds < a->policy.rebinds;
	case GUARD_RETRY: return action_of(a) == POLICY_REBIND && a->rebinds <= a->policy.rebinds;
	case GUARD_HOLD: return action_of(a) != POLICY_DETACH;
	case GUARD_ASKS: return a->operation == 0 && a->asked != a->request;
	}
	return false;
}

static const EngineTransition *find_transition(const EngineAssignment *a, EngineInput input)
{
	for (size_t i = 0; i < engine_n_transitions; i++) {
		const EngineTransition *t = &engine_transitions[i];

		if (t->from == a->state && t->input == input && guard_holds(a, t->guard))
			return t;
	}
	return NULL;
}

void engine_forget(Engine *engine, uint32_t id)
{
	EngineAssignment *a = &engine->assignments[id];
	EngineTvm *tvm = &engine->tvms[a->tvm];

	engine_unlink(engine, id);
	a->used = false;
	if (tvm->ended && tvm->first == ENGINE_NONE)
		tvm->used = false;
	engine_emit_plain(engine, EFFECT_PERSIST_ASSIGNMENT, id);
	engine_emit_plain(engine, EFFECT_FORGET_ASSIGNMENT, id);
}

bool engine_assignment_input(Engine *engine, uint32_t id, EngineInput input)
{
	EngineAssignment *a = &engine->assignments[id];
	EngineTdi *tdi = &engine->tdis[a->tdi];
	EngineTvm *tvm = &engine->tvms[a->tvm];
	const EngineTransition *t = find_transition(a, input);
	bool was_kept = engine_state_is_bound(a->state);

	if (!t)
		return false;

	engine_count(engine, a, a->state, -1);
	if (t->to != a->state || (t->actions & ACT_CARRIED))
		a->operation = 0;
	a->state = t->to;
	engine_count(engine, a, a->state, +1);
	if (t->to == ASSIGNMENT_RELEASED || (t->actions & ACT_BEGIN))
		a->fault = FAULT_NONE;
	else if (a->fault == FAULT_NONE || (a->fault == FAULT_UNLOCKED && t->fault != FAULT_NONE))
		a->fault = t->fault;
	if (t->actions & ACT_BIND) {
		a->generation = ++tdi->generation;
		a->left = false;
		a->seen = TDISP_N_STATES;
		a->seen_accepted = false;
		a->request = a->asked = 0;
		a->asks = REQUEST_NONE;
	}
	if (t->actions & (ACT_LOCK | ACT_START))
		a->request = a->asked;
	if (t->actions & (ACT_BIND | ACT_UNBIND | ACT_LOCK | ACT_START))
		a->operation = engine->next_operation++;
	if ((t->actions & ACT_DISOWN) && tdi->owner == id)
		tdi->owner = ENGINE_NONE;
	if (t->actions & ACT_QUARANTINE)
		tdi->state = TDI_QUARANTINED;
	if (t->actions & ACT_RETRY)
		a->rebinds++;

	/* That its quarantine has ended is written when this assignment has heard of it. */
	if ((t->actions & (ACT_QUARANTINE | ACT_BEGIN | ACT_DISOWN)) &&
	    t->from != ASSIGNMENT_QUARANTINED)
		engine_emit_plain(engine, EFFECT_PERSIST_TDI, a->tdi);
	if (!(t->actions & ACT_BEGIN))
		engine_emit_plain(engine, EFFECT_PERSIST_ASSIGNMENT, id);
	if (!(t->actions & (ACT_LOCK | ACT_START | ACT_CARRIED)))
		engine_emit(engine, (EngineEffect){ .type = EFFECT_CHANGED,
						    .id = id,
						    .generation = a->generation,
						    .state = a->state });
	if (t->actions & ACT_WITHDRAW)
		engine_emit(engine, (EngineEffect){ .type = EFFECT_TELL_WITHDRAWN,
						    .id = id,
						    .generation = a->generation });
	if (t->actions & ACT_TIMER_OFF)
		engine_emit_plain(engine, EFFECT_TIMER_GUEST_OFF, id);
	if (t->actions & ACT_BIND)
		engine_emit(engine, (EngineEffect){ .type = EFFECT_BIND,
						    .id = id,
						    .operation = a->operation,
						    .generation = a->generation });
	if (t->actions & (ACT_LOCK | ACT_START))
		engine_emit(engine, (EngineEffect){ .type = t->actions & ACT_LOCK ? EFFECT_LOCK
										  : EFFECT_START,
						    .id = id,
						    .operation = a->operation,
						    .generation = a->generation,
						    .request = a->request });
	if (t->actions & ACT_UNBIND)
		engine_emit(engine, (EngineEffect){ .type = EFFECT_UNBIND,
						    .id = id,
						    .operation = a->operation,
						    .generation = a->generation });
	if (t->actions & ACT_LOOK)
		engine_emit_plain(engine, EFFECT_LOOK, id);
	if (t->actions & ACT_DETACH)
		engine_emit_plain(engine, EFFECT_DETACH, id);
	if (t->actions & ACT_TELL_LOCKED)
		engine_emit(engine, (EngineEffect){ .type = EFFECT_TELL_LOCKED,
						    .id = id,
						    .generation = a->generation });
	if (t->actions & ACT_TIMER)
		engine_emit_plain(engine, EFFECT_TIMER_GUEST, id);
	retry_settle(engine, id, t->actions & ACT_RETRY);
	if (t->actions & ACT_BEGIN)
		engine_assignment_begin(engine, id);

	dsm_settle(engine, a->dsm);
	if (was_kept && tvm->stopping && tvm->bound == 0)
		engine_emit_plain(engine, EFFECT_TVM_QUIET, a->tvm);
	if (engine_state_is_final(a->state) && tvm->ended)
		engine_forget(engine, id);
	return true;
}

void engine_assignment_begin(Engine *engine, uint32_t id)
{
	EngineAssignment *a = &engine->assignments[id];
	EngineTdi *tdi = &engine->tdis[a->tdi];
	EngineDsm *dsm = &engine->dsms[a->dsm];

	a->left = false;
	if (a->unserved || tdi->state != TDI_KNOWN ||
	    (tdi->owner != ENGINE_NONE && tdi->owner != id)) {
		engine_assignment_input(engine, id, IN_FOREIGN);
		return;
	}
	tdi->owner = id;
	switch (dsm->state) {
	case DSM_CONNECTED: engine_assignment_input(engine, id, IN_DSM_READY); break;
	case DSM_QUARANTINED: engine_assignment_input(engine, id, IN_DSM_REFUSED); break;
	case DSM_IDLE: engine_dsm_input(engine, a->dsm, DSM_IN_NEEDED); /* fall through */
	default: engine_assignment_input(engine, id, IN_DSM_NEEDED); break;
	}
}

static bool tdi_guard_holds(const Engine *engine, const EngineTdi *tdi, TdiGuard guard)
{
	AssignmentState state;

	switch (guard) {
	case TDI_GUARD_NONE: return true;
	case TDI_GUARD_IDLE:
		if (tdi->owner == ENGINE_NONE)
			return true;
		state = engine->assignments[tdi->owner].state;
		return state == ASSIGNMENT_QUARANTINED || !assignment_state_needs_session(state);
	}
	return false;
}

static const TdiTransition *find_tdi_transition(const Engine *engine, const EngineTdi *tdi,
						TdiInput input)
{
	for (size_t i = 0; i < tdi_n_transitions; i++) {
		const TdiTransition *t = &tdi_transitions[i];

		if (t->from == tdi->state && t->input == input &&
		    tdi_guard_holds(engine, tdi, t->guard))
			return t;
	}
	return NULL;
}

void engine_tdi_input(Engine *engine, uint32_t id, TdiInput input)
{
	EngineTdi *tdi = &engine->tdis[id];
	const TdiTransition *t = find_tdi_transition(engine, tdi, input);

	if (!t)
		return;
	tdi->state = t->to;
	tdi->operation = t->actions & TDI_ACT_CLEAR ? engine->next_operation++ : 0;
	if (t->tells != IN_N && tdi->owner != ENGINE_NONE)
		engine_assignment_input(engine, tdi->owner, t->tells);
	engine_emit_plain(engine, EFFECT_PERSIST_TDI, id);
	if (t->actions & TDI_ACT_CLEAR)
		engine_emit(engine, (EngineEffect){ .type = EFFECT_CLEAR,
						    .id = id,
						    .operation = tdi->operation });
}

/* Others have no use for its session, or have it already. */
static bool waits_for_dsm(const EngineAssignment *a)
{
	return a->state == ASSIGNMENT_WAITING || a->state == ASSIGNMENT_CONNECTING;
}

static bool waits_for_turn(const EngineAssignment *a)
{
	return a->state == ASSIGNMENT_CONNECTING && a->guest_ready;
}

void engine_next_turn(Engine *engine, const EngineDsm *dsm)
{
	const EngineAssignment *all = engine->assignments;
	uint32_t first = ENGINE_NONE;

	if (dsm->state != DSM_CONNECTED)
		return;
	/* The list begins with who came last. */
	for (uint32_t id = dsm->first; id != ENGINE_NONE; id = all[id].next_of_dsm)
		if (waits_for_turn(&all[id]))
			first = id;
	if (first != ENGINE_NONE)
		engine_assignment_input(engine, first, IN_DSM_READY);
}

static bool one_is_binding(const Engine *engine, const EngineDsm *dsm)
{
	const EngineAssignment *all = engine->assignments;

	for (uint32_t id = dsm->first; id != ENGINE_NONE; id = all[id].next_of_dsm)
		if (all[id].state == ASSIGNMENT_BINDING)
			return true;
	return false;
}

/* The next id is taken before the input, which may unlink this one. */
void engine_tell_users(Engine *engine, uint32_t dsm, EngineInput input)
{
	uint32_t next;

	for (uint32_t id = engine->dsms[dsm].first; id != ENGINE_NONE; id = next) {
		EngineAssignment *a = &engine->assignments[id];

		next = a->next_of_dsm;
		if (a->state == ASSIGNMENT_BINDING && input == IN_DSM_LOST)
			a->seen = TDISP_ERROR; /* should it turn out to have been bound */
		if ((waits_for_dsm(a) && !(input == IN_DSM_READY && waits_for_turn(a))) ||
		    input == IN_DSM_LOST)
			engine_assignment_input(engine, id, input);
	}
	if (input == IN_DSM_READY && !one_is_binding(engine, &engine->dsms[dsm]))
		engine_next_turn(engine, &engine->dsms[dsm]);
}

static bool is_waited_for(const Engine *engine, const EngineDsm *dsm)
{
	for (uint32_t id = dsm->first; id != ENGINE_NONE; id = engine->assignments[id].next_of_dsm)
		if (waits_for_dsm(&engine->assignments[id]))
			return true;
	return false;
}

static bool dsm_guard_holds(const Engine *engine, const EngineDsm *dsm, DsmGuard guard)
{
	switch (guard) {
	case DSM_GUARD_NONE: return true;
	case DSM_GUARD_UNUSED: return dsm->users == 0;
	case DSM_GUARD_FREE: return dsm->users == 0 && !dsm->pinned;
	case DSM_GUARD_WANTED: return dsm->users > 0 || dsm->pinned;
	case DSM_GUARD_WAITED: return is_waited_for(engine, dsm);
	case DSM_GUARD_DOUBTFUL: return dsm->doubtful;
	}
	return false;
}

static const DsmTransition *find_dsm_transition(const Engine *engine, const EngineDsm *dsm,
						DsmInput input)
{
	for (size_t i = 0; i < dsm_n_transitions; i++) {
		const DsmTransition *t = &dsm_transitions[i];

		if (t->from == dsm->state && t->input == input &&
		    dsm_guard_holds(engine, dsm, t->guard))
			return t;
	}
	return NULL;
}

/*
 * Its record follows when all that wait for it have heard, and comes before the verb that it
 * announces.
 */
void engine_dsm_input(Engine *engine, uint32_t id, DsmInput input)
{
	EngineDsm *dsm = &engine->dsms[id];
	const DsmTransition *t = find_dsm_transition(engine, dsm, input);
	bool pinned;

	if (!t)
		return;
	pinned = (dsm->pinned || (t->actions & DSM_ACT_PIN)) && !(t->actions & DSM_ACT_UNPIN);
	if (t->to == dsm->state && pinned == dsm->pinned)
		return;

	if (t->to != dsm->state)
		dsm->operation = 0;
	if (t->actions & (DSM_ACT_CONNECT | DSM_ACT_RECLAIM))
		dsm->operation = engine->next_operation++;
	dsm->state = t->to;
	dsm->pinned = pinned;
	dsm->doubtful = t->to == DSM_RECLAIMING && (dsm->doubtful || (t->actions & DSM_ACT_DOUBT));

	if (t->tells != IN_N)
		engine_tell_users(engine, id, t->tells);
	engine_emit_plain(engine, EFFECT_PERSIST_DSM, id);
	if (t->actions & (DSM_ACT_CONNECT | DSM_ACT_RECLAIM))
		engine_emit(engine,
			    (EngineEffect){ .type = t->actions & DSM_ACT_CONNECT ? EFFECT_CONNECT
										 : EFFECT_RECLAIM,
					    .id = id,
					    .operation = dsm->operation });
	dsm_settle(engine, id);
}
