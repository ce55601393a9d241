/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The second front door: the kernel's PCI/TSM, by way of the tsm-proxy module (plugin/kmod). What
 * comes in by it goes to the same operations and the same TSM, with the same latencies and faults.
 */
#pragma once

#include "service-private.h"

/* The kernel registers a TSM. The sentence says what is missing. */
int door_open(Door **ret, Service *service, const char *path, char **ret_error);

/* The same with a descriptor (taken), of which each read gives one message and takes one. */
int door_new(Door **ret, Service *service, int fd);

Door *door_free(Door *door);
DEFINE_CLEANUP(Door, door_free);

/* For whoever asks the module. */
void door_tell_state(Door *door, const TsmTdiStatus *status);
