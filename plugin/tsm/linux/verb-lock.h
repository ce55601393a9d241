/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A lock on the state folder, which this process holds, and with it every child that is inside the
 * kernel for a verb. Who cannot take it at the start has a predecessor whose verb is not over.
 */
#pragma once

#include "core/cleanup.h"

#include <stdbool.h>

#include <systemd/sd-event.h>

typedef struct VerbLock VerbLock;

/*
 * Waits for a second at most, and then goes on waiting in a child; `taken` then runs from the event
 * loop. The folder has to be there. kill: as in WorkerLimits.
 */
int verb_lock_new(VerbLock **ret, sd_event *event, const char *folder, void (*kill)(int pidfd),
		  void (*taken)(void *userdata), void *userdata, char **ret_error);
VerbLock *verb_lock_free(VerbLock *lock);
DEFINE_CLEANUP(VerbLock, verb_lock_free);

bool verb_lock_is_taken(const VerbLock *lock);

/* For a verb's child to hold. */
int verb_lock_fd(const VerbLock *lock);
