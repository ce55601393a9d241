/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments Monitor: calls that are told every change, and can go on where they ended. */
#pragma once

#include "daemon/assignment-view.h"
#include "rpc/varlink-server.h"

typedef struct Watchers Watchers;

int watchers_new(Watchers **ret, Tdid *tdid);
/* The server has to be gone already. */
Watchers *watchers_free(Watchers *watchers);

/* The handler of Monitor. */
int watchers_take(Watchers *watchers, VarlinkCall *call, json_object *parameters);

/*
 * A change: anything about it, or (`moment`) that it has just come into this state; `removed`: that
 * it is listed no more, and that state was its last.
 */
void watchers_tell(Watchers *watchers, const Assignment *a, const Moment *moment, bool removed);

size_t watchers_count(const Watchers *watchers);
/* Of all changes, told or not. */
uint64_t watchers_sequence(const Watchers *watchers);
