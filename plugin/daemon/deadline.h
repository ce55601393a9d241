/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When the time of a timer is over, in a form that a restart of tdid does not begin anew:
 * microseconds of CLOCK_BOOTTIME, 0: there is no timer. Of which boot the journal's header says
 * (store.h): records of another one are void.
 */
#pragma once

#include <stdint.h>

/* So long from now. */
uint64_t deadline_after(uint64_t usec);
/* How long from now; 0: it is over. */
uint64_t deadline_left(uint64_t deadline);
/*
 * What a record says (0: nothing, or nothing that makes sense) of a timer that takes `whole` at
 * most: never later than if it began now.
 */
uint64_t deadline_restored(uint64_t recorded, uint64_t whole);
