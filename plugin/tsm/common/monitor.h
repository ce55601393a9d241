/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who watches the TSM's state changes, and the number of each change. */
#pragma once

#include "core/cleanup.h"
#include "rpc/varlink-server.h"

#include <stdint.h>

typedef struct Monitor Monitor;

/* instance: borrowed text. */
int monitor_new(Monitor **ret, const char *instance);
Monitor *monitor_free(Monitor *monitor);
DEFINE_CLEANUP(Monitor, monitor_free);

/*
 * Answers a Monitor call at once with the number of the last change, and with every one from then
 * on until the client goes.
 */
int monitor_add(Monitor *monitor, VarlinkCall *call);

/* A change of one of them; the other is NULL. Both are taken. */
void monitor_publish(Monitor *monitor, json_object *tdi, json_object *dsm, const char *reason);

/* News of the TSM itself, about no device. */
void monitor_publish_note(Monitor *monitor, const char *reason);

/* Ends every call: what was listed or said of the provider before does not hold any more. */
void monitor_end(Monitor *monitor, const char *reason);
