/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/wait-goal.h"

#include <errno.h>
#include <string.h>

#define BIT(state) (1u << (ASSIGNMENT_##state))

/* The steps of the way, in order. */
static const AssignmentState way[] = {
	ASSIGNMENT_DECLARED, ASSIGNMENT_ATTACHED, ASSIGNMENT_CONNECTING, ASSIGNMENT_WAITING,
	ASSIGNMENT_BINDING,  ASSIGNMENT_BOUND,	  ASSIGNMENT_LOCKED,	 ASSIGNMENT_RUNNING,
};

int wait_goal_parse(json_object *states, WaitGoal *ret)
{
	WaitGoal goal = 0;

	for (size_t i = 0; i < json_object_array_length(states); i++) {
		AssignmentState state;

		if (assignment_state_parse(&state, json_object_get_string(json_object_array_get_idx(
							   states, i))) < 0)
			return -EINVAL;
		goal |= 1u << state;
	}
	*ret = goal;
	return goal ? 0 : -EINVAL;
}

bool wait_goal_has(WaitGoal goal, AssignmentState state)
{
	return goal & (1u << state);
}

char *wait_goal_words(WaitGoal goal)
{
	char text[256] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < ASSIGNMENT_N_STATES; i++)
		if (wait_goal_has(goal, i))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? " or " : "", assignment_state_name(i));
	return strdup(text);
}

static bool has_passed(WaitGoal goal, AssignmentState state)
{
	bool passed = false;

	for (size_t i = 0; i < ELEMENTSOF(way); i++) {
		passed = passed || wait_goal_has(goal, way[i]);
		if (way[i] == state)
			return passed;
	}
	return false;
}

/* What may follow by itself, or by what somebody does who takes the device out. */
static WaitGoal can_follow(AssignmentState state)
{
	switch (state) {
	case ASSIGNMENT_DETACHING: return BIT(HELD) | BIT(RELEASED) | BIT(FAILED);
	case ASSIGNMENT_HELD: return BIT(RELEASED) | BIT(FAILED);
	case ASSIGNMENT_RELEASED:
	case ASSIGNMENT_FAILED:
	case ASSIGNMENT_QUARANTINED: return 0;
	default: return UINT32_MAX;
	}
}

WaitVerdict wait_goal_judge(WaitGoal goal, AssignmentState state, bool seen)
{
	if (wait_goal_has(goal, state) || has_passed(goal, state))
		return WAIT_THERE;
	if (goal & can_follow(state))
		return WAIT_ON;
	return state == ASSIGNMENT_RELEASED && !seen ? WAIT_ON : WAIT_NEVER;
}
