/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long an assignment waits for its guest: to get ready, and to validate. The time stands still
 * while the guest cannot do anything because its domain is paused.
 */
#pragma once

#include "daemon/tdid.h"

/* Anew: when it is to go off, or that it stands still. Its record, which says so, comes next. */
void guest_timer_set(Assignment *assignment);
/* As it is set; when it goes off, EVENT_GUEST_TIMEOUT goes to the engine. */
void guest_timer_start(Assignment *assignment);
/* Sets and starts it, and writes the record. */
void guest_timer_renew(Assignment *assignment);
void guest_timer_stop(Assignment *assignment);

/* The domain has been seen paused, or not so: the timers of its assignments follow. */
void guest_timers_pause(const Tvm *tvm, bool paused);

/* As the record has it, without being started. True: that says nothing of it, so it is set anew. */
bool guest_timer_restore(Assignment *assignment);
/* For held-timers.c: nothing holds it any more. */
void guest_timer_go_on(Assignment *assignment);
