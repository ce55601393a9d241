/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open addressing, at most half full: from the place that the hash says on to the first one that is
 * free. The hash has a seed, because a provider chooses the addresses.
 */
#include "daemon/bdf-index.h"

#include "common/random.h"

#include <errno.h>
#include <stdlib.h>

#define SIZE_FIRST 64 /* a power of two */

struct BdfSlot {
	uint32_t address;
	void *object; /* NULL: free */
};

void bdf_index_done(BdfIndex *index)
{
	free(index->slots);
	*index = (BdfIndex){};
}

/* The finalizer of splitmix64: every bit of `v` has a part in every bit of the result. */
static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	return v ^ v >> 31;
}

/* Of this address, or the free one that it would have. */
static BdfSlot *slot_of(const BdfIndex *index, uint32_t address)
{
	size_t at = mix(index->seed ^ address) & (index->size - 1);

	while (index->slots[at].object && index->slots[at].address != address)
		at = (at + 1) & (index->size - 1);
	return &index->slots[at];
}

static int grow(BdfIndex *index)
{
	BdfIndex grown = { .size = index->size ? 2 * index->size : SIZE_FIRST, .n = index->n };

	/* Without one it finds all the same. */
	(void)random_secret(&grown.seed, sizeof(grown.seed));
	grown.slots = calloc(grown.size, sizeof(*grown.slots));
	if (!grown.slots)
		return -ENOMEM;
	for (size_t i = 0; i < index->size; i++)
		if (index->slots[i].object)
			*slot_of(&grown, index->slots[i].address) = index->slots[i];
	free(index->slots);
	*index = grown;
	return 0;
}

int bdf_index_add(BdfIndex *index, Bdf bdf, void *object)
{
	uint32_t address = bdf_requester_id(bdf);
	BdfSlot *slot;
	int r = 2 * (index->n + 1) > index->size ? grow(index) : 0;

	if (r < 0)
		return r;
	slot = slot_of(index, address);
	if (slot->object)
		return -EEXIST;
	*slot = (BdfSlot){ .address = address, .object = object };
	index->n++;
	return 0;
}

void *bdf_index_find(const BdfIndex *index, Bdf bdf)
{
	return index->size ? slot_of(index, bdf_requester_id(bdf))->object : NULL;
}
