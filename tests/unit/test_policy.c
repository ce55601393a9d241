/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/policy.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(policy, other_words)
{
	static const char *const words[] = { "", "detached", "Detach", " hold", "rebind ", "?" };
	PolicyAction action = POLICY_N_ACTIONS;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		cr_assert_eq(policy_action_parse(&action, words[i]), -EINVAL, "%s", words[i]);
	cr_assert_eq(action, POLICY_N_ACTIONS);
	cr_assert_str_eq(policy_action_name(POLICY_N_ACTIONS), "?");
}

Test(policy, names)
{
	for (int i = 0; i < POLICY_N_ACTIONS; i++) {
		PolicyAction action = POLICY_N_ACTIONS;

		cr_assert_eq(policy_action_parse(&action, policy_action_name((PolicyAction)i)), 0);
		cr_assert_eq(action, (PolicyAction)i);
	}
}

Test(policy, tightens_in_each_respect)
{
	Policy a = { .on_reject = POLICY_HOLD,
		     .on_timeout = POLICY_REBIND,
		     .on_error = POLICY_DETACH,
		     .rebinds = 3,
		     .guest_timeout_usec = 7 },
	       b = { .on_reject = POLICY_REBIND,
		     .on_timeout = POLICY_HOLD,
		     .on_error = POLICY_HOLD,
		     .rebinds = 5,
		     .guest_timeout_usec = 4,
		     .require_tvm = true },
	       both = { .on_reject = POLICY_HOLD,
			.on_timeout = POLICY_HOLD,
			.on_error = POLICY_DETACH,
			.rebinds = 3,
			.guest_timeout_usec = 4,
			.require_tvm = true };
	Policy ab = policy_tighten(&a, &b), ba = policy_tighten(&b, &a),
	       same = policy_tighten(&a, &policy_lenient);

	cr_assert(policy_equal(&ab, &both));
	cr_assert(policy_equal(&ba, &both));
	cr_assert(policy_equal(&same, &a));
	cr_assert_not(policy_equal(&a, &b));
}
