/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States are looked at in the order in which they were found, so the first trace that breaks a
 * property is a shortest one. Snapshots are kept only of states that wait to be looked at.
 *
 * That a resting state is always reached needs no search of its own: in every state the first
 * completing move is the one that a lazy world would make. Following those, a state comes to rest
 * or walks in a circle.
 */
#include "search.h"

#include "future.h"
#include "model-private.h"
#include "properties.h"
#include "state-set.h"
#include "trace.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define MEMORY_MAX (2UL << 30)
#define CHUNK	   1024U

DEFINE_CLEANUP(StateSet, state_set_free);

/* Snapshots in chunks by state index; a chunk goes when its last state has been looked at. */
typedef struct Search {
	Model *model;
	StateSet *set;
	size_t snapshot_size;
	char *scratch; /* one more snapshot */
	char **chunks;
	uint32_t n_chunks, held;
	bool check;
	uint64_t *futures; /* of each state; only when they are checked */
	uint64_t transitions;
	uint32_t now; /* the state that is looked at */
	Move made;    /* the move that broke something, if any */
	bool at_move;
} Search;

static void search_done(Search *search)
{
	for (uint32_t i = 0; i < search->n_chunks; i++)
		free(search->chunks[i]);
	free(search->chunks);
	free(search->scratch);
	free(search->futures);
	state_set_free(search->set);
	model_free(search->model);
}

static int keep_snapshot(Search *search, uint32_t index)
{
	uint32_t chunk = index / CHUNK;

	if (chunk == search->n_chunks) {
		char **chunks = realloc(search->chunks, (chunk + 1) * sizeof(*chunks));

		if (!chunks)
			return -ENOMEM;
		search->chunks = chunks;
		if (state_set_memory(search->set) +
			    (search->held + 1UL) * CHUNK * search->snapshot_size >
		    MEMORY_MAX)
			return -ENOMEM;
		chunks[chunk] = malloc(CHUNK * search->snapshot_size);
		if (!chunks[chunk])
			return -ENOMEM;
		search->n_chunks++;
		search->held++;
	}
	model_save(search->model, search->chunks[chunk] + index % CHUNK * search->snapshot_size);
	return 0;
}

static const char *snapshot_at(const Search *search, uint32_t index)
{
	return search->chunks[index / CHUNK] + index % CHUNK * search->snapshot_size;
}

static void drop_snapshot(Search *search, uint32_t index)
{
	if (index % CHUNK != CHUNK - 1)
		return;
	free(search->chunks[index / CHUNK]);
	search->chunks[index / CHUNK] = NULL;
	search->held--;
}

static int remember(Search *search, Move move, uint32_t *ret)
{
	uint8_t bytes[MODEL_BYTES_MAX];
	size_t n = model_serialize(search->model, bytes);
	int r = state_set_add(search->set, bytes, n, search->now, move, ret);
	return r > 0 ? keep_snapshot(search, *ret) : r;
}

/* Of a state that was there, under whatever name, the same has to follow as when it was found. */
static int check_future(Search *search, uint32_t state, bool is_new)
{
	uint8_t cuts = search->model->cuts;
	uint64_t digest, *futures;

	if (is_new && state % CHUNK == 0) {
		futures = realloc(search->futures, (state + CHUNK) * sizeof(*futures));
		if (!futures)
			return -ENOMEM;
		search->futures = futures;
	}
	model_save(search->model, search->scratch);
	digest = future_digest(search->model, search->scratch);
	if (is_new)
		search->futures[state] = digest;
	else if (search->futures[state] != digest)
		broken(search->model, "states that are taken for the same have the same future",
		       "state %u", (unsigned)state);
	search->model->cuts = cuts;
	return search->model->broken != NULL;
}

/* 1 when a property broke. */
static int try_move(Search *search, Move move, uint32_t *ret)
{
	Model *model = search->model;
	uint32_t before;
	int r;

	model_load(model, snapshot_at(search, search->now));
	model_move(model, move);
	search->transitions++;
	if (model->broken) {
		search->made = move;
		search->at_move = true;
		return 1;
	}
	before = state_set_size(search->set);
	r = remember(search, move, ret);
	if (r == 0 && search->check)
		r = check_future(search, *ret, *ret == before);
	if (r == 1) {
		search->made = move;
		search->at_move = true;
	}
	return r;
}

/* The same move again, with the engine's process dying before each lasting effect of its step. */
static int try_cuts(Search *search, Move move, uint8_t cuts)
{
	uint32_t reached;
	int r;

	move.cut = 1;
	model_load(search->model, snapshot_at(search, search->now));
	if (!model_can_die(search->model, move))
		return 0;
	for (; move.cut <= cuts; move.cut++) {
		r = try_move(search, move, &reached);
		if (r != 0)
			return r;
	}
	return 0;
}

static int look_at_rest(Search *search, size_t n, const Move *moves)
{
	if (n > 0 && moves[0].type < MOVE_N_COMPLETING)
		return 0;
	properties_of_rest(search->model);
	return search->model->broken != NULL;
}

static int look_at_stale(Search *search)
{
	const char *before = snapshot_at(search, search->now);

	properties_of_stale_events(search->model);
	model_save(search->model, search->scratch);
	if (!search->model->broken && memcmp(search->scratch, before, search->snapshot_size) != 0)
		broken(search->model, STALE, "the state");
	return search->model->broken != NULL;
}

static int look_at(Search *search)
{
	Move moves[MAX_MOVES];
	uint32_t reached;
	size_t n;
	int r;

	model_load(search->model, snapshot_at(search, search->now));
	n = model_moves(search->model, moves);
	r = look_at_rest(search, n, moves);
	if (r == 0)
		r = look_at_stale(search);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = try_move(search, moves[i], &reached);
		if (r != 0)
			break;
		if (i == 0 && moves[0].type < MOVE_N_COMPLETING)
			state_set_at(search->set, search->now)->completion = reached;
		if (search->model->cuts > 0)
			r = try_cuts(search, moves[i], search->model->cuts);
	}
	drop_snapshot(search, search->now);
	return r;
}

/* A state whose completions never end, or STATE_NONE. Each state is walked over once. */
static int find_circle(Search *search, uint32_t *ret)
{
	uint32_t n = state_set_size(search->set), *walk = calloc(n, sizeof(*walk));

	*ret = STATE_NONE;
	if (!walk)
		return -ENOMEM;
	for (uint32_t start = 0; start < n && *ret == STATE_NONE; start++) {
		uint32_t i = start;

		while (i != STATE_NONE && walk[i] == 0) {
			walk[i] = start + 1;
			i = state_set_at(search->set, i)->completion;
		}
		if (i != STATE_NONE && walk[i] == start + 1)
			*ret = i;
	}
	free(walk);
	return 0;
}

static void show(Model *model, FILE *to, unsigned int number, Move move)
{
	trace_move(to, model, number, move);
	model->trace = to;
	model_move(model, move);
	model->trace = NULL;
	if (!model->broken)
		trace_state(to, model);
}

static void show_path(Search *search, FILE *to, bool circle)
{
	uint32_t depth = 0, *path;
	Model *model = search->model;

	for (uint32_t i = search->now; i != 0; i = state_set_at(search->set, i)->parent)
		depth++;
	path = calloc(depth + 1, sizeof(*path));
	if (!path || model_reset(model) < 0) {
		free(path);
		return;
	}
	for (uint32_t i = search->now, at = depth; i != 0; i = state_set_at(search->set, i)->parent)
		path[--at] = i;
	for (uint32_t i = 0; i < depth; i++)
		show(model, to, i + 1, state_set_at(search->set, path[i])->move);
	if (search->at_move)
		show(model, to, depth + 1, search->made);
	free(path);
	for (uint32_t i = search->now; circle;) {
		Move moves[MAX_MOVES];

		model_moves(model, moves);
		show(model, to, ++depth, moves[0]);
		i = state_set_at(search->set, i)->completion;
		circle = i != search->now;
	}
}

static int begin(Search *search, const Scenario *scenario, EngineEffectType dropped)
{
	uint32_t first;
	int r = model_new(&search->model, scenario);

	if (r < 0)
		return r;
	search->model->dropped = dropped;
	search->snapshot_size = model_snapshot_size(search->model);
	search->scratch = malloc(search->snapshot_size);
	if (!search->scratch)
		return -ENOMEM;
	search->now = STATE_NONE;
	r = state_set_new(&search->set);
	if (r >= 0)
		r = remember(search, (Move){}, &first);
	if (r >= 0 && search->check)
		r = check_future(search, first, true);
	search->now = 0;
	return r;
}

int search(const Scenario *scenario, EngineEffectType dropped, bool check, FILE *to,
	   SearchResult *ret)
{
	Search search = { .check = check };
	struct timespec start, end;
	uint32_t circle = STATE_NONE;
	char detail[sizeof(search.model->detail)] = "";
	int r;

	*ret = (SearchResult){};
	clock_gettime(CLOCK_MONOTONIC, &start);
	r = begin(&search, scenario, dropped);
	for (; r == 0 && search.now < state_set_size(search.set); search.now++) {
		r = look_at(&search);
		if (r != 0)
			break;
	}
	if (r == 1) {
		ret->broken = search.model->broken;
		memcpy(detail, search.model->detail, sizeof(detail));
	} else if (r == 0) {
		r = find_circle(&search, &circle);
		if (circle != STATE_NONE) {
			ret->broken = RESTS;
			search.now = circle;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (r >= 0) {
		ret->states = state_set_size(search.set);
		ret->transitions = search.transitions;
		ret->seconds = (double)(end.tv_sec - start.tv_sec) +
			       (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	}
	if (ret->broken && to) {
		fprintf(to, "%s: BROKEN: %s (%s)\n", scenario->name, ret->broken,
			circle != STATE_NONE ? "it goes round in a circle" : detail);
		show_path(&search, to, circle != STATE_NONE);
	}
	search_done(&search);
	return r < 0 ? r : 0;
}
