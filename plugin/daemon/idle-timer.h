/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a DSM that nobody uses stays connected: for the grace, and where its TSM has refused to
 * take it back, for a while that is twice as long each time (retry-timer.h) if that is longer.
 */
#pragma once

#include "daemon/tdid.h"

/* Anew. Its record, which says when, comes next. */
void idle_timer_set(Dsm *dsm);
/* As it is set; when it goes off, EVENT_IDLE_TIMEOUT goes to the engine. */
void idle_timer_start(Dsm *dsm);
void idle_timer_stop(Dsm *dsm);

/* As the record has it, without being started. True: that says nothing of it, so it is set anew. */
bool idle_timer_restore(Dsm *dsm);
