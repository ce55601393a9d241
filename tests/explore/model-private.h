/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the model's parts share: the steps, the world's reactions, the crash. Not for others. */
#pragma once

#include "model.h"

#include "core/cleanup.h"
#include "core/engine-private.h"

DEFINE_CLEANUP(Model, model_free);

/* --- moves.c --- */

/* The engine takes it to be in its domain. */
bool model_seen_present(const Model *model, uint32_t assignment);
/* The verbs of the DSM and of its TDIs that are sent and not carried out. Returns how many. */
size_t model_unexecuted(const Model *model, uint32_t dsm, Move moves[MAX_MOVES]);

/* --- model.c --- */

/* Takes the event to the engine and carries out what it says. False when the engine died of it. */
bool model_step(Model *model, const EngineEvent *event);

/* The engine hears that the session is gone, and whoever wanted it kept has lost it. */
void model_tell_lost(Model *model, uint32_t dsm);

/* The engine's process dies and comes back with what had been written. */
void model_crash(Model *model);

/* What the provider had to tell is lost; it tells anew, and the verbs in flight are sent again. */
void model_cut_off(Model *model);

/* After that, or a restart: what the provider holds, told as the daemon tells it. */
void model_resync(Model *model);

/* --- world.c --- */

/* A verb reaches the TSM. */
void world_execute_dsm(Model *model, uint32_t dsm, Execution how);
void world_execute_tdi(Model *model, uint32_t assignment, Execution how);
void world_execute_clear(Model *model, uint32_t tdi, Execution how);
void world_execute_carried(Model *model, uint32_t assignment, Execution how);

/* Its guest opens a request, or there is none open any more. The TSM says so. */
void world_tdi_asks(Model *model, uint32_t tdi, EngineRequest what);

/* The TDI is in another state, and the TSM says so. */
void world_tdi_moves(Model *model, uint32_t tdi, TdispState state, bool accepted);
/* Its bind is ended, and not by the engine. */
void world_void(Model *model, uint32_t tdi);
void world_notice_lost(Model *model, uint32_t tdi);
void world_lose_dsm(Model *model, uint32_t dsm);

/* One effect. */
void world_carry_out(Model *model, const EngineEffect *effect);

/* --- snapshot.c --- */

/* The engine's arrays hold every id of the scenario. */
int model_make_room(Model *model);
