/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can happen next.
 *
 * Notices of one TDI come in their order, and so do the loss of a DSM's session and the answers to
 * that DSM's own verbs (no event says which session was lost, so nobody could tell them apart).
 * Everything else comes in any order, also a TDI's notices before the answer to its bind.
 */
#include "model-private.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Moves {
	Move *list;
	size_t n;
} Moves;

static void add(Moves *moves, MoveType type, uint32_t object, int how)
{
	if (moves->n >= MAX_MOVES) {
		fprintf(stderr, "explore: more than %d moves in one state: raise MAX_MOVES\n",
			MAX_MOVES);
		abort();
	}
	moves->list[moves->n++] =
		(Move){ .type = (uint8_t)type, .object = (uint8_t)object, .how = (uint8_t)how };
}

bool model_seen_present(const Model *model, uint32_t id)
{
	const EngineAssignment *e = engine_assignment(model->engine, id);

	return e && e->present;
}

bool model_has_other_policy(const Model *model, uint32_t id)
{
	return model_seen_present(model, id) &&
	       !policy_equal(&engine_assignment(model->engine, id)->policy,
			     model_policy(model, id));
}

/* The domain's XML is read and differs from what the engine knows. */
static bool can_reread(const Model *model, uint32_t id)
{
	const EngineTvm *tvm = engine_tvm(model->engine, model->scenario->tvm_of[id]);

	return tvm && !tvm->stopping &&
	       (model_seen_present(model, id) != model->world.assignments[id].present ||
		model_has_other_policy(model, id));
}

static bool pending(const Operation *operation, bool executed)
{
	return operation->verb && operation->executed == executed;
}

/* What the TSM does not hold is asked after once more when the bind under way is answered. */
static bool waits_for_bind(const Model *model, uint32_t id)
{
	const Notice *notice = &model->world.tdis[id].notices[0];
	const EngineTdi *tdi = engine_tdi(model->engine, id);
	const EngineAssignment *a = tdi && tdi->owner != ENGINE_NONE
					    ? engine_assignment(model->engine, tdi->owner)
					    : NULL;

	return notice->lost && a && a->state == ASSIGNMENT_BINDING &&
	       a->generation == notice->generation;
}

/* Verbs of one DSM are sent in their order, each when the one before it has been answered. */
static bool is_sent(const World *w, uint32_t assignment)
{
	return w->assignments[assignment].carried.verb == VERB_NONE;
}

static void completing_moves(const Model *model, Moves *moves)
{
	const Scenario *s = model->scenario;
	const World *w = &model->world;

	if (w->resync)
		add(moves, MOVE_RESYNC, 0, 0);
	for (uint32_t i = 0; i < s->tvms; i++)
		if (engine_tvm(model->engine, i) &&
		    (w->tvms[i].ended ? !w->tvms[i].told_ended
				      : w->tvms[i].stopping && !w->tvms[i].told_stopping))
			add(moves, MOVE_RETELL, i, 0);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (can_reread(model, i))
			add(moves, MOVE_REREAD, i, 0);
	/* Verbs are sent, and notices come, when the provider has said what it holds. */
	for (uint32_t i = 0; !w->resync && i < s->dsms; i++) {
		if (pending(&w->dsms[i].operation, false))
			add(moves, MOVE_EXECUTE_DSM, i, EXECUTE_WELL);
		if (pending(&w->dsms[i].operation, true) && !w->dsms[i].operation.behind)
			add(moves, MOVE_ANSWER_DSM, i, 0);
	}
	for (uint32_t i = 0; !w->resync && i < s->assignments; i++) {
		if (pending(&w->assignments[i].carried, false))
			add(moves, MOVE_EXECUTE_CARRIED, i, EXECUTE_WELL);
		if (pending(&w->assignments[i].carried, true))
			add(moves, MOVE_ANSWER_CARRIED, i, 0);
		if (is_sent(w, i) && pending(&w->assignments[i].operation, false))
			add(moves, MOVE_EXECUTE_TDI, i, EXECUTE_WELL);
		if (pending(&w->assignments[i].operation, true))
			add(moves, MOVE_ANSWER_TDI, i, 0);
	}
	for (uint32_t i = 0; !w->resync && i < s->tdis; i++) {
		if (pending(&w->tdis[i].operation, false))
			add(moves, MOVE_EXECUTE_CLEAR, i, EXECUTE_WELL);
		if (pending(&w->tdis[i].operation, true))
			add(moves, MOVE_ANSWER_CLEAR, i, 0);
	}
	for (uint32_t i = 0; i < s->tdis; i++)
		if (w->tdis[i].n_notices > 0 && !waits_for_bind(model, i))
			add(moves, MOVE_NOTICE_TDI, i, 0);
	for (uint32_t i = 0; i < s->dsms; i++)
		if (w->dsms[i].lost &&
		    (w->dsms[i].operation.behind || !pending(&w->dsms[i].operation, true)))
			add(moves, MOVE_NOTICE_DSM, i, 0);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (w->assignments[i].detach && w->assignments[i].present)
			add(moves, MOVE_LET_GO, i, 0);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (w->assignments[i].look && w->assignments[i].present &&
		    model_seen_present(model, i))
			add(moves, MOVE_LOOKED, i, 0);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (w->assignments[i].timer)
			add(moves, MOVE_GUEST_TIMER, i, 0);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (w->assignments[i].retry)
			add(moves, MOVE_RETRY_TIMER, i, 0);
	for (uint32_t i = 0; i < s->dsms; i++)
		if (w->dsms[i].timer)
			add(moves, MOVE_IDLE_TIMER, i, 0);
}

/* Whoever asks need not know it; what there is no bind of here may be held all the same. */
static bool may_ask_clear(const Model *model, const EngineTdi *e)
{
	TdiState state = e ? e->state : TDI_KNOWN;

	return state == TDI_QUARANTINED || (model->scenario->clears_any && state == TDI_KNOWN);
}

static void tdi_moves(const Model *model, Moves *moves, uint32_t id)
{
	const WorldTdi *tdi = &model->world.tdis[id];
	const EngineTdi *e = engine_tdi(model->engine, id);
	bool alive;

	if (may_ask_clear(model, e) && model->world.clears > 0 && !model->world.resync)
		add(moves, MOVE_ASK_CLEAR, id, 0);
	if (!model->world.resync && model->world.trouble > 0 && pending(&tdi->operation, false)) {
		add(moves, MOVE_EXECUTE_CLEAR, id, EXECUTE_REFUSE);
		add(moves, MOVE_EXECUTE_CLEAR, id, EXECUTE_UNKNOWN_NOT_DONE);
		add(moves, MOVE_EXECUTE_CLEAR, id, EXECUTE_UNKNOWN_DONE);
		add(moves, MOVE_EXECUTE_CLEAR, id, EXECUTE_UNCONFIRMED);
	}
	if (tdi->holder == ENGINE_NONE)
		return;
	alive = !model->world.tvms[model->scenario->tvm_of[tdi->holder]].stopping;
	if (alive && tdi->state == TDISP_CONFIG_UNLOCKED && model->scenario->host_carries &&
	    tdi->request == 0)
		add(moves, MOVE_ASK_LOCK, id, 0);
	if (alive && tdi->state == TDISP_CONFIG_LOCKED && tdi->request == 0)
		add(moves, MOVE_VALIDATE, id, 0);
	if (model->world.trouble == 0)
		return;
	if (tdi->request != 0)
		add(moves, MOVE_TAKE_BACK, id, 0);
	if (tdi->state == TDISP_CONFIG_LOCKED)
		add(moves, MOVE_RUN_UNACCEPTED, id, 0);
	if (tdi->state != TDISP_ERROR)
		add(moves, MOVE_ERROR, id, 0);
	if (tdi->state != TDISP_CONFIG_UNLOCKED)
		add(moves, MOVE_FALL, id, 0);
	add(moves, MOVE_VOID, id, 0);
}

static void assignment_moves(const Model *model, Moves *moves, uint32_t id)
{
	const WorldAssignment *a = &model->world.assignments[id];
	const EngineAssignment *e = engine_assignment(model->engine, id);
	const WorldTvm *tvm = &model->world.tvms[model->scenario->tvm_of[id]];

	if (!a->present && !model_seen_present(model, id) && a->arrivals > 0 &&
	    model->world.hotplugs > 0 && !tvm->stopping)
		for (int refused = 0; refused <= (model->world.refusals > 0); refused++)
			add(moves, MOVE_ARRIVE, id, refused);
	if (a->present && model_seen_present(model, id) && !a->detach && !tvm->stopping)
		add(moves, MOVE_LEAVE, id, 0);
	if (a->present && e && !e->guest_ready && !tvm->stopping)
		add(moves, MOVE_GUEST_READY, id, 0);
	if (a->present && model_seen_present(model, id) && model->world.changes > 0)
		add(moves, MOVE_POLICY, id, 0);
	if (model->world.trouble == 0)
		return;
	if (e && e->generation > 0 && e->state != ASSIGNMENT_RELEASED &&
	    e->state != ASSIGNMENT_FAILED)
		add(moves, MOVE_REJECT, id, 0);
	if (a->detach && a->present)
		add(moves, MOVE_DETACH_FAIL, id, 0);
	if (model->world.resync)
		return;
	if (pending(&a->carried, false)) {
		add(moves, MOVE_EXECUTE_CARRIED, id, EXECUTE_REFUSE);
		add(moves, MOVE_EXECUTE_CARRIED, id, EXECUTE_UNKNOWN_NOT_DONE);
		add(moves, MOVE_EXECUTE_CARRIED, id, EXECUTE_UNKNOWN_DONE);
	}
	if (!is_sent(&model->world, id) || !pending(&a->operation, false))
		return;
	add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_REFUSE);
	add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_UNKNOWN_NOT_DONE);
	add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_UNKNOWN_DONE);
	if (a->operation.verb == VERB_UNBIND)
		add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_UNCONFIRMED);
	else
		add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_TO_ERROR);
}

/* Not while the provider is away, and not what would change nothing: both are refused before. */
static void request_moves(const Model *model, Moves *moves, uint32_t id)
{
	const EngineDsm *e = engine_dsm(model->engine, id);
	DsmState state = e ? e->state : DSM_IDLE;

	if (model->world.requests == 0 || model->world.resync)
		return;
	if (state != DSM_QUARANTINED && !model->world.dsms[id].pinned)
		add(moves, MOVE_ASK_CONNECT, id, 0);
	if (state == DSM_IDLE)
		add(moves, MOVE_ASK_AHEAD, id, 0);
	if (state != DSM_IDLE)
		add(moves, MOVE_ASK_RECLAIM, id, 0);
}

size_t model_moves(const Model *model, Move list[MAX_MOVES])
{
	Moves moves = { .list = list };
	const World *w = &model->world;

	completing_moves(model, &moves);
	for (uint32_t i = 0; i < model->scenario->assignments; i++)
		assignment_moves(model, &moves, i);
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		tdi_moves(model, &moves, i);
	for (uint32_t i = 0; i < model->scenario->tvms; i++) {
		if (!w->tvms[i].stopping)
			add(&moves, MOVE_STOP, i, 0);
		if (!w->tvms[i].ended)
			add(&moves, MOVE_END, i, 0);
	}
	for (uint32_t i = 0; i < model->scenario->dsms; i++)
		request_moves(model, &moves, i);
	if (w->trouble == 0)
		return moves.n;
	for (uint32_t i = 0; i < model->scenario->dsms; i++) {
		if (w->dsms[i].connected && !w->dsms[i].lost)
			add(&moves, MOVE_LOSE, i, 0);
		if (w->resync || !pending(&w->dsms[i].operation, false))
			continue;
		add(&moves, MOVE_EXECUTE_DSM, i, EXECUTE_REFUSE);
		add(&moves, MOVE_EXECUTE_DSM, i, EXECUTE_UNKNOWN_NOT_DONE);
		add(&moves, MOVE_EXECUTE_DSM, i, EXECUTE_UNKNOWN_DONE);
	}
	if (!w->resync)
		add(&moves, MOVE_CUT_OFF, 0, 0);
	add(&moves, MOVE_CRASH, 0, 0);
	return moves.n;
}

size_t model_unexecuted(const Model *model, uint32_t dsm, Move list[MAX_MOVES])
{
	Moves moves = { .list = list };
	const Scenario *s = model->scenario;
	const World *w = &model->world;

	if (pending(&w->dsms[dsm].operation, false))
		add(&moves, MOVE_EXECUTE_DSM, dsm, EXECUTE_WELL);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (s->dsm_of[s->tdi_of[i]] != dsm)
			continue;
		else if (pending(&w->assignments[i].carried, false))
			add(&moves, MOVE_EXECUTE_CARRIED, i, EXECUTE_WELL);
		else if (is_sent(w, i) && pending(&w->assignments[i].operation, false))
			add(&moves, MOVE_EXECUTE_TDI, i, EXECUTE_WELL);
	for (uint32_t i = 0; i < s->tdis; i++)
		if (s->dsm_of[i] == dsm && pending(&w->tdis[i].operation, false))
			add(&moves, MOVE_EXECUTE_CLEAR, i, EXECUTE_WELL);
	return moves.n;
}
