/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine's objects: their arrays, lists and counters; put back from records; compared by
 * tests.
 */
#include "core/engine-private.h"

#include "core/bytes.h"

#include <errno.h>
#include <string.h>

int engine_new(Engine **ret, uint64_t first_operation)
{
	Engine *engine;

	if (first_operation == 0)
		return -EINVAL;
	engine = calloc(1, sizeof(*engine));
	if (!engine)
		return -ENOMEM;
	engine->next_operation = first_operation;
	*ret = engine;
	return 0;
}

Engine *engine_free(Engine *engine)
{
	if (!engine)
		return NULL;
	free(engine->assignments);
	free(engine->tdis);
	free(engine->dsms);
	free(engine->tvms);
	free(engine->records);
	free(engine->effects);
	free(engine);
	return NULL;
}

const EngineAssignment *engine_assignment(const Engine *engine, uint32_t id)
{
	return id < engine->n_assignments && engine->assignments[id].used ? &engine->assignments[id]
									  : NULL;
}

const EngineTdi *engine_tdi(const Engine *engine, uint32_t id)
{
	return id < engine->n_tdis && engine->tdis[id].used ? &engine->tdis[id] : NULL;
}

const EngineDsm *engine_dsm(const Engine *engine, uint32_t id)
{
	return id < engine->n_dsms && engine->dsms[id].used ? &engine->dsms[id] : NULL;
}

const EngineTvm *engine_tvm(const Engine *engine, uint32_t id)
{
	return id < engine->n_tvms && engine->tvms[id].used ? &engine->tvms[id] : NULL;
}

/* Makes `id` a valid index of an array that grows by doubling and is filled with zeros. */
int engine_make_room(void **array, uint32_t *n, size_t size, uint32_t id)
{
	uint32_t wanted = *n ? *n : 16;
	char *grown;

	if (id >= ENGINE_MAX_ID)
		return -EINVAL;
	if (id < *n)
		return 0;
	while (wanted <= id)
		wanted *= 2;
	grown = realloc(*array, wanted * size);
	if (!grown)
		return -ENOMEM;
	memset(grown + *n * size, 0, (wanted - *n) * size);
	*array = grown;
	*n = wanted;
	return 0;
}

bool assignment_state_needs_session(AssignmentState state)
{
	switch (state) {
	case ASSIGNMENT_CONNECTING:
	case ASSIGNMENT_WAITING:
	case ASSIGNMENT_BINDING:
	case ASSIGNMENT_BOUND:
	case ASSIGNMENT_LOCKED:
	case ASSIGNMENT_RUNNING:
	case ASSIGNMENT_UNBINDING:
	case ASSIGNMENT_QUARANTINED: return true;
	default: return false;
	}
}

bool engine_state_is_bound(AssignmentState state)
{
	switch (state) {
	case ASSIGNMENT_BINDING:
	case ASSIGNMENT_BOUND:
	case ASSIGNMENT_LOCKED:
	case ASSIGNMENT_RUNNING:
	case ASSIGNMENT_UNBINDING: return true;
	default: return false;
	}
}

bool engine_state_is_final(AssignmentState state)
{
	return state == ASSIGNMENT_RELEASED || state == ASSIGNMENT_FAILED;
}

void engine_link(Engine *engine, uint32_t id)
{
	EngineAssignment *a = &engine->assignments[id];
	EngineDsm *dsm = &engine->dsms[a->dsm];
	EngineTvm *tvm = &engine->tvms[a->tvm];

	a->prev_of_dsm = a->prev_of_tvm = ENGINE_NONE;
	a->next_of_dsm = dsm->first;
	a->next_of_tvm = tvm->first;
	if (dsm->first != ENGINE_NONE)
		engine->assignments[dsm->first].prev_of_dsm = id;
	if (tvm->first != ENGINE_NONE)
		engine->assignments[tvm->first].prev_of_tvm = id;
	dsm->first = tvm->first = id;
}

void engine_unlink(Engine *engine, uint32_t id)
{
	EngineAssignment *a = &engine->assignments[id], *all = engine->assignments;

	if (a->prev_of_dsm != ENGINE_NONE)
		all[a->prev_of_dsm].next_of_dsm = a->next_of_dsm;
	else
		engine->dsms[a->dsm].first = a->next_of_dsm;
	if (a->next_of_dsm != ENGINE_NONE)
		all[a->next_of_dsm].prev_of_dsm = a->prev_of_dsm;
	if (a->prev_of_tvm != ENGINE_NONE)
		all[a->prev_of_tvm].next_of_tvm = a->next_of_tvm;
	else
		engine->tvms[a->tvm].first = a->next_of_tvm;
	if (a->next_of_tvm != ENGINE_NONE)
		all[a->next_of_tvm].prev_of_tvm = a->prev_of_tvm;
}

void engine_count(Engine *engine, const EngineAssignment *a, AssignmentState state, int sign)
{
	if (assignment_state_needs_session(state))
		engine->dsms[a->dsm].users += (uint32_t)sign;
	if (engine_state_is_bound(state))
		engine->tvms[a->tvm].bound += (uint32_t)sign;
}

int engine_restore_tvm(Engine *engine, uint32_t id)
{
	int r = MAKE_ROOM(engine, tvms, id);

	if (r < 0)
		return r;
	if (engine->tvms[id].used)
		return -EINVAL;
	engine->tvms[id] = (EngineTvm){ .used = true, .first = ENGINE_NONE };
	return 0;
}

/* A pin or a doubt where none can be is dropped: the state, a quarantine above all, counts more. */
int engine_restore_dsm(Engine *engine, uint32_t id, const EngineDsm *record)
{
	bool pinned =
		record->pinned && record->state != DSM_IDLE && record->state != DSM_QUARANTINED;
	int r = MAKE_ROOM(engine, dsms, id);

	if (r < 0)
		return r;
	if (engine->dsms[id].used || record->state >= DSM_N_STATES)
		return -EINVAL;
	engine->dsms[id] =
		(EngineDsm){ .used = true,
			     .state = record->state,
			     .operation = record->operation,
			     .first = ENGINE_NONE,
			     .pinned = pinned,
			     .doubtful = record->doubtful && record->state == DSM_RECLAIMING,
			     .idle_timer = record->state == DSM_CONNECTED && !pinned };
	return 0;
}

int engine_restore_tdi(Engine *engine, uint32_t id, const EngineTdi *record)
{
	bool clearing = record->state == TDI_CLEARING && record->operation != 0;
	int r = MAKE_ROOM(engine, tdis, id);

	if (r < 0)
		return r;
	if (engine->tdis[id].used || record->state >= TDI_N_STATES)
		return -EINVAL;
	engine->tdis[id] = (EngineTdi){ .used = true,
					.state = clearing	 ? TDI_CLEARING
						 : record->state ? TDI_QUARANTINED
								 : TDI_KNOWN,
					.operation = clearing ? record->operation : 0,
					.owner = ENGINE_NONE,
					.generation = record->generation };
	return 0;
}

void engine_restore_generation(Engine *engine, uint32_t tdi, uint64_t generation)
{
	if (engine_tdi(engine, tdi) && engine->tdis[tdi].generation < generation)
		engine->tdis[tdi].generation = generation;
}

int engine_restore_assignment(Engine *engine, uint32_t id, const EngineAssignment *record)
{
	uint64_t operation = record->operation;
	EngineAssignment *a;
	EngineTdi *tdi;
	int r;

	if (record->state >= ASSIGNMENT_N_STATES || record->fault >= FAULT_N ||
	    !engine_tvm(engine, record->tvm) || !engine_dsm(engine, record->dsm) ||
	    !engine_tdi(engine, record->tdi) || engine_assignment(engine, id))
		return -EINVAL;
	tdi = &engine->tdis[record->tdi];
	if (!engine_state_is_final(record->state) && record->fault != FAULT_FOREIGN) {
		if (tdi->owner != ENGINE_NONE)
			return -EINVAL;
	}
	r = MAKE_ROOM(engine, assignments, id);
	if (r < 0)
		return r;
	if (!engine_state_is_final(record->state) && record->fault != FAULT_FOREIGN)
		tdi->owner = id;
	engine_restore_generation(engine, record->tdi, record->generation);
	/* Of two records that do not agree the one with the doubt counts. */
	if (record->state == ASSIGNMENT_QUARANTINED && tdi->state == TDI_KNOWN)
		tdi->state = TDI_QUARANTINED;
	/* Without its number a request cannot be carried. */
	if ((record->state == ASSIGNMENT_BOUND || record->state == ASSIGNMENT_LOCKED) &&
	    record->request == 0)
		operation = 0;
	a = &engine->assignments[id];
	*a = (EngineAssignment){ .used = true,
				 .state = record->state,
				 .fault = record->fault,
				 .tvm = record->tvm,
				 .dsm = record->dsm,
				 .tdi = record->tdi,
				 .generation = record->generation,
				 .operation = operation,
				 .request = record->request,
				 .present = record->present,
				 .left = record->left,
				 .guest_ready = record->guest_ready,
				 .policy = record->policy,
				 .rebinds = record->rebinds,
				 .unserved = record->unserved,
				 .retry_timer = (record->retry_timer && record->rebinds > 0 &&
						 record->state == ASSIGNMENT_ATTACHED) ||
						(record->rebinds > 0 &&
						 record->state == ASSIGNMENT_RUNNING),
				 .seen = TDISP_N_STATES };
	/* Its DSM's record comes last, so the verb that it has waited for is answered again. */
	if (a->state == ASSIGNMENT_WAITING && (engine->dsms[a->dsm].state == DSM_CONNECTING ||
					       engine->dsms[a->dsm].state == DSM_RECLAIMING))
		a->state = ASSIGNMENT_CONNECTING;
	engine_link(engine, id);
	engine_count(engine, a, a->state, +1);
	if (engine->dsms[a->dsm].users > 0)
		engine->dsms[a->dsm].idle_timer = false;
	return 0;
}

/*
 * Operations and generations grow for ever; what the next step depends on is only whether an
 * operation is in flight, and how far an assignment's generation lies behind its TDI's.
 */
size_t engine_serialize(const Engine *engine, uint8_t *buffer, size_t capacity)
{
	ByteWriter w = byte_writer(buffer, capacity);

	for (uint32_t i = 0; i < engine->n_tvms; i++) {
		const EngineTvm *tvm = &engine->tvms[i];

		if (!tvm->used)
			continue;
		bytes_put_u32(&w, i);
		bytes_put_u8(&w, (uint8_t)(tvm->stopping | tvm->ended << 1));
	}
	bytes_put_u32(&w, ENGINE_NONE);
	for (uint32_t i = 0; i < engine->n_dsms; i++) {
		const EngineDsm *dsm = &engine->dsms[i];

		if (!dsm->used)
			continue;
		bytes_put_u32(&w, i);
		bytes_put_u8(&w, (uint8_t)dsm->state);
		bytes_put_u8(&w, (uint8_t)((dsm->operation != 0) | dsm->idle_timer << 1 |
					   dsm->pinned << 2 | dsm->doubtful << 3));
	}
	bytes_put_u32(&w, ENGINE_NONE);
	for (uint32_t i = 0; i < engine->n_tdis; i++) {
		const EngineTdi *tdi = &engine->tdis[i];

		if (!tdi->used)
			continue;
		bytes_put_u32(&w, i);
		bytes_put_u8(&w, (uint8_t)tdi->state);
		bytes_put_u32(&w, tdi->owner);
	}
	bytes_put_u32(&w, ENGINE_NONE);
	for (uint32_t i = 0; i < engine->n_assignments; i++) {
		const EngineAssignment *a = &engine->assignments[i];

		if (!a->used)
			continue;
		bytes_put_u32(&w, i);
		bytes_put_u8(&w, (uint8_t)a->state);
		bytes_put_u8(&w, (uint8_t)a->fault);
		bytes_put_u8(&w, (uint8_t)a->tvm);
		bytes_put_u8(&w, (uint8_t)a->dsm);
		bytes_put_u8(&w, (uint8_t)a->tdi);
		bytes_put_u64(&w, a->generation ? engine->tdis[a->tdi].generation - a->generation
						: UINT64_MAX);
		bytes_put_u8(&w, (uint8_t)((a->operation != 0) | a->present << 1 | a->left << 2 |
					   a->guest_ready << 3 | a->retry_timer << 4 |
					   a->unserved << 5));
		bytes_put_u8(&w, (uint8_t)(a->policy.on_reject | a->policy.on_timeout << 2 |
					   a->policy.on_error << 4));
		bytes_put_u32(&w, a->policy.rebinds);
		bytes_put_u32(&w, a->rebinds);
		bytes_put_u8(&w, (uint8_t)(a->seen | a->seen_accepted << 7));
		bytes_put_u8(&w, (uint8_t)(a->asks | (a->asked == a->request) << 2 |
					   (a->request != 0) << 3));
	}
	return w.failed ? 0 : w.used;
}
