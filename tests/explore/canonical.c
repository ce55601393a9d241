/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A model as bytes of which equal means: the same can happen from here on.
 *
 * Numbers of operations and generations, which only grow, become what is asked of them: is it the
 * engine's, how far behind the TDI's. Of the ways in which the scenario's objects can take each
 * other's places (symmetry.h) the one with the smallest bytes counts.
 */
#include "model-private.h"

#include "symmetry.h"

#include <assert.h>
#include <string.h>

/* No object takes more, nor does what there is only one of. */
#define OBJECT_BYTES_MAX 48

static_assert(OBJECT_BYTES_MAX * (MAX_TVMS + MAX_DSMS + MAX_TDIS + MAX_ASSIGNMENTS + 1) <=
		      MODEL_BYTES_MAX,
	      "the buffer holds every state");
static_assert(2 * MAX_NOTICES + 9 <= OBJECT_BYTES_MAX, "a TDI fits with all that is said of it");

/* Writes one state down, each object at the place that the arrangement gives it. */
typedef struct Place {
	const Model *model;
	const Arrangement *at;
	uint8_t *next;
	bool records; /* the process may yet die, so what is written matters */
} Place;

static void put(Place *p, unsigned int byte)
{
	*p->next++ = (uint8_t)byte;
}

static unsigned int assignment_place(Place *p, uint32_t id)
{
	return id == ENGINE_NONE ? MAX_ASSIGNMENTS : p->at->assignment_at[id];
}

/* A tdi_unbind either is confirmed or is not. */
static void put_operation(Place *p, const Operation *operation, uint64_t expected)
{
	bool unbinds = operation->verb == VERB_UNBIND || operation->verb == VERB_CLEAR;
	bool done = operation->outcome == OUTCOME_DONE;
	unsigned int outcome = operation->outcome;

	if (unbinds)
		outcome = done && operation->confirmed ? OUTCOME_DONE : OUTCOME_UNKNOWN;
	put(p, operation->verb | (operation->number == expected) << 3 | operation->executed << 4 |
		       operation->behind << 5);
	if (operation->executed)
		put(p, outcome | (operation->verb == VERB_BIND && done ? operation->tdi_state << 2
								       : 0));
}

/* How many the guest has opened since; which of them are of this bind follows from that. */
static void put_request(Place *p, const WorldTdi *tdi, uint64_t request)
{
	put(p, request ? (unsigned int)(tdi->last + 1 - (request >> 2)) << 2 | (request & 3) : 0);
}

static void put_tvm(Place *p, uint32_t id)
{
	const WorldTvm *tvm = &p->model->world.tvms[id];
	const EngineTvm *e = engine_tvm(p->model->engine, id);

	put(p, tvm->stopping | tvm->ended << 1 | tvm->recorded << 2 | (e != NULL) << 3);
	if (e)
		put(p, e->stopping | e->ended << 1 | tvm->told_stopping << 2 |
			       tvm->told_ended << 3 | tvm->quiet << 4);
}

/* One that the engine has not met is idle. */
static void put_dsm(Place *p, uint32_t id)
{
	const WorldDsm *dsm = &p->model->world.dsms[id];
	const EngineDsm *e = engine_dsm(p->model->engine, id);
	uint64_t operation = e ? e->operation : 0;

	put(p, dsm->connected | dsm->unknown << 1 | dsm->lost << 2 | dsm->timer << 3 |
		       dsm->pinned << 4);
	put(p, e ? e->state | (operation != 0) << 3 | e->idle_timer << 4 | e->pinned << 5 |
			       e->doubtful << 6
		 : 0);
	put_operation(p, &dsm->operation, operation);
	if (p->records)
		put(p, dsm->record_state | dsm->record_pinned << 3 | dsm->record_doubtful << 4 |
			       dsm->recorded << 5 | (dsm->record_operation == operation) << 6);
}

/* Whether the bind that was made last is the one that the engine means, and accepted. */
static void put_tdi(Place *p, uint32_t id)
{
	const WorldTdi *tdi = &p->model->world.tdis[id];
	const EngineTdi *e = engine_tdi(p->model->engine, id);
	uint64_t last = e ? e->generation : 0, operation = e ? e->operation : 0;
	const EngineAssignment *owner =
		e && e->owner != ENGINE_NONE ? &p->model->engine->assignments[e->owner] : NULL;
	bool current = owner && owner->generation == tdi->generation &&
		       engine_state_is_bound(owner->state);

	put(p, tdi->state | tdi->unknown << 2 | current << 3 | (current && tdi->accepted) << 4 |
		       (last < tdi->generation) << 5);
	put(p, (e ? e->state | (operation != 0) << 2 : 0) |
		       assignment_place(p, e ? e->owner : ENGINE_NONE) << 4);
	put_operation(p, &tdi->operation, operation);
	put(p, assignment_place(p, tdi->holder) | tdi->n_notices << 4);
	for (uint8_t i = 0; i < tdi->n_notices; i++)
		put(p, tdi->notices[i].state | tdi->notices[i].accepted << 2 |
			       tdi->notices[i].lost << 3);
	for (uint8_t i = 0; p->model->scenario->host_carries && i < tdi->n_notices; i++)
		put_request(p, tdi, tdi->notices[i].request);
	if (p->model->scenario->host_carries)
		put_request(p, tdi, tdi->request);
	if (p->records)
		put(p, tdi->recorded | tdi->record_quarantined << 1 |
			       (tdi->record_operation != 0) << 2 |
			       (tdi->record_operation == operation) << 3 |
			       (!tdi->recorded || tdi->record_generation == last) << 4);
}

static bool is_final(AssignmentState state)
{
	return state == ASSIGNMENT_RELEASED || state == ASSIGNMENT_FAILED;
}

/*
 * In which order those of one DSM, or of one TVM, are told something decides what has been written
 * when the process dies in between, and nothing else.
 */
static void put_order(Place *p, const EngineAssignment *e)
{
	const EngineAssignment *all = p->model->engine->assignments;
	uint32_t of_dsm = e->next_of_dsm, of_tvm = e->next_of_tvm;

	while (of_dsm != ENGINE_NONE && is_final(all[of_dsm].state))
		of_dsm = all[of_dsm].next_of_dsm;
	while (of_tvm != ENGINE_NONE && is_final(all[of_tvm].state))
		of_tvm = all[of_tvm].next_of_tvm;
	put(p, assignment_place(p, of_dsm) | assignment_place(p, of_tvm) << 4);
}

/* The tdi_unbind that is under way can still end in quarantine. */
static bool may_fail(const Place *p, const Operation *unbind)
{
	return unbind->executed ? unbind->outcome != OUTCOME_DONE || !unbind->confirmed
				: p->model->world.trouble > 0;
}

/*
 * What is asked of in which state: whether it left, and what was seen, while it is being bound; its
 * fault, while it is in the domain, and if it is quarantined (of one that has left it decides
 * between released and failed, and from either it can only appear anew).
 */
static void put_engine_assignment(Place *p, const EngineAssignment *e, const Operation *operation)
{
	bool binding = e->state == ASSIGNMENT_BINDING;
	bool faulty = e->present || e->state == ASSIGNMENT_QUARANTINED || may_fail(p, operation);

	put(p, e->state | (faulty ? e->fault : FAULT_NONE) << 4);
	put(p, (e->operation != 0) | e->present << 1 | (binding && e->left) << 2 |
		       e->guest_ready << 3 | e->retry_timer << 4 |
		       (e->present && e->unserved) << 5 | (e->generation != 0) << 6);
	put(p, e->policy.on_reject | e->policy.on_timeout << 2 | e->policy.on_error << 4);
	put(p, e->policy.rebinds | e->rebinds << 4);
	if (binding)
		put(p, e->seen | e->seen_accepted << 7);
	if (p->records)
		put_order(p, e);
}

/* Where the host carries them: one that is on its way, or that the engine knows of. */
static void put_carried(Place *p, uint32_t id, const EngineAssignment *e, bool recorded)
{
	const WorldAssignment *a = &p->model->world.assignments[id];
	const WorldTdi *tdi = &p->model->world.tdis[p->model->scenario->tdi_of[id]];
	bool binding = e && e->state == ASSIGNMENT_BINDING;
	bool waits = e && (e->state == ASSIGNMENT_BOUND || e->state == ASSIGNMENT_LOCKED);

	put_operation(p, &a->carried, e ? e->operation : 0);
	if (a->carried.verb)
		put_request(p, tdi, a->carried.request);
	if (binding || waits)
		put_request(p, tdi, e->asked);
	if (waits)
		put_request(p, tdi, e->request);
	if (recorded &&
	    (a->record_state == ASSIGNMENT_BOUND || a->record_state == ASSIGNMENT_LOCKED))
		put_request(p, tdi, a->record_request);
}

static void put_record(Place *p, const WorldAssignment *a, const EngineAssignment *e)
{
	bool binding = a->record_state == ASSIGNMENT_BINDING;

	put(p, a->record_state | a->record_fault << 4);
	put(p, a->record_present | (binding && a->record_left) << 1 | a->record_ready << 2 |
		       a->record_retry << 3 | (a->record_operation != 0) << 4 |
		       (a->record_operation == (e ? e->operation : 0)) << 5 |
		       (a->record_generation == (e ? e->generation : 0)) << 6);
	put(p, a->record_rebinds | a->record_other << 6 |
		       (a->record_present && a->record_unserved) << 7);
}

static void put_assignment(Place *p, uint32_t id)
{
	const Scenario *s = p->model->scenario;
	const WorldAssignment *a = &p->model->world.assignments[id];
	const EngineAssignment *e = engine_assignment(p->model->engine, id);
	bool over = !e || is_final(e->state);
	bool forgotten = !a->recorded || is_final((AssignmentState)a->record_state);
	bool arrives = a->arrivals > 0 && p->model->world.hotplugs > 0 &&
		       !p->model->world.tvms[s->tvm_of[id]].stopping;
	/* Of one that neither is bound nor being bound nobody asks. */
	bool left = a->left && (a->operation.verb == VERB_BIND ||
				p->model->world.tdis[s->tdi_of[id]].holder == id);

	put(p, over | forgotten << 1 | arrives << 2 | a->present << 3 | left << 4 |
		       (a->present && a->refused) << 5 |
		       ((a->present || arrives) && a->other) << 6);
	if (arrives)
		put(p, a->arrivals);
	put_operation(p, &a->operation, e ? e->operation : 0);
	if (!over) {
		put(p, a->timer | a->detach << 1 | a->look << 2 | a->retry << 3);
		if (s->policy.rebinds > 0)
			put(p, a->binds);
		put_engine_assignment(p, e, &a->operation);
	}
	if (!forgotten && p->records)
		put_record(p, a, e);
	if (s->host_carries)
		put_carried(p, id, over ? NULL : e, !forgotten && p->records);
}

/*
 * Gives up, and returns 0, when it is not going to be smaller than `smallest`, if there is one. No
 * state's bytes are the beginning of another's.
 */
static size_t serialize(const Model *model, const Arrangement *at, const uint8_t *smallest,
			uint8_t bytes[MODEL_BYTES_MAX])
{
	const World *world = &model->world;
	Place p = { .model = model, .at = at, .next = bytes, .records = world->trouble > 0 };

	for (uint32_t i = 0; i < model->scenario->assignments; i++) {
		put_assignment(&p, at->assignment[i]);
		if (smallest && memcmp(bytes, smallest, (size_t)(p.next - bytes)) > 0)
			return 0;
	}
	for (uint32_t i = 0; i < model->scenario->tvms; i++)
		put_tvm(&p, at->tvm[i]);
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		put_tdi(&p, at->tdi[i]);
	for (uint32_t i = 0; i < model->scenario->dsms; i++)
		put_dsm(&p, at->dsm[i]);
	put(&p, world->hotplugs);
	put(&p, world->clears | world->changes << 2 | world->refusals << 4);
	put(&p, world->requests << 5 | world->trouble << 1 | world->resync);
	if (smallest && memcmp(bytes, smallest, (size_t)(p.next - bytes)) >= 0)
		return 0;
	return (size_t)(p.next - bytes);
}

size_t model_serialize(const Model *model, uint8_t bytes[MODEL_BYTES_MAX])
{
	size_t n = serialize(model, &model->symmetry.arrangements[0], NULL, bytes);

	for (size_t i = 1; i < model->symmetry.n; i++) {
		uint8_t other[MODEL_BYTES_MAX];
		size_t size = serialize(model, &model->symmetry.arrangements[i], bytes, other);

		if (size > 0) {
			memcpy(bytes, other, size);
			n = size;
		}
	}
	return n;
}
