/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What engine.c (events), engine-move.c (what an input does) and engine-state.c (the objects)
 * share. Not for others.
 */
#pragma once

#include "core/cleanup.h"
#include "core/engine.h"
#include "core/engine-table.h"

struct Engine {
	uint64_t next_operation;
	EngineAssignment *assignments;
	EngineTdi *tdis;
	EngineDsm *dsms;
	EngineTvm *tvms;
	uint32_t n_assignments, n_tdis, n_dsms, n_tvms;
	EngineEffect *records, *effects;       /* of this step */
	size_t n_records, n_effects, capacity; /* of either */
};

DEFINE_CLEANUP(Engine, engine_free);

/* Ids are dense; a caller that names a larger one has lost count. */
#define ENGINE_MAX_ID (1U << 20)

int engine_make_room(void **array, uint32_t *n, size_t size, uint32_t id);

#define MAKE_ROOM(engine, kind, id)                                                                \
	engine_make_room((void **)&(engine)->kind, &(engine)->n_##kind, sizeof(*(engine)->kind),   \
			 (id))

/* Puts an assignment into the lists of its DSM and its TVM, or takes it out. */
void engine_link(Engine *engine, uint32_t id);
void engine_unlink(Engine *engine, uint32_t id);

/* Counts (+1) or uncounts (-1) an assignment of `state` as its DSM's user and its TVM's. */
void engine_count(Engine *engine, const EngineAssignment *a, AssignmentState state, int sign);

/* The TSM holds something of an assignment in this state, or may soon. */
bool engine_state_is_bound(AssignmentState state);
/* Nothing more happens to it, unless it appears again. */
bool engine_state_is_final(AssignmentState state);

/* An effect of this step; room was made at its start. */
void engine_emit(Engine *engine, EngineEffect effect);
void engine_emit_plain(Engine *engine, EngineEffectType type, uint32_t id);

/* False when nothing of it changes. */
bool engine_assignment_input(Engine *engine, uint32_t id, EngineInput input);
void engine_dsm_input(Engine *engine, uint32_t id, DsmInput input);
void engine_tdi_input(Engine *engine, uint32_t id, TdiInput input);

/*
 * The assignment is in the domain and nothing has been asked of the TSM for it. The TDI's record
 * has been asked for; the assignment's follows with where it goes from here.
 */
void engine_assignment_begin(Engine *engine, uint32_t id);

/*
 * What becomes of a DSM's session, to all that wait for it, and that it is lost to those that have
 * it as well; of those that could be bound at once only the first hears that it is there, unless
 * another is being bound already.
 */
void engine_tell_users(Engine *engine, uint32_t dsm, EngineInput input);
/*
 * One of the DSM is about to leave BINDING: the next that waits for its turn is bound. Before that
 * one's own record, so that there is always a bind to be sent again, and answered, while others
 * wait for their turn.
 */
void engine_next_turn(Engine *engine, const EngineDsm *dsm);

/* The last assignment of a TVM that has ended takes the TVM with it. */
void engine_forget(Engine *engine, uint32_t id);
