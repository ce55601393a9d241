/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/wait-goal.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static int parse(const char *text, WaitGoal *ret)
{
	_cleanup_(json_unrefp) json_object *o = NULL;

	cr_assert_eq(json_parse(&o, text, strlen(text), NULL), 0);
	return wait_goal_parse(json_get_array(o, "s"), ret);
}

static WaitGoal goal(const char *states)
{
	char text[256];
	WaitGoal ret;

	snprintf(text, sizeof(text), "{\"s\":[%s]}", states);
	cr_assert_eq(parse(text, &ret), 0);
	return ret;
}

#define JUDGE(states, state) wait_goal_judge(goal(states), ASSIGNMENT_##state, true)

Test(daemon_wait_goal, bad_states)
{
	WaitGoal ret = 7;

	cr_assert_eq(parse("{\"s\":[]}", &ret), -EINVAL);
	cr_assert_eq(parse("{\"s\":[\"\"]}", &ret), -EINVAL);
	cr_assert_eq(parse("{\"s\":[\"running\",\"Running\"]}", &ret), -EINVAL);
}

Test(daemon_wait_goal, words)
{
	_cleanup_free_ char *one = wait_goal_words(goal("\"running\""));
	_cleanup_free_ char *twice = wait_goal_words(goal("\"failed\",\"held\",\"failed\""));
	_cleanup_free_ char *all = wait_goal_words((1u << ASSIGNMENT_N_STATES) - 1);

	cr_assert_str_eq(one, "running");
	cr_assert_str_eq(twice, "held or failed");
	cr_assert(strstr(all, " or quarantined"), "%s", all);
}

Test(daemon_wait_goal, the_state_itself)
{
	for (unsigned int i = 0; i < ASSIGNMENT_N_STATES; i++)
		cr_assert_eq(wait_goal_judge(1u << i, i, false), WAIT_THERE);
}

Test(daemon_wait_goal, steps_of_the_way)
{
	static const AssignmentState way[] = {
		ASSIGNMENT_DECLARED, ASSIGNMENT_ATTACHED, ASSIGNMENT_CONNECTING, ASSIGNMENT_WAITING,
		ASSIGNMENT_BINDING,  ASSIGNMENT_BOUND,	  ASSIGNMENT_LOCKED,	 ASSIGNMENT_RUNNING,
	};

	for (size_t i = 0; i < ELEMENTSOF(way); i++)
		for (size_t k = 0; k < ELEMENTSOF(way); k++)
			cr_assert_eq(wait_goal_judge(1u << way[i], way[k], true),
				     k >= i ? WAIT_THERE : WAIT_ON);
	/* Who is on the way back has not been anywhere. */
	cr_assert_eq(JUDGE("\"locked\"", UNBINDING), WAIT_ON);
	cr_assert_eq(JUDGE("\"unbinding\"", RUNNING), WAIT_ON);
}

Test(daemon_wait_goal, no_way_there)
{
	cr_assert_eq(JUDGE("\"running\"", DETACHING), WAIT_NEVER);
	cr_assert_eq(JUDGE("\"running\"", HELD), WAIT_NEVER);
	cr_assert_eq(JUDGE("\"running\"", FAILED), WAIT_NEVER);
	cr_assert_eq(JUDGE("\"running\"", QUARANTINED), WAIT_NEVER);
	cr_assert_eq(JUDGE("\"released\"", QUARANTINED), WAIT_NEVER);
	cr_assert_eq(JUDGE("\"released\"", FAILED), WAIT_NEVER);
	cr_assert_eq(JUDGE("\"detaching\"", HELD), WAIT_NEVER);
	cr_assert_eq(JUDGE("\"running\",\"failed\"", HELD), WAIT_ON);
	cr_assert_eq(JUDGE("\"released\"", DETACHING), WAIT_ON);
	cr_assert_eq(JUDGE("\"quarantined\"", DETACHING), WAIT_NEVER);
}

Test(daemon_wait_goal, released_before_and_since)
{
	cr_assert_eq(wait_goal_judge(goal("\"running\""), ASSIGNMENT_RELEASED, false), WAIT_ON);
	cr_assert_eq(wait_goal_judge(goal("\"running\""), ASSIGNMENT_RELEASED, true), WAIT_NEVER);
	cr_assert_eq(wait_goal_judge(goal("\"running\""), ASSIGNMENT_FAILED, false), WAIT_NEVER);
}
