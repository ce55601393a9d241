/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose the binds are. The kernel says that a function is bound, not for which TVM and which
 * generation; so this provider keeps it, in a file that outlives its process but not the boot. And
 * of which functions a bind ended without anybody's word that the device is clean.
 */
#pragma once

#include "core/bdf.h"
#include "core/cleanup.h"
#include "core/uuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BINDINGS_MAX 4096

typedef struct Binding {
	Bdf device;
	Uuid tvm;
	uint64_t generation;
	uint32_t guest_rid;
} Binding;

typedef struct Bindings Bindings;

/*
 * Reads FOLDER/bindings, making the folder if there is none. What another boot left is not taken.
 * -EBADMSG: malformed, or of a newer version; with a sentence.
 */
int bindings_open(Bindings **ret, const char *folder, const char *boot_id, char **ret_error);
Bindings *bindings_free(Bindings *bindings);
DEFINE_CLEANUP(Bindings, bindings_free);

/* In place of what there was about the device. Durable when it returns 0. */
int bindings_put(Bindings *bindings, const Binding *binding);
/* Forgets the device's. That the file could not be written is returned, and it is forgotten. */
int bindings_drop(Bindings *bindings, Bdf device);

/*
 * The same, for a bind that is over: whether the device confirmed its end stays known until another
 * one's end is confirmed.
 */
int bindings_end(Bindings *bindings, Bdf device, bool confirmed);
bool bindings_unconfirmed(const Bindings *bindings, Bdf device);

/* NULL: none. Valid until the next put or drop. */
const Binding *bindings_find(const Bindings *bindings, Bdf device);
size_t bindings_count(const Bindings *bindings);
const Binding *bindings_at(const Bindings *bindings, size_t index);
