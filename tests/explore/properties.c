/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "properties.h"

#include "core/cleanup.h"

#include <inttypes.h>
#include <stdarg.h>

#define ONE_TVM	    "a TDI has at most one TVM"
#define ACCEPTED    "running only after the acceptance of this bind"
#define CONNECTED   "bind only while connected"
#define ONE_CONNECT "one connect in flight, and none when connected"
#define NO_RECLAIM  "no reclaim under a bind or an unknown outcome"
#define QUARANTINE  "a quarantined TDI is never bound"
#define QUIET	    "TVM_QUIET once, and only when nothing of the TVM is bound"
#define NOT_LEAKED  "no bind is leaked"
#define RECORDED    "a verb is on record before it is sent"
#define FRESH	    "no bind has the generation of an earlier one"
#define ONE_VERB    "one verb in flight per object"
#define LEFT	    "a bind does not outlive the device's leaving"
#define GUEST_TIMER "the guest timer runs exactly while the guest is waited for"
#define RETRY_TIMER "the retry timer runs exactly while the engine waits for it"
#define BUDGET	    "no more binds than the policy allows"
#define IDLE_TIMER  "the idle timer runs exactly while connected without users or pin"
#define PINNED	    "a pinned DSM is not reclaimed"
#define PIN_RECORD  "a pin is on record, and forgotten with what it was for"
#define DSM_LEFT    "a quarantined DSM is left through a confirmed reclaim only"
#define TDI_LEFT    "a quarantined TDI is left through a confirmed unbind by request only"
#define OWNED	    "a TDI is nobody's when its assignment is over"
#define READY	    "bind only a present device whose guest is ready"
#define ADMITTED    "what admission refuses is not bound"
#define TRUE_REST   "at rest the engine and the TSM agree"
#define ASKED	    "no LOCK and no START without this bind's open guest request"
#define ONCE	    "a guest's request is carried once"
#define CARRIED	    "a guest's request is carried"

void broken(Model *model, const char *property, const char *detail, ...)
{
	va_list args;

	if (model->broken)
		return;
	model->broken = property;
	va_start(args, detail);
	vsnprintf(model->detail, sizeof(model->detail), detail, args);
	va_end(args);
}

static bool is_bound(AssignmentState state)
{
	return state >= ASSIGNMENT_BINDING && state <= ASSIGNMENT_UNBINDING;
}

static bool waits_for_guest(AssignmentState state)
{
	return state == ASSIGNMENT_WAITING || state == ASSIGNMENT_BOUND ||
	       state == ASSIGNMENT_LOCKED;
}

/* What it does counts from when it is sent until its answer has been taken. */
static bool in_flight(const Operation *operation)
{
	return operation->verb && !operation->answered;
}

static void before_connect(Model *model, const EngineEffect *effect)
{
	const WorldDsm *dsm = &model->world.dsms[effect->id];

	if (in_flight(&dsm->operation))
		broken(model, ONE_CONNECT, "dsm%" PRIu32 " has a verb in flight", effect->id);
	if (dsm->connected)
		broken(model, ONE_CONNECT, "dsm%" PRIu32 " is connected", effect->id);
	if (dsm->unknown)
		broken(model, ONE_CONNECT, "of dsm%" PRIu32 " an outcome is unknown", effect->id);
	if (!dsm->recorded || dsm->record_operation != effect->operation)
		broken(model, RECORDED, "device_connect of dsm%" PRIu32, effect->id);
}

static void before_reclaim(Model *model, const EngineEffect *effect)
{
	const WorldDsm *dsm = &model->world.dsms[effect->id];

	/* Of the DSM's own session an operator may find out in this way, nobody else. */
	if ((dsm->unknown && !model->world.asked) || (in_flight(&dsm->operation)))
		broken(model, NO_RECLAIM, "of dsm%" PRIu32 " an outcome is not known", effect->id);
	if (dsm->pinned)
		broken(model, PINNED, "dsm%" PRIu32, effect->id);
	for (uint32_t t = 0; t < model->scenario->tdis; t++)
		if (model->scenario->dsm_of[t] == effect->id &&
		    (model->world.tdis[t].holder != ENGINE_NONE || model->world.tdis[t].unknown))
			broken(model, NO_RECLAIM, "tdi%" PRIu32, t);
	for (uint32_t a = 0; a < model->scenario->assignments; a++)
		if (model->scenario->dsm_of[model->scenario->tdi_of[a]] == effect->id &&
		    in_flight(&model->world.assignments[a].operation))
			broken(model, NO_RECLAIM, "a%" PRIu32 " is being bound or unbound", a);
	if (!dsm->recorded || dsm->record_operation != effect->operation)
		broken(model, RECORDED, "device_reclaim of dsm%" PRIu32, effect->id);
}

static void before_bind(Model *model, const EngineEffect *effect)
{
	const Scenario *s = model->scenario;
	const WorldAssignment *a = &model->world.assignments[effect->id];
	const WorldTdi *tdi = &model->world.tdis[s->tdi_of[effect->id]];
	const WorldDsm *dsm = &model->world.dsms[s->dsm_of[s->tdi_of[effect->id]]];
	const EngineAssignment *e = engine_assignment(model->engine, effect->id);

	if (a->refused)
		broken(model, ADMITTED, "a%" PRIu32, effect->id);
	/* Until its notice comes a loss cannot be known; after a restart none has come yet. */
	if ((!dsm->connected && !dsm->lost && !model->world.resync) || in_flight(&dsm->operation))
		broken(model, CONNECTED, "a%" PRIu32, effect->id);
	if (tdi->unknown)
		broken(model, QUARANTINE, "a%" PRIu32, effect->id);
	if (tdi->holder != ENGINE_NONE)
		broken(model, ONE_TVM, "a%" PRIu32 ": the TSM holds a%" PRIu32, effect->id,
		       tdi->holder);
	for (uint32_t i = 0; i < s->assignments; i++)
		if (s->tdi_of[i] == s->tdi_of[effect->id] &&
		    model->world.assignments[i].operation.verb &&
		    !model->world.assignments[i].operation.answered)
			broken(model, ONE_TVM, "a%" PRIu32 ": a verb of a%" PRIu32 " is in flight",
			       effect->id, i);
	if (a->binds > s->policy.rebinds && a->binds > s->other.rebinds)
		broken(model, BUDGET, "a%" PRIu32, effect->id);
	if (!e || !e->present || !e->guest_ready)
		broken(model, READY, "a%" PRIu32, effect->id);
	if (!a->recorded || a->record_operation != effect->operation ||
	    a->record_generation != effect->generation || !tdi->recorded)
		broken(model, RECORDED, "tdi_bind of a%" PRIu32, effect->id);
	if (effect->generation <= tdi->generation)
		broken(model, FRESH, "a%" PRIu32 ": %" PRIu64, effect->id, effect->generation);
}

/* Until its notice comes the end of a request cannot be known. */
static void before_carried(Model *model, const EngineEffect *effect)
{
	const WorldAssignment *a = &model->world.assignments[effect->id];
	uint32_t t = model->scenario->tdi_of[effect->id];
	const WorldTdi *tdi = &model->world.tdis[t];
	bool on_its_way = tdi->n_notices > 0 || model->world.resync ||
			  model->world.dsms[model->scenario->dsm_of[t]].lost;
	Request request = (Request)effect->request;

	if (tdi->generation != effect->generation || request >> 2 <= tdi->first ||
	    request >> 2 > tdi->last ||
	    (request & 3) != (effect->type == EFFECT_LOCK ? REQUEST_LOCK : REQUEST_START))
		broken(model, ASKED, "a%" PRIu32 ": %s for request %u", effect->id,
		       engine_effect_name(effect->type), request);
	if (tdi->request != request && !on_its_way)
		broken(model, ASKED, "a%" PRIu32 ": request %u is not open any more", effect->id,
		       request);
	if (a->sent == request)
		broken(model, ONCE, "a%" PRIu32 ": request %u", effect->id, request);
	if (in_flight(&a->operation) || (in_flight(&a->carried) && !a->carried.executed))
		broken(model, ONE_VERB, "a%" PRIu32, effect->id);
	if (!a->recorded || a->record_operation != effect->operation ||
	    a->record_request != request)
		broken(model, RECORDED, "%s of a%" PRIu32, engine_effect_name(effect->type),
		       effect->id);
}

static void before_unbind(Model *model, const EngineEffect *effect)
{
	const WorldAssignment *a = &model->world.assignments[effect->id];

	if (in_flight(&a->operation))
		broken(model, ONE_VERB, "a%" PRIu32, effect->id);
	if (!a->recorded || a->record_operation != effect->operation)
		broken(model, RECORDED, "tdi_unbind of a%" PRIu32, effect->id);
}

/* By its assignment. */
static bool is_used(const Model *model, uint32_t tdi)
{
	uint32_t owner = engine_tdi(model->engine, tdi)->owner;

	return owner != ENGINE_NONE &&
	       assignment_state_needs_session(engine_assignment(model->engine, owner)->state);
}

static void before_clear(Model *model, const EngineEffect *effect)
{
	const WorldTdi *tdi = &model->world.tdis[effect->id];

	if ((!tdi->unknown && is_used(model, effect->id)) || !model->world.asked)
		broken(model, TDI_LEFT, "nobody has asked, or need ask, for tdi%" PRIu32,
		       effect->id);
	if (in_flight(&tdi->operation))
		broken(model, ONE_VERB, "tdi%" PRIu32, effect->id);
	for (uint32_t a = 0; a < model->scenario->assignments; a++)
		if (model->scenario->tdi_of[a] == effect->id &&
		    model->world.assignments[a].operation.verb &&
		    !model->world.assignments[a].operation.answered)
			broken(model, ONE_VERB, "a%" PRIu32 " of tdi%" PRIu32, a, effect->id);
	if (!tdi->recorded || tdi->record_operation != effect->operation)
		broken(model, RECORDED, "clear of tdi%" PRIu32, effect->id);
}

static PolicyAction action_of(const Policy *policy, EngineFault fault)
{
	switch (fault) {
	case FAULT_REJECTED: return policy->on_reject;
	case FAULT_NOT_READY:
	case FAULT_NO_VERDICT: return policy->on_timeout;
	case FAULT_UNBIND:
	case FAULT_UNACCOUNTED: return POLICY_DETACH;
	case FAULT_FOREIGN:
		return policy->on_error == POLICY_REBIND ? POLICY_HOLD : policy->on_error;
	default: return policy->on_error;
	}
}

bool policy_binds_again(const Policy *policy, EngineFault fault, uint32_t rebinds)
{
	return action_of(policy, fault) == POLICY_REBIND && rebinds <= policy->rebinds;
}

static void before_detach(Model *model, const EngineEffect *effect)
{
	const EngineAssignment *e = engine_assignment(model->engine, effect->id);

	if (!model_has_other_policy(model, effect->id) &&
	    (!e || action_of(model_policy(model, effect->id), e->fault) != POLICY_DETACH))
		broken(model, POLICY, "a%" PRIu32 " is taken out after %s", effect->id,
		       e ? engine_fault_name(e->fault) : "?");
}

static void before_changed(Model *model, const EngineEffect *effect)
{
	const EngineAssignment *e = engine_assignment(model->engine, effect->id);

	if (effect->state == ASSIGNMENT_HELD && e && !model_has_other_policy(model, effect->id) &&
	    !model->world.assignments[effect->id].detach_failed &&
	    action_of(model_policy(model, effect->id), e->fault) == POLICY_DETACH)
		broken(model, POLICY, "a%" PRIu32 " is held after %s", effect->id,
		       engine_fault_name(e->fault));
}

static void before_quiet(Model *model, const EngineEffect *effect)
{
	const Scenario *s = model->scenario;
	const WorldTvm *tvm = &model->world.tvms[effect->id];

	if (tvm->quiet)
		broken(model, QUIET, "a second time for tvm%" PRIu32, effect->id);
	if (!tvm->told_stopping && !tvm->told_ended)
		broken(model, QUIET, "tvm%" PRIu32 " is not stopping", effect->id);
	for (uint32_t a = 0; a < s->assignments; a++) {
		const WorldTdi *tdi = &model->world.tdis[s->tdi_of[a]];

		if (s->tvm_of[a] == effect->id &&
		    ((tdi->holder == a && !tdi->unknown) ||
		     in_flight(&model->world.assignments[a].operation)))
			broken(model, QUIET, "a%" PRIu32 " is bound", a);
	}
}

void properties_of_effect(Model *model, const EngineEffect *effect)
{
	switch (effect->type) {
	case EFFECT_CONNECT: before_connect(model, effect); break;
	case EFFECT_RECLAIM: before_reclaim(model, effect); break;
	case EFFECT_BIND: before_bind(model, effect); break;
	case EFFECT_LOCK:
	case EFFECT_START: before_carried(model, effect); break;
	case EFFECT_CLEAR: before_clear(model, effect); break;
	case EFFECT_DETACH: before_detach(model, effect); break;
	case EFFECT_CHANGED: before_changed(model, effect); break;
	case EFFECT_UNBIND: before_unbind(model, effect); break;
	case EFFECT_TVM_QUIET: before_quiet(model, effect); break;
	default: break;
	}
}

/* Of one that is bound and waits for its guest. */
static void properties_of_carried(Model *model, uint32_t id, const EngineAssignment *e)
{
	const WorldAssignment *a = &model->world.assignments[id];
	const WorldTdi *tdi = &model->world.tdis[e->tdi];

	if (e->operation != 0 && (!a->carried.verb || a->carried.number != e->operation))
		broken(model, ONE_VERB, "a%" PRIu32 "'s is waited for, and not in flight", id);
	if (e->operation == 0 && tdi->holder == id && tdi->generation == e->generation &&
	    tdi->request != 0 && tdi->n_notices == 0 && !model->world.resync &&
	    e->request != tdi->request)
		broken(model, CARRIED, "a%" PRIu32 ": request %u is not", id, tdi->request);
}

static void properties_of_assignment(Model *model, uint32_t id)
{
	const WorldAssignment *a = &model->world.assignments[id];
	const WorldTdi *tdi = &model->world.tdis[model->scenario->tdi_of[id]];
	const EngineAssignment *e = engine_assignment(model->engine, id);
	AssignmentState state = e ? e->state : ASSIGNMENT_RELEASED;
	bool holds = tdi->holder == id;

	/* What others have ended since was accepted all the same; the news is on its way. */
	if (state == ASSIGNMENT_RUNNING && (!tdi->accepted || tdi->generation != e->generation ||
					    (!holds && tdi->holder != ENGINE_NONE)))
		broken(model, ACCEPTED, "a%" PRIu32, id);
	/* While the engine takes it for present and it is not, the news is on its way. */
	if ((state == ASSIGNMENT_RUNNING || waits_for_guest(state)) && e->generation && holds &&
	    a->left && e->present == a->present)
		broken(model, LEFT, "a%" PRIu32 " is %s", id, assignment_state_name(state));
	if (holds && !tdi->unknown && !is_bound(state) && state != ASSIGNMENT_QUARANTINED)
		broken(model, NOT_LEAKED, "the TSM holds a%" PRIu32 ", which is %s", id,
		       e ? assignment_state_name(state) : "forgotten");
	if (a->timer != waits_for_guest(state))
		broken(model, GUEST_TIMER, "a%" PRIu32 " is %s, its timer %s", id,
		       assignment_state_name(state), a->timer ? "runs" : "does not run");
	if (state == ASSIGNMENT_BOUND || state == ASSIGNMENT_LOCKED)
		properties_of_carried(model, id, e);
	if (a->retry != (e && e->retry_timer))
		broken(model, RETRY_TIMER, "a%" PRIu32 " is %s", id, assignment_state_name(state));
	if (a->operation.verb && (!e || e->operation != a->operation.number))
		broken(model, ONE_VERB, "the engine does not wait for a%" PRIu32 "'s", id);
}

static void properties_of_tdi(Model *model, uint32_t id)
{
	const WorldTdi *tdi = &model->world.tdis[id];
	const EngineTdi *e = engine_tdi(model->engine, id);
	const EngineAssignment *owner =
		e && e->owner != ENGINE_NONE ? engine_assignment(model->engine, e->owner) : NULL;

	if (tdi->unknown && (!e || e->state == TDI_KNOWN))
		broken(model, TDI_LEFT, "tdi%" PRIu32 " is taken for known", id);
	if (owner && (owner->state == ASSIGNMENT_RELEASED || owner->state == ASSIGNMENT_FAILED))
		broken(model, OWNED, "tdi%" PRIu32 " is a%" PRIu32 "'s", id, e->owner);
	if (tdi->operation.verb && (!e || e->operation != tdi->operation.number))
		broken(model, ONE_VERB, "the engine does not wait for tdi%" PRIu32 "'s", id);
}

static void properties_of_dsm(Model *model, uint32_t id)
{
	const WorldDsm *dsm = &model->world.dsms[id];
	const EngineDsm *e = engine_dsm(model->engine, id);
	bool idle = e && e->state == DSM_CONNECTED && e->users == 0 && !dsm->pinned;
	uint32_t users = 0;

	if (dsm->timer != idle)
		broken(model, IDLE_TIMER, "dsm%" PRIu32 " has %s", id,
		       idle ? "no user and no timer" : "a timer");
	if (dsm->operation.verb && (!e || e->operation != dsm->operation.number))
		broken(model, ONE_VERB, "the engine does not wait for dsm%" PRIu32 "'s", id);
	if (dsm->pinned != (e && e->pinned) || dsm->pinned != dsm->record_pinned)
		broken(model, PIN_RECORD, "dsm%" PRIu32, id);
	if (dsm->unknown && (!e || (e->state != DSM_QUARANTINED && e->state != DSM_RECLAIMING)))
		broken(model, DSM_LEFT, "dsm%" PRIu32 " is %s", id,
		       e ? dsm_state_name(e->state) : "forgotten");
	for (uint32_t a = 0; a < model->scenario->assignments; a++) {
		const EngineAssignment *user = engine_assignment(model->engine, a);

		users += user && user->dsm == id &&
			 (is_bound(user->state) || user->state == ASSIGNMENT_CONNECTING ||
			  user->state == ASSIGNMENT_WAITING ||
			  user->state == ASSIGNMENT_QUARANTINED);
	}
	if (e && e->users != users)
		broken(model, IDLE_TIMER, "dsm%" PRIu32 " has %" PRIu32 " users, counted %" PRIu32,
		       id, users, e->users);
}

void properties_of_state(Model *model)
{
	for (uint32_t a = 0; a < model->scenario->assignments; a++)
		properties_of_assignment(model, a);
	for (uint32_t t = 0; t < model->scenario->tdis; t++)
		properties_of_tdi(model, t);
	for (uint32_t d = 0; d < model->scenario->dsms; d++)
		properties_of_dsm(model, d);
}

void properties_of_rest(Model *model)
{
	const World *w = &model->world;

	for (uint32_t i = 0; i < model->scenario->assignments; i++) {
		const EngineAssignment *a = engine_assignment(model->engine, i);

		if (!a || a->state == ASSIGNMENT_RELEASED || a->state == ASSIGNMENT_FAILED ||
		    a->state == ASSIGNMENT_HELD || a->state == ASSIGNMENT_QUARANTINED)
			continue;
		if (a->state != ASSIGNMENT_RUNNING)
			broken(model, RESTS, "a%" PRIu32 " stays %s", i,
			       assignment_state_name(a->state));
		else if (w->tdis[a->tdi].state != TDISP_RUN)
			broken(model, TRUE_REST, "a%" PRIu32 " is running, its TDI is in %s", i,
			       tdisp_state_name(w->tdis[a->tdi].state));
	}
	for (uint32_t t = 0; t < model->scenario->tdis; t++) {
		const EngineTdi *tdi = engine_tdi(model->engine, t);
		const EngineAssignment *a = tdi && tdi->owner != ENGINE_NONE
						    ? engine_assignment(model->engine, tdi->owner)
						    : NULL;

		if (tdi && (tdi->state == TDI_CLEARING || tdi->operation != 0))
			broken(model, RESTS, "tdi%" PRIu32 " stays %s and waits", t,
			       tdi_state_name(tdi->state));
		if (a && a->state == ASSIGNMENT_QUARANTINED && tdi->state == TDI_KNOWN)
			broken(model, RESTS, "a%" PRIu32 " stays quarantined, its TDI is not",
			       tdi->owner);
	}
	for (uint32_t d = 0; d < model->scenario->dsms; d++) {
		const EngineDsm *dsm = engine_dsm(model->engine, d);

		if (!dsm || dsm->state == DSM_QUARANTINED)
			continue;
		if (dsm->state == DSM_CONNECTED && dsm->users == 0 && !w->dsms[d].pinned)
			broken(model, RESTS, "dsm%" PRIu32 " stays connected for nobody", d);
		if (dsm->state != DSM_IDLE && dsm->state != DSM_CONNECTED)
			broken(model, RESTS, "dsm%" PRIu32 " stays %s", d,
			       dsm_state_name(dsm->state));
		else if (w->dsms[d].connected != (dsm->state == DSM_CONNECTED))
			broken(model, TRUE_REST, "dsm%" PRIu32 " is %s, really it is %sconnected",
			       d, dsm_state_name(dsm->state), w->dsms[d].connected ? "" : "not ");
	}
	for (uint32_t t = 0; t < model->scenario->tvms; t++)
		if (engine_tvm(model->engine, t) && w->tvms[t].told_stopping && !w->tvms[t].quiet &&
		    !w->tvms[t].told_ended)
			broken(model, RESTS, "tvm%" PRIu32 " stops and never gets quiet", t);
}

static void stale(Model *model, const EngineEvent *event)
{
	const EngineEffect *effects;
	size_t n;

	if (engine_step(model->engine, event, &effects, &n) >= 0 && n > 0)
		broken(model, STALE, "%s of %" PRIu32 ": %s", engine_event_name(event->type),
		       event->id, engine_effect_name(effects[0].type));
}

/* Of the bind before, of one that is over or as good as over, of one that has not begun yet. */
static void stale_notices(Model *model, uint32_t id)
{
	const EngineTdi *tdi = engine_tdi(model->engine, id);
	const EngineAssignment *owner =
		tdi->owner != ENGINE_NONE ? engine_assignment(model->engine, tdi->owner) : NULL;
	uint64_t live = owner && is_bound(owner->state) && owner->state != ASSIGNMENT_UNBINDING
				? owner->generation
				: 0;

	for (int behind = -1; behind <= 1; behind++) {
		EngineEvent event = { .type = EVENT_TDI_CHANGED,
				      .id = id,
				      .generation = tdi->generation - (uint64_t)behind };

		if (event.generation == 0 || event.generation > tdi->generation + 1 ||
		    event.generation == live)
			continue;
		for (int state = TDISP_CONFIG_UNLOCKED; state <= TDISP_ERROR; state++) {
			event.tdi_state = (TdispState)state;
			event.accepted = state == TDISP_RUN;
			stale(model, &event);
		}
		event.accepted = false;
		event.tdi_state = TDISP_RUN;
		stale(model, &event);
		event.tdi_state = TDISP_CONFIG_LOCKED;
		event.asks = REQUEST_START;
		event.request = 1;
		stale(model, &event);
		event.type = EVENT_BIND_LOST;
		stale(model, &event);
	}
}

/* Numbers start at 100 (model.c): 1 was in flight long ago. */
void properties_of_stale_events(Model *model)
{
	static const EngineEventType answers[] = { EVENT_BIND_DONE, EVENT_UNBIND_DONE,
						   EVENT_REQUEST_DONE },
				     dsm_answers[] = { EVENT_CONNECT_DONE, EVENT_RECLAIM_DONE };

	for (uint32_t i = 0; i < model->scenario->assignments; i++) {
		const EngineAssignment *a = engine_assignment(model->engine, i);

		if (!a)
			continue;
		for (size_t k = 0; k < ELEMENTSOF(answers); k++)
			stale(model, &(EngineEvent){ .type = answers[k],
						     .id = i,
						     .operation = 1,
						     .tdi_state = TDISP_CONFIG_LOCKED,
						     .device_confirmed = true });
		if ((a->state == ASSIGNMENT_BOUND || a->state == ASSIGNMENT_LOCKED) &&
		    a->asks != REQUEST_NONE && (a->operation != 0 || a->asked == a->request))
			stale(model, &(EngineEvent){ .type = EVENT_TDI_CHANGED,
						     .id = a->tdi,
						     .generation = a->generation,
						     .tdi_state = a->state == ASSIGNMENT_BOUND
									  ? TDISP_CONFIG_UNLOCKED
									  : TDISP_CONFIG_LOCKED,
						     .asks = a->asks,
						     .request = a->asked });
		stale(model, &(EngineEvent){ .type = EVENT_GUEST_REJECTED,
					     .id = i,
					     .generation = a->generation + 1 });
		if (a->present)
			stale(model, &(EngineEvent){ .type = EVENT_APPEARED,
						     .id = i,
						     .tvm = a->tvm,
						     .dsm = a->dsm,
						     .tdi = a->tdi });
		else
			stale(model, &(EngineEvent){ .type = EVENT_GONE, .id = i });
		if (!a->present || a->guest_ready)
			stale(model, &(EngineEvent){ .type = EVENT_GUEST_READY, .id = i });
		if (a->state != ASSIGNMENT_DETACHING)
			stale(model, &(EngineEvent){ .type = EVENT_DETACH_FAILED, .id = i });
	}
	for (uint32_t t = 0; t < model->scenario->tdis; t++) {
		const EngineTdi *tdi = engine_tdi(model->engine, t);

		if (!tdi)
			continue;
		stale_notices(model, t);
		stale(model, &(EngineEvent){ .type = EVENT_CLEAR_DONE,
					     .id = t,
					     .operation = 1,
					     .device_confirmed = true });
		if (tdi->state == TDI_CLEARING || (tdi->state == TDI_KNOWN && is_used(model, t)))
			stale(model, &(EngineEvent){ .type = EVENT_CLEAR_REQUESTED, .id = t });
	}
	for (uint32_t t = 0; t < model->scenario->tvms; t++)
		if (engine_tvm(model->engine, t) && model->world.tvms[t].told_stopping)
			stale(model, &(EngineEvent){ .type = EVENT_TVM_STOPPING, .id = t });
	for (uint32_t d = 0; d < model->scenario->dsms; d++) {
		const EngineDsm *dsm = engine_dsm(model->engine, d);

		for (size_t k = 0; dsm && k < 2; k++)
			stale(model,
			      &(EngineEvent){ .type = dsm_answers[k], .id = d, .operation = 1 });
		if (dsm && (dsm->pinned || dsm->users > 0 || dsm->state != DSM_CONNECTED))
			stale(model, &(EngineEvent){ .type = EVENT_IDLE_TIMEOUT, .id = d });
		if (dsm && (dsm->pinned || dsm->state == DSM_QUARANTINED))
			stale(model, &(EngineEvent){ .type = EVENT_CONNECT_REQUESTED, .id = d });
		/* tdid asks for it when the TSM has confirmed the session: nobody waits then. */
		if (dsm && dsm->state != DSM_IDLE &&
		    (dsm->state != DSM_CONNECTED || model->world.dsms[d].connected))
			stale(model, &(EngineEvent){ .type = EVENT_CONNECT_AHEAD, .id = d });
		if (dsm &&
		    (dsm->state == DSM_IDLE || (dsm->state == DSM_QUARANTINED && dsm->users > 0)))
			stale(model, &(EngineEvent){ .type = EVENT_RECLAIM_REQUESTED, .id = d });
	}
}
