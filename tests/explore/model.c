/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One step of the engine in its world, and the death of its process.
 *
 * A step is an event and its effects in their order. Dying between two effects is told apart only
 * before something lasting: a record written or removed, a verb sent. Before the first of a step it
 * means that the event is lost, which it may be as well when nothing lasting comes of it. What was
 * sent lives on in the TSM; what was written is all that the next process knows. Verbs that the
 * restored engine waits for are sent again under their number: the TSM answers one that it has seen
 * already with the outcome of then.
 */
#include "model-private.h"
#include "properties.h"

#include <errno.h>
#include <string.h>

#define FIRST_OPERATION 100

int model_new(Model **ret, const Scenario *scenario)
{
	_cleanup_(model_freep) Model *model = calloc(1, sizeof(*model));
	int r;

	if (!model)
		return -ENOMEM;
	model->scenario = scenario;
	symmetry_of(scenario, &model->symmetry);
	model->dropped = EFFECT_N_TYPES;
	r = model_reset(model);
	if (r < 0)
		return r;
	*ret = steal_ptr(model);
	return 0;
}

Model *model_free(Model *model)
{
	if (!model)
		return NULL;
	engine_free(model->engine);
	free(model);
	return NULL;
}

int model_reset(Model *model)
{
	const EngineEffect *effects;
	size_t n;
	int r;

	model->engine = engine_free(model->engine);
	model->world = (World){ .trouble = model->scenario->trouble,
				.requests = model->scenario->requests,
				.hotplugs = model->scenario->hotplugs ?: UINT8_MAX,
				.changes = model->scenario->changes,
				.refusals = model->scenario->refusals,
				.clears = model->scenario->clears };
	model->broken = NULL;
	r = engine_new(&model->engine, FIRST_OPERATION);
	if (r >= 0)
		r = model_make_room(model);
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		model->world.tdis[i].holder = ENGINE_NONE;
	for (uint32_t i = 0; i < model->scenario->assignments; i++)
		model->world.assignments[i].arrivals = model->scenario->arrivals;
	for (uint32_t i = 0; r >= 0 && i < model->scenario->tvms; i++) {
		model->world.tvms[i].recorded = true;
		r = engine_step(model->engine, &(EngineEvent){ .type = EVENT_TVM_STARTED, .id = i },
				&effects, &n);
	}
	return r;
}

static bool lasts(EngineEffectType type)
{
	return type <= EFFECT_UNBIND;
}

/* One more place where it can. */
static bool dies_here(Model *model)
{
	if (++model->cuts != model->cut)
		return false;
	if (model->trace)
		fprintf(model->trace, "      ** dies before that\n");
	model_crash(model);
	return true;
}

bool model_step(Model *model, const EngineEvent *event)
{
	const EngineEffect *effects;
	uint8_t before = model->cuts;
	size_t n;
	int r = engine_step(model->engine, event, &effects, &n);

	if (r < 0) {
		broken(model, "the engine takes every event of this world", "%s of %u: %s",
		       engine_event_name(event->type), (unsigned)event->id, strerror(-r));
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		if (model->trace)
			fprintf(model->trace, "      -> %s %u\n",
				engine_effect_name(effects[i].type), (unsigned)effects[i].id);
		if (lasts(effects[i].type) && dies_here(model))
			return false;
		if (effects[i].type != model->dropped) {
			properties_of_effect(model, &effects[i]);
			world_carry_out(model, &effects[i]);
		}
	}
	if (model->cuts == before && dies_here(model))
		return false;
	/* The record of a TVM goes with the TVM, when the step is over. */
	for (uint32_t t = 0; t < model->scenario->tvms; t++) {
		if (!model->world.tvms[t].recorded || engine_tvm(model->engine, t))
			continue;
		if (dies_here(model))
			return false;
		model->world.tvms[t].recorded = false;
	}
	return true;
}

const Policy *model_policy(const Model *model, uint32_t id)
{
	return model->world.assignments[id].other ? &model->scenario->other
						  : &model->scenario->policy;
}

void model_tell_lost(Model *model, uint32_t dsm)
{
	if (engine_dsm(model->engine, dsm)->state == DSM_CONNECTED)
		model->world.dsms[dsm].pinned = false;
	model_step(model, &(EngineEvent){ .type = EVENT_DSM_LOST, .id = dsm });
}

static int restore_dsms(Model *model, Engine *engine)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < model->scenario->dsms; i++) {
		const WorldDsm *dsm = &model->world.dsms[i];
		bool needed = dsm->recorded;

		for (uint32_t a = 0; a < model->scenario->assignments; a++)
			needed |= model->world.assignments[a].recorded &&
				  model->scenario->dsm_of[model->scenario->tdi_of[a]] == i;
		if (needed)
			r = engine_restore_dsm(
				engine, i,
				&(EngineDsm){ .state = dsm->recorded ? (DsmState)dsm->record_state
								     : DSM_IDLE,
					      .operation = dsm->record_operation,
					      .pinned = dsm->record_pinned,
					      .doubtful = dsm->record_doubtful });
	}
	return r;
}

static int restore_assignment(Model *model, Engine *engine, uint32_t id)
{
	const WorldAssignment *a = &model->world.assignments[id];
	uint32_t tdi = model->scenario->tdi_of[id];

	return engine_restore_assignment(
		engine, id,
		&(EngineAssignment){ .state = (AssignmentState)a->record_state,
				     .fault = (EngineFault)a->record_fault,
				     .tvm = model->scenario->tvm_of[id],
				     .dsm = model->scenario->dsm_of[tdi],
				     .tdi = tdi,
				     .generation = a->record_generation,
				     .operation = a->record_operation,
				     .request = a->record_request,
				     .present = a->record_present,
				     .left = a->record_left,
				     .guest_ready = a->record_ready,
				     .policy = a->record_other ? model->scenario->other
							       : model->scenario->policy,
				     .rebinds = a->record_rebinds,
				     .unserved = a->record_unserved,
				     .retry_timer = a->record_retry });
}

/* The record has no word for the clear but its operation. */
static int restore_tdi(Engine *engine, uint32_t id, const WorldTdi *tdi)
{
	TdiState state = !tdi->record_quarantined     ? TDI_KNOWN
			 : tdi->record_operation != 0 ? TDI_CLEARING
						      : TDI_QUARANTINED;

	return engine_restore_tdi(engine, id,
				  &(EngineTdi){ .state = state,
						.operation = tdi->record_operation,
						.generation = tdi->record_generation });
}

static int restore(Model *model, Engine *engine)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < model->scenario->tvms; i++)
		if (model->world.tvms[i].recorded)
			r = engine_restore_tvm(engine, i);
	if (r >= 0)
		r = restore_dsms(model, engine);
	for (uint32_t i = 0; r >= 0 && i < model->scenario->tdis; i++)
		if (model->world.tdis[i].recorded)
			r = restore_tdi(engine, i, &model->world.tdis[i]);
	for (uint32_t i = 0; r >= 0 && i < model->scenario->assignments; i++)
		if (model->world.assignments[i].recorded)
			r = restore_assignment(model, engine, i);
	return r;
}

/* What the restored engine waits for is sent again; what it does not wait for is nobody's. */
static void send_again(Operation *operation, uint64_t number, Verb verb, uint64_t generation)
{
	if (operation->verb && operation->number == number) {
		operation->answered = false;
		return;
	}
	/* An answered one is over; any other stays, for the properties to find. */
	if (number != 0 || operation->answered)
		*operation = (Operation){};
	if (number != 0)
		*operation = (Operation){ .verb = (uint8_t)verb,
					  .number = (uint32_t)number,
					  .generation = (uint32_t)generation };
}

static void resume_dsm(Model *model, uint32_t id)
{
	const EngineDsm *e = engine_dsm(model->engine, id);
	WorldDsm *dsm = &model->world.dsms[id];

	dsm->pinned = dsm->record_pinned;
	dsm->timer = e && e->state == DSM_CONNECTED && e->users == 0 && !e->pinned;
	send_again(&dsm->operation, e ? e->operation : 0,
		   e && e->state == DSM_CONNECTING ? VERB_CONNECT : VERB_RECLAIM, 0);
}

static void resume_assignment(Model *model, uint32_t id)
{
	const EngineAssignment *e = engine_assignment(model->engine, id);
	WorldAssignment *a = &model->world.assignments[id];

	a->timer = e && (e->state == ASSIGNMENT_WAITING || e->state == ASSIGNMENT_BOUND ||
			 e->state == ASSIGNMENT_LOCKED);
	a->detach = e && e->state == ASSIGNMENT_DETACHING;
	a->retry = e && e->retry_timer;
	a->look = e && e->state == ASSIGNMENT_ATTACHED && !e->retry_timer;
	/* Of a bind that was recorded and not sent yet, what left before counts for nothing. */
	if (e && e->state == ASSIGNMENT_BINDING && a->operation.number != e->operation)
		a->left = false;
	if (e && (e->state == ASSIGNMENT_BOUND || e->state == ASSIGNMENT_LOCKED)) {
		send_again(&a->carried, e->operation,
			   e->state == ASSIGNMENT_BOUND ? VERB_LOCK : VERB_START, e->generation);
		if (a->carried.verb)
			a->carried.request = a->sent = (Request)e->request;
		send_again(&a->operation, 0, VERB_NONE, 0);
		return;
	}
	send_again(&a->carried, 0, VERB_NONE, 0);
	send_again(&a->operation, e ? e->operation : 0,
		   e && e->state == ASSIGNMENT_BINDING ? VERB_BIND : VERB_UNBIND,
		   e ? e->generation : 0);
}

static void resume_tdi(Model *model, uint32_t id)
{
	const EngineTdi *e = engine_tdi(model->engine, id);

	send_again(&model->world.tdis[id].operation, e ? e->operation : 0, VERB_CLEAR, 0);
}

void model_cut_off(Model *model)
{
	World *w = &model->world;

	for (uint32_t i = 0; i < model->scenario->tdis; i++) {
		w->tdis[i].n_notices = 0;
		memset(w->tdis[i].notices, 0, sizeof(w->tdis[i].notices));
	}
	for (uint32_t i = 0; i < model->scenario->dsms; i++)
		w->dsms[i].lost = w->dsms[i].operation.behind = false;
	w->resync = true;
}

void model_crash(Model *model)
{
	World *w = &model->world;
	Engine *engine = NULL;
	int r = engine_new(&engine, model->engine->next_operation);

	if (r >= 0)
		r = restore(model, engine);
	if (r < 0) {
		engine_free(engine);
		broken(model, READABLE, "%s", strerror(-r));
		return;
	}
	engine_free(model->engine);
	model->engine = engine;
	if (model_make_room(model) < 0) {
		broken(model, READABLE, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < model->scenario->tvms; i++)
		w->tvms[i].told_stopping = w->tvms[i].told_ended = w->tvms[i].quiet = false;
	model_cut_off(model);
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		resume_tdi(model, i);
	for (uint32_t i = 0; i < model->scenario->dsms; i++)
		resume_dsm(model, i);
	for (uint32_t i = 0; i < model->scenario->assignments; i++)
		resume_assignment(model, i);
}

/* A verb that is sent again is answered with what holds then. */
static void answer_anew(WorldDsm *dsm)
{
	bool connect = dsm->operation.verb == VERB_CONNECT;

	if (!dsm->operation.executed || dsm->connected)
		return;
	if (connect && dsm->operation.outcome == OUTCOME_DONE)
		dsm->operation.outcome = OUTCOME_REFUSED;
	if (!connect && dsm->operation.outcome == OUTCOME_REFUSED)
		dsm->operation.outcome = OUTCOME_DONE;
}

void model_resync(Model *model)
{
	World *w = &model->world;

	w->resync = false;
	for (uint32_t i = 0; i < model->scenario->dsms; i++)
		answer_anew(&w->dsms[i]);
	for (uint32_t i = 0; i < model->scenario->assignments; i++) {
		const EngineAssignment *e = engine_assignment(model->engine, i);
		const WorldTdi *tdi = e ? &w->tdis[e->tdi] : NULL;
		EngineEvent event = { .type = EVENT_TDI_CHANGED };

		if (!e || e->generation == 0)
			continue;
		event.id = e->tdi;
		event.generation = e->generation;
		if (tdi->holder != ENGINE_NONE && tdi->generation == e->generation) {
			event.tdi_state = (TdispState)tdi->state;
			event.accepted = tdi->accepted;
			event.asks = (EngineRequest)(tdi->request & 3);
			event.request = tdi->request;
		} else if (e->state == ASSIGNMENT_BINDING) {
			/* Its bind is sent again, and what has become of that is asked after it. */
			if (w->assignments[i].operation.executed)
				world_notice_lost(model, e->tdi);
			continue;
		} else {
			event.type = EVENT_BIND_LOST;
		}
		model_step(model, &event);
	}
	for (uint32_t i = 0; i < model->scenario->dsms; i++)
		if (engine_dsm(model->engine, i) && !w->dsms[i].connected)
			model_tell_lost(model, i);
}
