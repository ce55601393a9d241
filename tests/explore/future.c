/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "future.h"

#include "state-set.h"

#include <stdlib.h>

#define MAX_FOLLOWERS 1024

typedef struct Followers {
	uint64_t list[MAX_FOLLOWERS];
	size_t n;
} Followers;

static void add(Followers *followers, const Model *model)
{
	uint8_t bytes[MODEL_BYTES_MAX];
	uint64_t fingerprint[2];

	state_fingerprint(bytes, model_serialize(model, bytes), fingerprint);
	if (followers->n < MAX_FOLLOWERS)
		followers->list[followers->n++] = fingerprint[0];
}

/*
 * The move; the same with the process dying before each lasting effect; and dying after the last,
 * since one state may have effects without consequence where another has none.
 */
static void follow(Followers *followers, Model *model, const void *snapshot, Move move)
{
	uint8_t cuts;

	model_load(model, snapshot);
	model_move(model, move);
	cuts = model->cuts;
	add(followers, model);
	if (cuts > 0 && model->world.trouble > 0) {
		model_move(model, (Move){ .type = MOVE_CRASH });
		add(followers, model);
	}
	model_load(model, snapshot);
	for (move.cut = 1; move.cut <= cuts && model_can_die(model, move); move.cut++) {
		model_move(model, move);
		add(followers, model);
		model_load(model, snapshot);
	}
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint64_t future_digest(Model *model, const void *snapshot)
{
	Followers followers = { .n = 0 };
	uint64_t digest = 1;
	Move moves[MAX_MOVES];
	size_t n;

	model_load(model, snapshot);
	n = model_moves(model, moves);
	for (size_t i = 0; i < n; i++)
		follow(&followers, model, snapshot, moves[i]);
	qsort(followers.list, followers.n, sizeof(followers.list[0]), compare);
	for (size_t i = 0; i < followers.n; i++)
		if (i == 0 || followers.list[i] != followers.list[i - 1])
			digest = (digest ^ followers.list[i]) * 0x9fb21c651e98df25;
	return digest ? digest : 1;
}
