/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A model as bytes to come back to: the engine's arrays as they are, so that nothing is forgotten.
 */
#include "model-private.h"

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
