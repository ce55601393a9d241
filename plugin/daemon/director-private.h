/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of director.h: the events and their effects, the records, and the verbs. */
#pragma once

#include "daemon/director.h"

/*
 * The records of a step, whose effects these are. The worst of what came of them, as store_write.
 */
int director_persist(Tdid *tdid, const EngineEffect *effects, size_t n, const char *reason);

/* If the assignment is being bound, and has left its domain: not any more, if that can be had. */
void director_bind_needless(Assignment *a);

/*
 * Asks for the verb of an effect; one that cannot even be queued comes back as an event. record:
 * what has come of the records of this step, as store_write says it. resumed: it may have been sent
 * before this process began.
 */
void director_submit(Tdid *tdid, Verb verb, const EngineEffect *effect, int record, bool resumed);
