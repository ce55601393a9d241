/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can happen next, and that it happens.
 *
 * Notices of one TDI come in their order, and so do the loss of a DSM's session and the answers to
 * that DSM's own verbs (no event says which session was lost, so nobody could tell them apart).
 * Everything else comes in any order, also a TDI's notices before the answer to its bind.
 */
#include "model-private.h"
#include "properties.h"
#include "trace.h"

typedef struct Moves {
	Move *list;
	size_t n;
} Moves;

static void add(Moves *moves, MoveType type, uint32_t object, int how)
{
	if (moves->n < MAX_MOVES)
		moves->list[moves->n++] = (Move){ .type = (uint8_t)type,
						  .object = (uint8_t)object,
						  .how = (uint8_t)how };
}

static bool seen_present(const Model *model, uint32_t id)
{
	const EngineAssignment *e = engine_assignment(model->engine, id);

	return e && e->present;
}

bool model_has_other_policy(const Model *model, uint32_t id)
{
	return seen_present(model, id) &&
	       !policy_equal(&engine_assignment(model->engine, id)->policy,
			     model_policy(model, id));
}

/* The domain's XML is read and differs from what the engine knows. */
static bool can_reread(const Model *model, uint32_t id)
{
	const EngineTvm *tvm = engine_tvm(model->engine, model->scenario->tvm_of[id]);

	return tvm && !tvm->stopping &&
	       (seen_present(model, id) != model->world.assignments[id].present ||
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
		if (pending(&w->assignments[i].operation, false))
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
		if (w->assignments[i].look && w->assignments[i].present && seen_present(model, i))
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

static void tdi_moves(const Model *model, Moves *moves, uint32_t id)
{
	const WorldTdi *tdi = &model->world.tdis[id];
	const EngineTdi *e = engine_tdi(model->engine, id);
	bool alive;

	if (e && e->state == TDI_QUARANTINED && model->world.clears > 0 && !model->world.resync)
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
	if (alive && tdi->state == TDISP_CONFIG_UNLOCKED && model->scenario->guest_locks)
		add(moves, MOVE_LOCK, id, 0);
	if (alive && tdi->state == TDISP_CONFIG_LOCKED)
		add(moves, MOVE_VALIDATE, id, 0);
	if (model->world.trouble == 0)
		return;
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

	if (!a->present && !seen_present(model, id) && a->arrivals > 0 &&
	    model->world.hotplugs > 0 && !tvm->stopping)
		for (int refused = 0; refused <= (model->world.refusals > 0); refused++)
			add(moves, MOVE_ARRIVE, id, refused);
	if (a->present && seen_present(model, id) && !a->detach && !tvm->stopping)
		add(moves, MOVE_LEAVE, id, 0);
	if (a->present && e && !e->guest_ready && !tvm->stopping)
		add(moves, MOVE_GUEST_READY, id, 0);
	if (a->present && seen_present(model, id) && model->world.changes > 0)
		add(moves, MOVE_POLICY, id, 0);
	if (model->world.trouble == 0)
		return;
	if (e && e->generation > 0 && e->state != ASSIGNMENT_RELEASED &&
	    e->state != ASSIGNMENT_FAILED)
		add(moves, MOVE_REJECT, id, 0);
	if (a->detach && a->present)
		add(moves, MOVE_DETACH_FAIL, id, 0);
	if (model->world.resync || !pending(&a->operation, false))
		return;
	add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_REFUSE);
	add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_UNKNOWN_NOT_DONE);
	add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_UNKNOWN_DONE);
	if (a->operation.verb == VERB_UNBIND)
		add(moves, MOVE_EXECUTE_TDI, id, EXECUTE_UNCONFIRMED);
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

static void appeared(Model *model, uint32_t id)
{
	uint32_t tdi = model->scenario->tdi_of[id];

	model->world.assignments[id].binds = 0;
	model_step(model, &(EngineEvent){ .type = EVENT_APPEARED,
					  .id = id,
					  .tvm = model->scenario->tvm_of[id],
					  .dsm = model->scenario->dsm_of[tdi],
					  .tdi = tdi,
					  .guest_ready = model->scenario->ready_at_once,
					  .unserved = model->world.assignments[id].refused,
					  .policy = *model_policy(model, id) });
}

static void simple(Model *model, EngineEventType type, uint32_t id)
{
	model_step(model, &(EngineEvent){ .type = type, .id = id });
}

static void gone(Model *model, uint32_t id)
{
	WorldAssignment *a = &model->world.assignments[id];

	a->present = a->detach = a->look = false;
	a->left = true;
	simple(model, EVENT_GONE, id);
}

/* Of an unknown outcome the engine knows when its answer has been taken, not when it was sent. */
static void answer(Model *model, Operation *operation, bool *unknown, EngineEventType type,
		   uint32_t id)
{
	bool tells = operation->outcome == OUTCOME_UNKNOWN ||
		     (operation->verb == VERB_UNBIND &&
		      (operation->outcome != OUTCOME_DONE || !operation->confirmed)) ||
		     (operation->verb == VERB_BIND && operation->tdi_state == TDISP_ERROR);
	bool before = *unknown;

	*unknown |= tells;
	operation->answered = true;
	model_step(model, &(EngineEvent){ .type = type,
					  .id = id,
					  .operation = operation->number,
					  .outcome = (OperationOutcome)operation->outcome,
					  .tdi_state = (TdispState)operation->tdi_state,
					  .device_confirmed = operation->confirmed });
	if (operation->answered)
		*operation = (Operation){};
	else if (operation->executed)
		*unknown = before; /* it died before it knew, and will be told again */
}

/*
 * Of a pin that cannot be kept nothing is left. A quarantine ends with the TSM's word that there is
 * no session, which the engine has to take before it goes on.
 */
static void answer_dsm(Model *model, uint32_t id)
{
	WorldDsm *dsm = &model->world.dsms[id];
	OperationOutcome outcome = (OperationOutcome)dsm->operation.outcome;
	bool before = dsm->unknown, connect = dsm->operation.verb == VERB_CONNECT;
	uint32_t number = dsm->operation.number;

	if (outcome == OUTCOME_UNKNOWN || (outcome == OUTCOME_REFUSED && (connect || before)))
		dsm->pinned = false;
	if (outcome == OUTCOME_DONE && !connect)
		dsm->unknown = false;
	answer(model, &dsm->operation, &dsm->unknown,
	       connect ? EVENT_CONNECT_DONE : EVENT_RECLAIM_DONE, id);
	if (dsm->operation.number == number)
		dsm->unknown |= before; /* it died before it knew */
}

/*
 * The quarantine ends when the engine has taken the TSM's word for it. One that dies within that
 * step is told again; if it had let the assignment go, it had taken it.
 */
static void answer_clear(Model *model, uint32_t id)
{
	WorldTdi *tdi = &model->world.tdis[id];
	bool before = tdi->unknown;
	const EngineTdi *e;

	if (tdi->operation.outcome == OUTCOME_DONE && tdi->operation.confirmed)
		tdi->unknown = false;
	tdi->operation.answered = true;
	model_step(model, &(EngineEvent){ .type = EVENT_CLEAR_DONE,
					  .id = id,
					  .operation = tdi->operation.number,
					  .outcome = (OperationOutcome)tdi->operation.outcome,
					  .device_confirmed = tdi->operation.confirmed });
	if (tdi->operation.answered) {
		tdi->operation = (Operation){};
		return;
	}
	e = engine_tdi(model->engine, id);
	tdi->unknown = before && e->owner != ENGINE_NONE &&
		       engine_assignment(model->engine, e->owner)->state == ASSIGNMENT_QUARANTINED;
}

/* Of a DSM that is quarantined the next attempt is refused in the same step. */
static void retry_timer(Model *model, uint32_t id)
{
	WorldAssignment *a = &model->world.assignments[id];
	const EngineAssignment *e = engine_assignment(model->engine, id);
	EngineFault before = e->fault;
	bool again = policy_binds_again(model_policy(model, id), before, e->rebinds);

	a->retry = false;
	if (e->state == ASSIGNMENT_RUNNING)
		a->binds = 1;
	if (!model_step(model, &(EngineEvent){ .type = EVENT_RETRY_TIMEOUT, .id = id }) ||
	    before == FAULT_NONE || model_has_other_policy(model, id))
		return;
	if (again && before != FAULT_CONNECT && e->fault == before)
		broken(model, "what waits to be bound again is", "a%u stays attached",
		       (unsigned)id);
	if (!again && e->fault != before)
		broken(model, POLICY, "a%u is bound again, which it may not any more",
		       (unsigned)id);
}

static void tell_policy(Model *model, uint32_t id)
{
	model_step(model, &(EngineEvent){ .type = EVENT_POLICY_CHANGED,
					  .id = id,
					  .policy = *model_policy(model, id) });
}

/* It may come late: while its bind ends, or when what becomes of that is being decided. */
static void reject(Model *model, uint32_t id)
{
	const EngineAssignment *e = engine_assignment(model->engine, id);
	bool counts = e->fault == FAULT_UNLOCKED ||
		      (e->state >= ASSIGNMENT_BOUND && e->state <= ASSIGNMENT_RUNNING);

	if (model_step(model, &(EngineEvent){ .type = EVENT_GUEST_REJECTED,
					      .id = id,
					      .generation = e->generation }) &&
	    counts && e->fault != FAULT_REJECTED)
		broken(model, "a rejection is heard", "of a%u", (unsigned)id);
}

static void ask_connect(Model *model, uint32_t id)
{
	model->world.requests--;
	model->world.dsms[id].pinned = true;
	simple(model, EVENT_CONNECT_REQUESTED, id);
}

/* For an attach that may come to nothing: it leaves no pin. */
static void ask_ahead(Model *model, uint32_t id)
{
	model->world.requests--;
	simple(model, EVENT_CONNECT_AHEAD, id);
}

static void ask_reclaim(Model *model, uint32_t id)
{
	model->world.requests--;
	model->world.dsms[id].pinned = false;
	model->world.asked = true;
	simple(model, EVENT_RECLAIM_REQUESTED, id);
	model->world.asked = false;
}

static void ask_clear(Model *model, uint32_t id)
{
	model->world.clears--;
	model->world.asked = true;
	simple(model, EVENT_CLEAR_REQUESTED, id);
	model->world.asked = false;
}

static void notice_tdi(Model *model, uint32_t id)
{
	WorldTdi *tdi = &model->world.tdis[id];
	Notice notice = tdi->notices[0];

	tdi->n_notices--;
	for (uint8_t i = 0; i < tdi->n_notices; i++)
		tdi->notices[i] = tdi->notices[i + 1];
	tdi->notices[tdi->n_notices] = (Notice){};
	model_step(model, &(EngineEvent){ .type = notice.lost ? EVENT_BIND_LOST : EVENT_TDI_CHANGED,
					  .id = id,
					  .generation = notice.generation,
					  .tdi_state = (TdispState)notice.state,
					  .accepted = notice.accepted });
}

static void tvm_move(Model *model, uint32_t id, bool ended)
{
	WorldTvm *tvm = &model->world.tvms[id];

	tvm->stopping = true;
	tvm->ended |= ended;
	/* Its VMM is gone, and the devices with it. */
	for (uint32_t a = 0; a < model->scenario->assignments; a++)
		if (model->scenario->tvm_of[a] == id) {
			model->world.assignments[a].left |= model->world.assignments[a].present;
			model->world.assignments[a].present = false;
			model->world.assignments[a].detach = false;
			model->world.assignments[a].look = false;
		}
	if (!engine_tvm(model->engine, id))
		return;
	tvm->told_stopping = true;
	tvm->told_ended |= tvm->ended;
	simple(model, tvm->ended ? EVENT_TVM_ENDED : EVENT_TVM_STOPPING, id);
}

static void make(Model *model, Move move)
{
	World *w = &model->world;
	uint32_t id = move.object;

	switch ((MoveType)move.type) {
	case MOVE_RESYNC: model_resync(model); break;
	case MOVE_RETELL: tvm_move(model, id, w->tvms[id].ended); break;
	case MOVE_REREAD:
		if (!w->assignments[id].present)
			gone(model, id);
		else if (seen_present(model, id))
			tell_policy(model, id);
		else
			appeared(model, id);
		break;
	case MOVE_EXECUTE_DSM: world_execute_dsm(model, id, (Execution)move.how); break;
	case MOVE_EXECUTE_TDI: world_execute_tdi(model, id, (Execution)move.how); break;
	case MOVE_EXECUTE_CLEAR: world_execute_clear(model, id, (Execution)move.how); break;
	case MOVE_ANSWER_CLEAR: answer_clear(model, id); break;
	case MOVE_ANSWER_DSM: answer_dsm(model, id); break;
	case MOVE_ANSWER_TDI:
		answer(model, &w->assignments[id].operation,
		       &w->tdis[model->scenario->tdi_of[id]].unknown,
		       w->assignments[id].operation.verb == VERB_BIND ? EVENT_BIND_DONE
								      : EVENT_UNBIND_DONE,
		       id);
		break;
	case MOVE_NOTICE_TDI: notice_tdi(model, id); break;
	case MOVE_NOTICE_DSM:
		w->dsms[id].lost = w->dsms[id].operation.behind = false;
		model_tell_lost(model, id);
		break;
	case MOVE_LET_GO:
	case MOVE_LEAVE: gone(model, id); break;
	case MOVE_GUEST_TIMER:
		w->assignments[id].timer = false;
		simple(model, EVENT_GUEST_TIMEOUT, id);
		break;
	case MOVE_LOOKED:
		w->assignments[id].look = false;
		simple(model, EVENT_LOOKED, id);
		break;
	case MOVE_RETRY_TIMER: retry_timer(model, id); break;
	case MOVE_IDLE_TIMER:
		w->dsms[id].timer = false;
		simple(model, EVENT_IDLE_TIMEOUT, id);
		break;
	case MOVE_ARRIVE:
		w->assignments[id].arrivals--;
		w->hotplugs -= model->scenario->hotplugs > 0;
		w->refusals -= move.how;
		w->assignments[id].refused = move.how;
		w->assignments[id].present = true;
		appeared(model, id);
		break;
	case MOVE_GUEST_READY: simple(model, EVENT_GUEST_READY, id); break;
	case MOVE_POLICY:
		w->changes--;
		w->assignments[id].other ^= true;
		tell_policy(model, id);
		break;
	case MOVE_LOCK: world_tdi_moves(model, id, TDISP_CONFIG_LOCKED, false); break;
	case MOVE_VALIDATE: world_tdi_moves(model, id, TDISP_RUN, true); break;
	case MOVE_STOP: tvm_move(model, id, false); break;
	case MOVE_END: tvm_move(model, id, true); break;
	case MOVE_ASK_CONNECT: ask_connect(model, id); break;
	case MOVE_ASK_AHEAD: ask_ahead(model, id); break;
	case MOVE_ASK_RECLAIM: ask_reclaim(model, id); break;
	case MOVE_ASK_CLEAR: ask_clear(model, id); break;
	case MOVE_REJECT: reject(model, id); break;
	case MOVE_RUN_UNACCEPTED: world_tdi_moves(model, id, TDISP_RUN, false); break;
	case MOVE_ERROR: world_tdi_moves(model, id, TDISP_ERROR, false); break;
	case MOVE_FALL: world_tdi_moves(model, id, TDISP_CONFIG_UNLOCKED, false); break;
	case MOVE_VOID: world_void(model, id); break;
	case MOVE_LOSE: world_lose_dsm(model, id); break;
	case MOVE_DETACH_FAIL:
		w->assignments[id].detach = false;
		w->assignments[id].detach_failed = true;
		simple(model, EVENT_DETACH_FAILED, id);
		w->assignments[id].detach_failed = false;
		break;
	case MOVE_CUT_OFF: model_cut_off(model); break;
	case MOVE_CRASH: model_crash(model); break;
	case MOVE_N_COMPLETING: break;
	}
}

uint8_t move_trouble(Move move)
{
	bool wrong = move.type >= MOVE_REJECT ||
		     (move.type >= MOVE_EXECUTE_DSM && move.type <= MOVE_EXECUTE_CLEAR &&
		      move.how != EXECUTE_WELL);

	return (uint8_t)(wrong + (move.cut > 0));
}

/* While it hears what the provider holds it has done nothing yet. */
bool model_can_die(const Model *model, Move move)
{
	return move.type != MOVE_RESYNC && model->world.trouble >= move_trouble(move);
}

/*
 * Of a bind that is over or ending no notice changes anything: properties_of_stale_events() looks
 * whether that is so, in every state, and so they need not wait for their turn.
 */
static void drop_stale_notices(Model *model, uint32_t id)
{
	WorldTdi *tdi = &model->world.tdis[id];
	const EngineTdi *e = engine_tdi(model->engine, id);
	const EngineAssignment *owner =
		e && e->owner != ENGINE_NONE ? engine_assignment(model->engine, e->owner) : NULL;
	uint8_t n = 0;

	for (uint8_t i = 0; i < tdi->n_notices; i++)
		if (owner && owner->generation == tdi->notices[i].generation &&
		    owner->state >= ASSIGNMENT_BINDING && owner->state <= ASSIGNMENT_RUNNING)
			tdi->notices[n++] = tdi->notices[i];
	for (uint8_t i = n; i < tdi->n_notices; i++)
		tdi->notices[i] = (Notice){};
	tdi->n_notices = n;
}

/* A verb of the DSM, or of one of its TDIs, has been sent and not carried out. */
static size_t unexecuted(const Model *model, uint32_t dsm, Moves *moves)
{
	const Scenario *s = model->scenario;
	const World *w = &model->world;

	if (pending(&w->dsms[dsm].operation, false))
		add(moves, MOVE_EXECUTE_DSM, dsm, EXECUTE_WELL);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (s->dsm_of[s->tdi_of[i]] == dsm && pending(&w->assignments[i].operation, false))
			add(moves, MOVE_EXECUTE_TDI, i, EXECUTE_WELL);
	for (uint32_t i = 0; i < s->tdis; i++)
		if (s->dsm_of[i] == dsm && pending(&w->tdis[i].operation, false))
			add(moves, MOVE_EXECUTE_CLEAR, i, EXECUTE_WELL);
	return moves->n;
}

/*
 * When nothing can go wrong any more, what the TSM does with a verb is certain, and whenever it
 * does it the rest goes on in the same way: nothing else that can come before it reads or changes
 * what it changes (the session, the bind), but for another verb at the same DSM, the notice of its
 * loss, and those properties that count a verb in flight as much as what it does. So it need not be
 * tried in every order, and is done at once.
 */
static void carry_out_verbs(Model *model)
{
	if (model->world.trouble > 0 || model->world.resync)
		return;
	for (uint32_t i = 0; i < model->scenario->dsms; i++) {
		Move list[MAX_MOVES];
		Moves moves = { .list = list };

		if (model->broken || model->world.dsms[i].lost || unexecuted(model, i, &moves) != 1)
			continue;
		if (model->trace)
			trace_move(model->trace, model, 0, list[0]);
		make(model, list[0]);
	}
}

static void settle(Model *model)
{
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		drop_stale_notices(model, i);
	if (!model->broken)
		properties_of_state(model);
}

void model_move(Model *model, Move move)
{
	model->world.trouble -= move_trouble(move);
	model->cut = move.cut;
	model->cuts = 0;
	make(model, move);
	model->cut = 0;
	settle(model);
	carry_out_verbs(model);
	settle(model);
}
