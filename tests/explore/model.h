/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The world around the engine: what the TSM really holds, what is really in which TVM, what has
 * been written, what is on its way. A model is the shipped engine in such a world; a move is one
 * thing that can happen next, with everything that the engine does about it.
 *
 * Objects carry their engine's id. All numbers fit: a path is a few hundred moves long.
 */
#pragma once

#include "scenario.h"
#include "symmetry.h"

#include "core/engine.h"

#include <stdio.h>

#define MAX_NOTICES 16

typedef enum Verb {
	VERB_NONE,
	VERB_CONNECT,
	VERB_RECLAIM,
	VERB_BIND,
	VERB_UNBIND,
	VERB_CLEAR,
	VERB_LOCK,
	VERB_START,
} Verb;

/* A request of a guest: its number in that TDI << 2 | EngineRequest; 0: none. */
typedef uint8_t Request;

/* A verb between the effect that sends it and the event that answers it. */
typedef struct Operation {
	uint8_t verb;
	bool executed; /* the answer is on its way */
	bool answered; /* the engine is being told */
	bool behind;   /* its answer comes after a notice of the DSM's loss */
	uint8_t outcome;
	uint8_t tdi_state;
	bool confirmed;
	Request request; /* that it carries */
	uint32_t number;
	uint32_t generation;
} Operation;

typedef struct Notice {
	uint8_t state;
	bool accepted;
	bool lost; /* the bind is not there any more */
	Request request;
	uint16_t generation;
} Notice;

typedef struct WorldTvm {
	bool stopping, ended;		/* really */
	bool told_stopping, told_ended; /* and the engine knows */
	bool quiet;			/* TVM_QUIET was given */
	bool recorded;
} WorldTvm;

typedef struct WorldDsm {
	bool connected;
	bool unknown; /* the engine was told that an outcome is not known */
	bool pinned;  /* somebody has asked for it, and nothing has ended that since */
	bool lost;    /* notice on its way */
	bool timer;
	bool recorded, record_pinned, record_doubtful;
	uint8_t record_state;
	uint32_t record_operation;
	Operation operation;
} WorldDsm;

typedef struct WorldTdi {
	uint32_t holder; /* the assignment for whose TVM the TSM has it bound, or ENGINE_NONE */
	uint32_t generation;
	uint8_t state;
	bool accepted;	     /* by the TVM, since this bind */
	Request request;     /* that is open */
	uint8_t first, last; /* numbers: the last before this bind, the last of all */
	bool unknown;
	bool recorded, record_quarantined;
	uint32_t record_generation, record_operation;
	Operation operation; /* of a clear */
	uint8_t n_notices;
	Notice notices[MAX_NOTICES];
} WorldTdi;

typedef struct WorldAssignment {
	bool present;
	bool left; /* the domain since the bind that the engine has asked for last */
	bool timer, look, retry, detach;
	bool detach_failed; /* the engine is being told */
	bool other;	    /* policy: what the domain's metadata says */
	bool refused;	    /* by admission, when it arrived last */
	uint8_t arrivals;
	uint8_t binds; /* since it appeared, or ran steadily */
	bool recorded, record_present, record_left, record_ready, record_retry;
	bool record_other, record_unserved;
	uint8_t record_rebinds;
	uint8_t record_state, record_fault;
	Request record_request, sent; /* sent: the last LOCK or START was for */
	uint32_t record_generation, record_operation;
	Operation operation;
	Operation carried; /* LOCK or START; what is in `operation` is sent when it is answered */
} WorldAssignment;

typedef struct World {
	WorldTvm tvms[MAX_TVMS];
	WorldDsm dsms[MAX_DSMS];
	WorldTdi tdis[MAX_TDIS];
	WorldAssignment assignments[MAX_ASSIGNMENTS];
	uint8_t trouble, requests, clears, hotplugs, changes, refusals;
	bool resync; /* the provider has not yet said what it holds, after a restart of either */
	bool asked;  /* somebody's request to reclaim or to clear is being stepped */
} World;

typedef enum MoveType {
	/* What comes by itself if nobody does anything: the first of these is a state's completion.
	 */
	MOVE_RESYNC,
	MOVE_RETELL,	      /* object = TVM */
	MOVE_REREAD,	      /* object = assignment */
	MOVE_EXECUTE_DSM,     /* object = DSM, how */
	MOVE_EXECUTE_TDI,     /* object = assignment, how */
	MOVE_EXECUTE_CARRIED, /* object = assignment, how */
	MOVE_EXECUTE_CLEAR,   /* object = TDI, how */
	MOVE_ANSWER_DSM,      /* object = DSM */
	MOVE_ANSWER_TDI,      /* object = assignment */
	MOVE_ANSWER_CARRIED,  /* object = assignment */
	MOVE_ANSWER_CLEAR,    /* object = TDI */
	MOVE_NOTICE_TDI,      /* object = TDI */
	MOVE_NOTICE_DSM,      /* object = DSM */
	MOVE_LET_GO,	      /* object = assignment: the guest gives it back as asked */
	MOVE_LOOKED,	      /* object = assignment */
	MOVE_GUEST_TIMER,     /* object = assignment */
	MOVE_RETRY_TIMER,     /* object = assignment */
	MOVE_IDLE_TIMER,      /* object = DSM */
	MOVE_N_COMPLETING,    /* not a move */
	/* What people and guests do. */
	MOVE_ARRIVE,	  /* object = assignment, how: 1 = admission refuses it */
	MOVE_LEAVE,	  /* object = assignment */
	MOVE_GUEST_READY, /* object = assignment */
	MOVE_POLICY,	  /* object = assignment */
	MOVE_ASK_LOCK,	  /* object = TDI */
	MOVE_VALIDATE,	  /* object = TDI; where the host carries START, it asks for that */
	MOVE_STOP,	  /* object = TVM */
	MOVE_END,	  /* object = TVM */
	MOVE_ASK_CONNECT, /* object = DSM */
	MOVE_ASK_AHEAD,	  /* object = DSM */
	MOVE_ASK_RECLAIM, /* object = DSM */
	MOVE_ASK_CLEAR,	  /* object = TDI */
	/* What goes wrong. */
	MOVE_REJECT,	     /* object = assignment */
	MOVE_RUN_UNACCEPTED, /* object = TDI */
	MOVE_ERROR,	     /* object = TDI */
	MOVE_FALL,	     /* object = TDI */
	MOVE_VOID,	     /* object = TDI: somebody else ends its bind */
	MOVE_TAKE_BACK,	     /* object = TDI: the guest's request is open no more */
	MOVE_LOSE,	     /* object = DSM */
	MOVE_DETACH_FAIL,    /* object = assignment */
	MOVE_CUT_OFF,
	MOVE_CRASH,
} MoveType;

/* How a verb is carried out. */
typedef enum Execution {
	EXECUTE_WELL,
	EXECUTE_REFUSE,
	EXECUTE_UNKNOWN_NOT_DONE,
	EXECUTE_UNKNOWN_DONE,
	EXECUTE_UNCONFIRMED, /* freed, but the device did not confirm: unbind only */
	EXECUTE_TO_ERROR,    /* done, but in ERROR, and that is answered: bind only */
} Execution;

/* `cut`: the engine's process dies before that lasting effect of its step, from 1 on; 0: never. */
typedef struct Move {
	uint8_t type, object, how, cut;
} Move;

#define MAX_MOVES 192

typedef struct Model {
	const Scenario *scenario;
	Symmetry symmetry;
	Engine *engine;
	World world;
	const char *broken; /* the property that the last move broke, or NULL */
	char detail[160];
	FILE *trace;
	EngineEffectType
		dropped;   /* effects of this type are not carried out; EFFECT_N_TYPES: none */
	uint8_t cut, cuts; /* of the move being made: where it dies, how many places there were */
} Model;

int model_new(Model **ret, const Scenario *scenario);
Model *model_free(Model *model);

/* Back to the start: the TVMs run and nothing else has happened. */
int model_reset(Model *model);

/* What can happen next, completing moves first. Returns how many, at most MAX_MOVES. */
size_t model_moves(const Model *model, Move moves[MAX_MOVES]);

/* What the domain's metadata says of it. */
const Policy *model_policy(const Model *model, uint32_t assignment);
/* The engine has not heard of it yet. */
bool model_has_other_policy(const Model *model, uint32_t assignment);

/* How much of the scenario's trouble a move takes. */
uint8_t move_trouble(Move move);

/* Whether a move that has a cut (in the state where it is made) may have it. */
bool model_can_die(const Model *model, Move move);

/* Makes it happen. Sets model->broken; after that the model is good for nothing but printing. */
void model_move(Model *model, Move move);

/* World and engine as one block, to be put back later; the size is the scenario's. */
size_t model_snapshot_size(const Model *model);
void model_save(const Model *model, void *snapshot);
void model_load(Model *model, const void *snapshot);

/* Equal bytes mean that the same can happen from here on. Returns the size. */
#define MODEL_BYTES_MAX 1024
size_t model_serialize(const Model *model, uint8_t bytes[MODEL_BYTES_MAX]);
