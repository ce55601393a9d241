/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long an assignment waits for its guest: to get ready, and to validate. The time stands still
 * while the guest cannot do anything because its domain is paused.
 */
#pragma once

#include "daemon/tdid.h"

/* Starts it anew; when it goes off, EVENT_GUEST_TIMEOUT goes to the engine. */
void guest_timer_start(Assignment *assignment);
void guest_timer_stop(Assignment *assignment);

/* The domain has been seen paused, or not so: the timers of its assignments follow. */
void guest_timers_pause(const Tvm *tvm, bool paused);
