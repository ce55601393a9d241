/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the TSM does when a verb reaches it, and what becomes of the engine's effects.
 *
 * The TSM refuses a bind whose DSM is not connected; everything else that it could refuse would be
 * the engine's mistake and is a property. Records are written at once, with the engine's state at
 * the end of the step: that is how the daemon does it.
 */
#include "model-private.h"
#include "properties.h"

static void notice(Model *model, uint32_t id)
{
	WorldTdi *tdi = &model->world.tdis[id];

	/* A provider that has not been asked yet tells nothing. */
	if (model->world.resync)
		return;
	if (tdi->n_notices == MAX_NOTICES) {
		broken(model, "the model has room for every notice", "tdi%u", (unsigned)id);
		return;
	}
	tdi->notices[tdi->n_notices++] = (Notice){ .state = tdi->state,
						   .accepted = tdi->accepted,
						   .request = tdi->request,
						   .generation = (uint16_t)tdi->generation };
}

void world_tdi_moves(Model *model, uint32_t id, TdispState state, bool accepted)
{
	WorldTdi *tdi = &model->world.tdis[id];

	tdi->state = (uint8_t)state;
	tdi->accepted |= accepted;
	tdi->request = 0;
	notice(model, id);
}

void world_tdi_asks(Model *model, uint32_t id, EngineRequest what)
{
	WorldTdi *tdi = &model->world.tdis[id];

	tdi->request = what == REQUEST_NONE ? 0 : (Request)(++tdi->last << 2 | what);
	if (tdi->last > UINT8_MAX >> 2)
		broken(model, "the model has a number for every request", "tdi%u", (unsigned)id);
	notice(model, id);
}

void world_notice_lost(Model *model, uint32_t id)
{
	WorldTdi *tdi = &model->world.tdis[id];

	notice(model, id);
	if (tdi->n_notices > 0)
		tdi->notices[tdi->n_notices - 1].lost = true;
}

void world_void(Model *model, uint32_t id)
{
	WorldTdi *tdi = &model->world.tdis[id];

	tdi->holder = ENGINE_NONE;
	tdi->state = TDISP_CONFIG_UNLOCKED;
	tdi->request = 0;
	world_notice_lost(model, id);
}

void world_lose_dsm(Model *model, uint32_t id)
{
	WorldDsm *dsm = &model->world.dsms[id];

	dsm->connected = false;
	dsm->lost = !model->world.resync;
	for (uint32_t t = 0; t < model->scenario->tdis; t++)
		if (model->scenario->dsm_of[t] == id &&
		    model->world.tdis[t].holder != ENGINE_NONE &&
		    model->world.tdis[t].state != TDISP_ERROR) {
			model->world.tdis[t].request = 0;
			if (model->scenario->errors_untold)
				model->world.tdis[t].state = TDISP_ERROR;
			else
				world_tdi_moves(model, t, TDISP_ERROR, false);
		}
}

/* Whether it is really done, and what is answered. */
static bool decide(Operation *operation, Execution how)
{
	operation->executed = true;
	operation->confirmed = how != EXECUTE_UNCONFIRMED;
	switch (how) {
	case EXECUTE_REFUSE: operation->outcome = OUTCOME_REFUSED; return false;
	case EXECUTE_UNKNOWN_NOT_DONE: operation->outcome = OUTCOME_UNKNOWN; return false;
	case EXECUTE_UNKNOWN_DONE: operation->outcome = OUTCOME_UNKNOWN; return true;
	default: operation->outcome = OUTCOME_DONE; return true;
	}
}

void world_execute_dsm(Model *model, uint32_t id, Execution how)
{
	WorldDsm *dsm = &model->world.dsms[id];

	dsm->operation.behind = dsm->lost;
	/* There is no session to keep. */
	if (how == EXECUTE_REFUSE && dsm->operation.verb == VERB_RECLAIM && !dsm->connected)
		how = EXECUTE_WELL;
	if (decide(&dsm->operation, how))
		dsm->connected = dsm->operation.verb == VERB_CONNECT;
}

void world_execute_tdi(Model *model, uint32_t id, Execution how)
{
	uint32_t t = model->scenario->tdi_of[id];
	WorldTdi *tdi = &model->world.tdis[t];
	Operation *operation = &model->world.assignments[id].operation;
	bool bind = operation->verb == VERB_BIND;

	if (bind && !model->world.dsms[model->scenario->dsm_of[t]].connected)
		how = EXECUTE_REFUSE;
	if (!decide(operation, how))
		return;
	if (bind) {
		tdi->holder = id;
		tdi->generation = operation->generation;
		tdi->state =
			model->scenario->host_carries ? TDISP_CONFIG_UNLOCKED : TDISP_CONFIG_LOCKED;
		if (how == EXECUTE_TO_ERROR)
			tdi->state = TDISP_ERROR;
		tdi->accepted = false;
		tdi->request = 0;
		tdi->first = tdi->last;
	} else if (tdi->holder == id) {
		tdi->holder = ENGINE_NONE;
		tdi->state = TDISP_CONFIG_UNLOCKED;
		tdi->accepted = false;
		tdi->request = 0;
	}
	operation->tdi_state = tdi->state;
}

/* The TSM has its guest's own word, whatever the host says. */
void world_execute_carried(Model *model, uint32_t id, Execution how)
{
	uint32_t t = model->scenario->tdi_of[id];
	WorldTdi *tdi = &model->world.tdis[t];
	Operation *operation = &model->world.assignments[id].carried;
	bool starts = operation->verb == VERB_START;

	if (tdi->holder != id || tdi->generation != operation->generation || tdi->request == 0 ||
	    tdi->request != operation->request ||
	    (tdi->request & 3) != (starts ? REQUEST_START : REQUEST_LOCK))
		how = EXECUTE_REFUSE;
	if (decide(operation, how))
		world_tdi_moves(model, t, starts ? TDISP_RUN : TDISP_CONFIG_LOCKED, starts);
}

void world_execute_clear(Model *model, uint32_t id, Execution how)
{
	WorldTdi *tdi = &model->world.tdis[id];

	if (!decide(&tdi->operation, how))
		return;
	tdi->holder = ENGINE_NONE;
	tdi->state = TDISP_CONFIG_UNLOCKED;
	tdi->accepted = false;
	tdi->request = 0;
}

static void send(Operation *to, Verb verb, const EngineEffect *effect)
{
	*to = (Operation){ .verb = (uint8_t)verb,
			   .number = (uint32_t)effect->operation,
			   .request = (Request)effect->request,
			   .generation = (uint32_t)effect->generation };
}

static void write_dsm(Model *model, uint32_t id)
{
	const EngineDsm *e = engine_dsm(model->engine, id);
	WorldDsm *dsm = &model->world.dsms[id];

	/* One without a session has no record. */
	dsm->recorded = e->state != DSM_IDLE;
	dsm->record_state = dsm->recorded ? (uint8_t)e->state : 0;
	dsm->record_operation = dsm->recorded ? (uint32_t)e->operation : 0;
	dsm->record_pinned = dsm->recorded && e->pinned;
	dsm->record_doubtful = dsm->recorded && e->doubtful;
}

static void write_tdi(Model *model, uint32_t id)
{
	const EngineTdi *e = engine_tdi(model->engine, id);
	WorldTdi *tdi = &model->world.tdis[id];

	tdi->recorded = true;
	tdi->record_quarantined = e->state != TDI_KNOWN;
	tdi->record_operation = (uint32_t)e->operation;
	tdi->record_generation = (uint32_t)e->generation;
}

static void remove_assignment(WorldAssignment *a)
{
	a->recorded = a->record_present = a->record_left = a->record_ready = false;
	a->record_retry = a->record_other = a->record_unserved = false;
	a->record_rebinds = 0;
	a->record_state = a->record_fault = a->record_request = 0;
	a->record_generation = a->record_operation = 0;
}

static void write_assignment(Model *model, uint32_t id)
{
	const EngineAssignment *e = engine_assignment(model->engine, id);
	WorldAssignment *a = &model->world.assignments[id];

	if (!e) {
		remove_assignment(a);
		return;
	}
	a->recorded = true;
	a->record_state = (uint8_t)e->state;
	a->record_fault = (uint8_t)e->fault;
	a->record_generation = (uint32_t)e->generation;
	a->record_operation = (uint32_t)e->operation;
	a->record_request = (Request)e->request;
	a->record_present = e->present;
	a->record_left = e->left;
	a->record_ready = e->guest_ready;
	a->record_rebinds = (uint8_t)e->rebinds;
	a->record_retry = e->retry_timer;
	a->record_unserved = e->unserved;
	a->record_other = policy_equal(&e->policy, &model->scenario->other);
}

static void forget(WorldAssignment *a)
{
	a->look = a->retry = a->timer = a->detach = a->left = false;
}

void world_carry_out(Model *model, const EngineEffect *effect)
{
	World *w = &model->world;
	uint32_t id = effect->id;

	switch (effect->type) {
	case EFFECT_PERSIST_DSM: write_dsm(model, id); break;
	case EFFECT_PERSIST_TDI: write_tdi(model, id); break;
	case EFFECT_PERSIST_ASSIGNMENT: write_assignment(model, id); break;
	case EFFECT_FORGET_ASSIGNMENT: forget(&w->assignments[id]); break;
	case EFFECT_CONNECT: send(&w->dsms[id].operation, VERB_CONNECT, effect); break;
	case EFFECT_RECLAIM: send(&w->dsms[id].operation, VERB_RECLAIM, effect); break;
	case EFFECT_BIND:
		send(&w->assignments[id].operation, VERB_BIND, effect);
		w->assignments[id].left = false;
		w->assignments[id].binds++;
		break;
	case EFFECT_LOCK:
	case EFFECT_START:
		send(&w->assignments[id].carried,
		     effect->type == EFFECT_LOCK ? VERB_LOCK : VERB_START, effect);
		w->assignments[id].sent = (Request)effect->request;
		break;
	case EFFECT_CLEAR: send(&w->tdis[id].operation, VERB_CLEAR, effect); break;
	case EFFECT_UNBIND: send(&w->assignments[id].operation, VERB_UNBIND, effect); break;
	case EFFECT_LOOK: w->assignments[id].look = true; break;
	case EFFECT_TIMER_RETRY: w->assignments[id].retry = true; break;
	case EFFECT_TIMER_RETRY_OFF: w->assignments[id].retry = false; break;
	case EFFECT_DETACH: w->assignments[id].detach = true; break;
	case EFFECT_TIMER_GUEST: w->assignments[id].timer = true; break;
	case EFFECT_TIMER_GUEST_OFF: w->assignments[id].timer = false; break;
	case EFFECT_TIMER_IDLE: w->dsms[id].timer = true; break;
	case EFFECT_TIMER_IDLE_OFF: w->dsms[id].timer = false; break;
	case EFFECT_TVM_QUIET: w->tvms[id].quiet = true; break;
	default: break;
	}
}
