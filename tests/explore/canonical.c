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

#include "core/bytes.h"

#include <string.h>

typedef struct Place {
	const Model *model;
	const Arrangement *at;
	ByteWriter *w;
} Place;

static void put(const Place *p, unsigned int byte)
{
	bytes_put_u8(p->w, (uint8_t)byte);
}

static unsigned int assignment_place(const Place *p, uint32_t id)
{
	return id == ENGINE_NONE ? MAX_ASSIGNMENTS : p->at->assignment_at[id];
}

static void put_operation(const Place *p, const Operation *operation, uint64_t expected)
{
	put(p, operation->verb);
	if (!operation->verb)
		return;
	put(p, (operation->number == expected) | operation->executed << 1 | operation->behind << 2 |
		       operation->confirmed << 3);
	put(p, operation->outcome | operation->tdi_state << 2);
}

static void put_tvm(const Place *p, uint32_t id)
{
	const WorldTvm *tvm = &p->model->world.tvms[id];
	const EngineTvm *e = engine_tvm(p->model->engine, id);

	put(p, tvm->stopping | tvm->ended << 1 | tvm->told_stopping << 2 | tvm->told_ended << 3 |
		       tvm->quiet << 4 | tvm->recorded << 5);
	put(p, e ? 1 | e->stopping << 1 | e->ended << 2 : 0);
}

static void put_dsm(const Place *p, uint32_t id)
{
	const WorldDsm *dsm = &p->model->world.dsms[id];
	const EngineDsm *e = engine_dsm(p->model->engine, id);
	uint64_t operation = e ? e->operation : 0;

	put(p, dsm->connected | dsm->unknown << 1 | dsm->lost << 2 | dsm->timer << 3 |
		       dsm->recorded << 4 | (dsm->record_operation == operation) << 5 |
		       dsm->pinned << 6);
	put(p, dsm->record_state | dsm->record_pinned << 3 | dsm->record_doubtful << 4);
	put_operation(p, &dsm->operation, operation);
	put(p, e ? 1 | e->state << 1 | (operation != 0) << 4 | e->idle_timer << 5 | e->pinned << 6 |
			       e->doubtful << 7
		 : 0);
}

static void put_tdi(const Place *p, uint32_t id)
{
	const WorldTdi *tdi = &p->model->world.tdis[id];
	const EngineTdi *e = engine_tdi(p->model->engine, id);
	uint64_t last = e ? e->generation : 0, operation = e ? e->operation : 0;

	put(p, tdi->state | tdi->accepted << 2 | tdi->unknown << 3 | tdi->recorded << 4 |
		       tdi->record_quarantined << 5 | (tdi->record_operation != 0) << 6 |
		       (tdi->record_operation == operation) << 7);
	put(p,
	    e ? 1 | e->state << 1 | (operation != 0) << 3 | assignment_place(p, e->owner) << 4 : 0);
	put_operation(p, &tdi->operation, operation);
	put(p, assignment_place(p, tdi->holder));
	put(p, tdi->holder == ENGINE_NONE ? 0 : (unsigned int)(last - tdi->generation));
	put(p, tdi->recorded ? (unsigned int)(last - tdi->record_generation) : 0);
	put(p, tdi->n_notices);
	for (uint8_t i = 0; i < tdi->n_notices; i++) {
		put(p, tdi->notices[i].state | tdi->notices[i].accepted << 2 |
			       tdi->notices[i].lost << 3);
		put(p, (unsigned int)(last - tdi->notices[i].generation));
	}
}

static void put_engine_assignment(const Place *p, const EngineAssignment *e)
{
	uint64_t last = p->model->engine->tdis[e->tdi].generation;

	put(p, e->state | e->fault << 4);
	put(p, (e->operation != 0) | e->present << 1 | e->left << 2 | e->guest_ready << 3 |
		       e->retry_timer << 4 | e->unserved << 5 | (e->generation != 0) << 6);
	put(p, e->generation ? (unsigned int)(last - e->generation) : 0);
	put(p, e->policy.on_reject | e->policy.on_timeout << 2 | e->policy.on_error << 4);
	put(p, e->policy.rebinds | e->rebinds << 4);
	put(p, e->seen | e->seen_accepted << 7);
}

static void put_assignment(const Place *p, uint32_t id)
{
	const WorldAssignment *a = &p->model->world.assignments[id];
	const EngineAssignment *e = engine_assignment(p->model->engine, id);
	uint64_t operation = e ? e->operation : 0;
	/* Of one that neither is bound nor being bound nobody asks. */
	bool left = a->left && (a->operation.verb == VERB_BIND ||
				p->model->world.tdis[p->model->scenario->tdi_of[id]].holder == id);

	put(p, a->present | left << 1 | a->timer << 2 | a->detach << 3 | a->recorded << 4 |
		       a->record_present << 5 | a->record_left << 6 | a->record_ready << 7);
	put(p, a->arrivals | a->look << 2 | a->retry << 3 | a->detach_failed << 4 |
		       a->record_retry << 5 | (e != NULL) << 6);
	put(p, a->binds | a->record_rebinds << 4);
	if (a->recorded) {
		put(p, a->record_state | a->record_fault << 4);
		put(p, (a->record_operation == operation) | (a->record_operation != 0) << 1 |
			       (a->record_generation == (e ? e->generation : 0)) << 2);
	}
	put_operation(p, &a->operation, operation);
	if (e)
		put_engine_assignment(p, e);
}

static size_t serialize(const Model *model, const Arrangement *at, uint8_t bytes[MODEL_BYTES_MAX])
{
	const World *world = &model->world;
	ByteWriter w = byte_writer(bytes, MODEL_BYTES_MAX);
	Place p = { .model = model, .at = at, .w = &w };

	put(&p, world->clears | world->hotplugs << 4);
	put(&p, world->requests << 5 | world->trouble << 1 | world->resync);
	for (uint32_t i = 0; i < model->scenario->tvms; i++)
		put_tvm(&p, at->tvm[i]);
	for (uint32_t i = 0; i < model->scenario->dsms; i++)
		put_dsm(&p, at->dsm[i]);
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		put_tdi(&p, at->tdi[i]);
	for (uint32_t i = 0; i < model->scenario->assignments; i++)
		put_assignment(&p, at->assignment[i]);
	return w.failed ? 0 : w.used;
}

size_t model_serialize(const Model *model, uint8_t bytes[MODEL_BYTES_MAX])
{
	size_t n = serialize(model, &model->symmetry.arrangements[0], bytes);

	for (size_t i = 1; n > 0 && i < model->symmetry.n; i++) {
		uint8_t other[MODEL_BYTES_MAX];
		size_t size = serialize(model, &model->symmetry.arrangements[i], other);

		if (size < n || (size == n && memcmp(other, bytes, n) < 0)) {
			memcpy(bytes, other, size);
			n = size;
		}
	}
	return n;
}
