/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects by the address of a PCI function: a hash table, because a search in a tree of ten
 * thousand goes through a dozen of them all over the memory. What has come in stays.
 */
#pragma once

#include "core/bdf.h"

#include <stddef.h>

typedef struct BdfSlot BdfSlot;

/* All zero is an empty one. */
typedef struct BdfIndex {
	BdfSlot *slots;
	size_t size, n;
	uint64_t seed;
} BdfIndex;

/* The objects are not its own. */
void bdf_index_done(BdfIndex *index);

/* -EEXIST: there is one of this address; -ENOMEM. */
int bdf_index_add(BdfIndex *index, Bdf bdf, void *object);
/* NULL: there is none. */
void *bdf_index_find(const BdfIndex *index, Bdf bdf);
