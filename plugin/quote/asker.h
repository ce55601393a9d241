/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection that asks for a quote: QEMU's for its guest, or an agent's. One request each. */
#pragma once

#include "quote/relay.h"

/*
 * Takes the non-blocking `fd`, and owns itself from here on: it goes when its answer is written,
 * its deadline is over, or its peer has gone. On failure (-ENOMEM) the fd is still the caller's.
 */
int asker_new(Relay *relay, Domain *domain, LaneWay way, int fd);

/* Of the same domain; NULL: it is the last one. */
Asker *asker_next(const Asker *asker);

/* Its domain has ended, so nobody waits for an answer. */
void asker_drop(Asker *asker);

/* tdi-quoted ends: it is answered so, as far as it is not yet. Perhaps it is gone then. */
void asker_stop(Asker *asker);
