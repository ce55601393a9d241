/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection that asks for a quote: QEMU's for its guest, or an agent's. One request each. */
#pragma once

#include "quote/relay.h"

/*
 * Takes the non-blocking `fd`, and owns itself from here on: it goes when its answer is written,
 * its deadline is over, or its peer has gone. On failure (-ENOMEM) the fd is still the caller's.
 */
int asker_new(Relay *relay, Domain *domain, LaneWay way, int fd);

/* Without an answer: its domain has ended. Returns NULL. */
Asker *asker_free(Asker *asker);
