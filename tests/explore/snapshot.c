/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A model as bytes, two ways: a snapshot to come back to (the engine's arrays as they are, so that
 * nothing of them can be forgotten), and a canonical form in which equal means equal for all that
 * can follow. In the latter, numbers of operations and generations, which only grow, become what is
 * asked of them: is it the engine's, how far behind the TDI's.
 */
#include "model-private.h"

#include "core/bytes.h"

#include <string.h>

int model_make_room(Model *model)
{
	Engine *engine = model->engine;
	int r;

	r = MAKE_ROOM(engine, tvms, MAX_TVMS - 1);
	if (r >= 0)
		r = MAKE_ROOM(engine, dsms, MAX_DSMS - 1);
	if (r >= 0)
		r = MAKE_ROOM(engine, tdis, MAX_TDIS - 1);
	if (r >= 0)
		r = MAKE_ROOM(engine, assignments, MAX_ASSIGNMENTS - 1);
	return r;
}

/* Calls COPY(array, count) for each of the engine's arrays. */
#define FOR_EACH_ARRAY(COPY, s)                                                                    \
	COPY(tvms, (s)->tvms);                                                                     \
	COPY(dsms, (s)->dsms);                                                                     \
	COPY(tdis, (s)->tdis);                                                                     \
	COPY(assignments, (s)->assignments)

size_t model_snapshot_size(const Model *model)
{
	const Engine *engine = model->engine;
	size_t size = sizeof(World) + sizeof(engine->next_operation);

#define ADD(array, n) size += (n) * sizeof(*engine->array)
	FOR_EACH_ARRAY(ADD, model->scenario);
#undef ADD
	return size;
}

void model_save(const Model *model, void *snapshot)
{
	const Engine *engine = model->engine;
	char *p = snapshot;

#define SAVE(array, n) p = mempcpy(p, engine->array, (n) * sizeof(*engine->array))
	p = mempcpy(p, &model->world, sizeof(World));
	p = mempcpy(p, &engine->next_operation, sizeof(engine->next_operation));
	FOR_EACH_ARRAY(SAVE, model->scenario);
#undef SAVE
}

void model_load(Model *model, const void *snapshot)
{
	Engine *engine = model->engine;
	const char *p = snapshot;

#define LOAD(array, n)                                                                             \
	memcpy(engine->array, p, (n) * sizeof(*engine->array));                                    \
	p += (n) * sizeof(*engine->array)
	memcpy(&model->world, p, sizeof(World));
	p += sizeof(World);
	memcpy(&engine->next_operation, p, sizeof(engine->next_operation));
	p += sizeof(engine->next_operation);
	FOR_EACH_ARRAY(LOAD, model->scenario);
#undef LOAD
	model->broken = NULL;
}

static void put_operation(ByteWriter *w, const Operation *operation, uint64_t expected)
{
	bytes_put_u8(w, operation->verb);
	if (!operation->verb)
		return;
	bytes_put_u8(w, (uint8_t)((operation->number == expected) | operation->executed << 1 |
				  operation->behind << 2 | operation->confirmed << 3));
	bytes_put_u8(w, operation->outcome);
	bytes_put_u8(w, operation->tdi_state);
}

static void put_tdi(ByteWriter *w, const WorldTdi *tdi, const EngineTdi *e)
{
	uint64_t last = e ? e->generation : 0, operation = e ? e->operation : 0;

	bytes_put_u8(w, (uint8_t)tdi->holder);
	bytes_put_u8(w, (uint8_t)(tdi->state | tdi->accepted << 2 | tdi->unknown << 3 |
				  tdi->recorded << 4 | tdi->record_quarantined << 5 |
				  (tdi->record_operation != 0) << 6 |
				  (tdi->record_operation == operation) << 7));
	put_operation(w, &tdi->operation, operation);
	bytes_put_u8(w, tdi->holder == ENGINE_NONE ? 0 : (uint8_t)(last - tdi->generation));
	bytes_put_u8(w, tdi->recorded ? (uint8_t)(last - tdi->record_generation) : 0);
	bytes_put_u8(w, tdi->n_notices);
	for (uint8_t i = 0; i < tdi->n_notices; i++)
		bytes_put_u16(w, (uint16_t)(tdi->notices[i].state | tdi->notices[i].accepted << 2 |
					    tdi->notices[i].lost << 3 |
					    (last - tdi->notices[i].generation) << 4));
}

static void put_assignment(ByteWriter *w, const Model *model, uint32_t id)
{
	const WorldAssignment *a = &model->world.assignments[id];
	const EngineAssignment *e = engine_assignment(model->engine, id);
	uint64_t operation = e ? e->operation : 0;
	/* Of one that neither is bound nor being bound nobody asks. */
	bool left = a->left && (a->operation.verb == VERB_BIND ||
				model->world.tdis[model->scenario->tdi_of[id]].holder == id);

	bytes_put_u8(w, (uint8_t)(a->present | left << 1 | a->timer << 2 | a->detach << 3 |
				  a->recorded << 4 | a->record_present << 5 | a->record_left << 6 |
				  a->record_ready << 7));
	bytes_put_u8(w, (uint8_t)(a->arrivals | a->look << 2 | a->retry << 3 |
				  a->detach_failed << 4 | a->record_retry << 5));
	bytes_put_u8(w, (uint8_t)(a->binds | a->record_rebinds << 4));
	if (a->recorded) {
		bytes_put_u8(w, a->record_state);
		bytes_put_u8(w, a->record_fault);
		bytes_put_u8(w, (uint8_t)((a->record_operation == operation) |
					  (a->record_operation != 0) << 1 |
					  (a->record_generation == (e ? e->generation : 0)) << 2));
	}
	put_operation(w, &a->operation, operation);
}

size_t model_serialize(const Model *model, uint8_t bytes[MODEL_BYTES_MAX])
{
	const World *world = &model->world;
	size_t n = engine_serialize(model->engine, bytes, MODEL_BYTES_MAX);
	ByteWriter w = byte_writer(bytes + n, MODEL_BYTES_MAX - n);

	bytes_put_u8(&w, world->clears);
	bytes_put_u8(&w, (uint8_t)(world->requests << 5 | world->trouble << 1 | world->resync));
	for (uint32_t i = 0; i < model->scenario->tvms; i++) {
		const WorldTvm *tvm = &world->tvms[i];

		bytes_put_u8(&w, (uint8_t)(tvm->stopping | tvm->ended << 1 |
					   tvm->told_stopping << 2 | tvm->told_ended << 3 |
					   tvm->quiet << 4 | tvm->recorded << 5));
	}
	for (uint32_t i = 0; i < model->scenario->dsms; i++) {
		const WorldDsm *dsm = &world->dsms[i];
		const EngineDsm *e = engine_dsm(model->engine, i);
		uint64_t operation = e ? e->operation : 0;

		bytes_put_u8(&w, (uint8_t)(dsm->connected | dsm->unknown << 1 | dsm->lost << 2 |
					   dsm->timer << 3 | dsm->recorded << 4 |
					   (dsm->record_operation == operation) << 5 |
					   dsm->pinned << 6));
		bytes_put_u8(&w, (uint8_t)(dsm->record_state | dsm->record_pinned << 3 |
					   dsm->record_doubtful << 4));
		put_operation(&w, &dsm->operation, operation);
	}
	for (uint32_t i = 0; i < model->scenario->tdis; i++)
		put_tdi(&w, &world->tdis[i], engine_tdi(model->engine, i));
	for (uint32_t i = 0; i < model->scenario->assignments; i++)
		put_assignment(&w, model, i);
	return n && !w.failed ? n + w.used : 0;
}
