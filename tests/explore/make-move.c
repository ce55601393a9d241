/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One move is made: what it does to the world, and what the engine is told of it. */
#include "model-private.h"

#include "properties.h"
#include "trace.h"

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
		      (operation->outcome != OUTCOME_DONE || !operation->confirmed));
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

/* Of one that has had its effect before, or whose bind is over, the engine does not ask. */
static void answer_carried(Model *model, uint32_t id)
{
	Operation *operation = &model->world.assignments[id].carried;

	operation->answered = true;
	model_step(model, &(EngineEvent){ .type = EVENT_REQUEST_DONE,
					  .id = id,
					  .operation = operation->number,
					  .outcome = (OperationOutcome)operation->outcome });
	if (operation->answered)
		*operation = (Operation){};
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
					  .accepted = notice.accepted,
					  .asks = (EngineRequest)(notice.request & 3),
					  .request = notice.request });
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
		else if (model_seen_present(model, id))
			tell_policy(model, id);
		else
			appeared(model, id);
		break;
	case MOVE_EXECUTE_DSM: world_execute_dsm(model, id, (Execution)move.how); break;
	case MOVE_EXECUTE_TDI: world_execute_tdi(model, id, (Execution)move.how); break;
	case MOVE_EXECUTE_CARRIED: world_execute_carried(model, id, (Execution)move.how); break;
	case MOVE_EXECUTE_CLEAR: world_execute_clear(model, id, (Execution)move.how); break;
	case MOVE_ANSWER_CARRIED: answer_carried(model, id); break;
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
	case MOVE_ASK_LOCK: world_tdi_asks(model, id, REQUEST_LOCK); break;
	case MOVE_VALIDATE:
		if (model->scenario->host_carries)
			world_tdi_asks(model, id, REQUEST_START);
		else
			world_tdi_moves(model, id, TDISP_RUN, true);
		break;
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
	case MOVE_TAKE_BACK: world_tdi_asks(model, id, REQUEST_NONE); break;
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

		if (model->broken || model->world.dsms[i].lost ||
		    model_unexecuted(model, i, list) != 1)
			continue;
		if (model->trace)
			trace_move(model->trace, model, 0, list[0]);
		make(model, list[0]);
	}
}

/*
 * Nor does an answer that the engine does not wait for: what was carried has had its effect, and
 * the TSM has said so before it answered.
 */
static void drop_stale_answer(Model *model, uint32_t id)
{
	Operation *operation = &model->world.assignments[id].carried;
	const EngineAssignment *e = engine_assignment(model->engine, id);

	if (operation->executed && (!e || e->operation != operation->number))
		*operation = (Operation){};
}

static void settle(Model *model)
{
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		drop_stale_notices(model, i);
	for (uint32_t i = 0; i < model->scenario->assignments; i++)
		drop_stale_answer(model, i);
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
