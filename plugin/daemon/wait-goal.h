/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The states that somebody waits for, and what another state means for that.
 *
 * Declared to running are steps of one way: who waits for one of them is content with a later one.
 * Who waits for any other state has to see that state.
 */
#pragma once

#include "core/engine.h"
#include "rpc/json.h"

typedef uint32_t WaitGoal; /* a bit for each state */

typedef enum WaitVerdict { WAIT_ON, WAIT_THERE, WAIT_NEVER } WaitVerdict;

/* An array of io.tdid.Assignments.State, and not an empty one: -EINVAL. */
int wait_goal_parse(json_object *states, WaitGoal *ret);

bool wait_goal_has(WaitGoal goal, AssignmentState state);

/* "running" or "released or failed", allocated; NULL: out of memory. */
char *wait_goal_words(WaitGoal goal);

/*
 * What is to be told of an assignment in this state: WAIT_NEVER, that it does not get there by
 * itself any more. One that is released counts as not there yet, unless it has been `seen` on its
 * way since the wait began.
 */
WaitVerdict wait_goal_judge(WaitGoal goal, AssignmentState state, bool seen);
