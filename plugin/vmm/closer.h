/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads for the last calls on a connection, which nobody waits for and which may hang. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/cleanup.h"

typedef struct Closer Closer;

int closer_new(Closer **ret);

/* Any thread, never blocks: runs work(data) on a thread of its own. When no thread can be had, that
 * is logged and `data` is lost. */
void closer_run(Closer *closer, void (*work)(void *data), void *data);

/* Waits for what runs, `wait_usec` at most; the rest is left behind and logged. */
Closer *closer_free_wait(Closer *closer, uint64_t wait_usec);

Closer *closer_ref(Closer *closer);   /* any thread */
Closer *closer_unref(Closer *closer); /* any thread */
DEFINE_CLEANUP(Closer, closer_unref);
