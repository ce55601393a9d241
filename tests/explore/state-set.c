/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state-set.h"

#include "core/cleanup.h"

#include <errno.h>
#include <string.h>

#define FIRST_CAPACITY (1U << 16)

struct StateSet {
	State *states;
	uint32_t n, capacity;
	uint32_t *slots; /* index + 1, twice as many as states; 0 is free */
};

DEFINE_CLEANUP(StateSet, state_set_free);

int state_set_new(StateSet **ret)
{
	_cleanup_(state_set_freep) StateSet *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->capacity = FIRST_CAPACITY;
	set->states = malloc(set->capacity * sizeof(*set->states));
	set->slots = calloc(2UL * set->capacity, sizeof(*set->slots));
	if (!set->states || !set->slots)
		return -ENOMEM;
	*ret = steal_ptr(set);
	return 0;
}

StateSet *state_set_free(StateSet *set)
{
	if (!set)
		return NULL;
	free(set->states);
	free(set->slots);
	free(set);
	return NULL;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93;
	h ^= h >> 32;
	return h;
}

void state_fingerprint(const uint8_t *bytes, size_t n, uint64_t ret[2])
{
	uint64_t a = 0x9e3779b97f4a7c15 ^ n, b = 0xc2b2ae3d27d4eb4f + n, word;

	for (size_t at = 0; at < n; at += sizeof(word)) {
		word = 0;
		memcpy(&word, bytes + at, n - at < sizeof(word) ? n - at : sizeof(word));
		a = (a ^ word) * 0x9fb21c651e98df25;
		a ^= a >> 29;
		b = (b + word) * 0xff51afd7ed558ccd;
		b ^= b >> 31;
	}
	ret[0] = mix(a);
	ret[1] = mix(b);
}

/* The slot of this fingerprint, or the free one where it belongs. */
static uint32_t *find_slot(StateSet *set, const uint64_t wanted[2])
{
	uint64_t mask = 2UL * set->capacity - 1;

	for (uint64_t i = wanted[0] & mask;; i = (i + 1) & mask) {
		const State *state = &set->states[set->slots[i] - 1];

		if (set->slots[i] == 0 ||
		    (state->fingerprint[0] == wanted[0] && state->fingerprint[1] == wanted[1]))
			return &set->slots[i];
	}
}

static int grow(StateSet *set)
{
	uint32_t capacity = set->capacity * 2;
	State *states = realloc(set->states, capacity * sizeof(*states));
	uint32_t *slots;

	if (!states)
		return -ENOMEM;
	set->states = states;
	slots = calloc(2UL * capacity, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(set->slots);
	set->slots = slots;
	set->capacity = capacity;
	for (uint32_t i = 0; i < set->n; i++)
		*find_slot(set, set->states[i].fingerprint) = i + 1;
	return 0;
}

int state_set_add(StateSet *set, const uint8_t *bytes, size_t n, uint32_t parent, Move move,
		  uint32_t *ret)
{
	State state = { .parent = parent, .completion = STATE_NONE, .move = move };
	uint32_t *slot;

	state_fingerprint(bytes, n, state.fingerprint);
	slot = find_slot(set, state.fingerprint);
	if (*slot) {
		*ret = *slot - 1;
		return 0;
	}
	if (set->n == set->capacity) {
		if (grow(set) < 0)
			return -ENOMEM;
		slot = find_slot(set, state.fingerprint);
	}
	*ret = set->n++;
	set->states[*ret] = state;
	*slot = set->n;
	return 1;
}

State *state_set_at(StateSet *set, uint32_t index)
{
	return &set->states[index];
}

uint32_t state_set_size(const StateSet *set)
{
	return set->n;
}

size_t state_set_memory(const StateSet *set)
{
	return set->capacity * (sizeof(State) + 2 * sizeof(uint32_t));
}
