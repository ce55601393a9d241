/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long an assignment waits before it is bound again: twice as long each time, up to a bound;
 * and how long one that was bound again has to run until that counts no more.
 */
#pragma once

#include "daemon/tdid.h"

/* Before the next one after so many, of which there was one at least. */
uint64_t retry_backoff_usec(const Tdid *tdid, uint32_t tries);

/* Anew, by the state that the engine has it in. Its record, which says when, comes next. */
void retry_timer_set(Assignment *assignment);
/* As it is set; when it goes off, EVENT_RETRY_TIMEOUT goes to the engine. */
void retry_timer_start(Assignment *assignment);
void retry_timer_stop(Assignment *assignment);
/* There is no guest_boot_doubted any more: what has gone off within it starts again. */
void retry_timer_once_more(Assignment *assignment);

/* As the record has it, without being started. True: that says nothing of it, so it is set anew. */
bool retry_timer_restore(Assignment *assignment);
