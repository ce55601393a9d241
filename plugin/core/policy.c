/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/policy.h"

#include "core/cleanup.h"

#include <errno.h>
#include <string.h>

const Policy policy_lenient = { .on_reject = POLICY_REBIND,
				.on_timeout = POLICY_REBIND,
				.on_error = POLICY_REBIND,
				.rebinds = UINT32_MAX,
				.guest_timeout_usec = UINT64_MAX };

const Policy policy_strictest = { .on_reject = POLICY_DETACH,
				  .on_timeout = POLICY_DETACH,
				  .on_error = POLICY_DETACH,
				  .guest_timeout_usec = UINT64_MAX,
				  .require_tvm = true };

static const char *const action_names[POLICY_N_ACTIONS] = { "detach", "hold", "rebind" };

const char *policy_action_name(PolicyAction action)
{
	return (unsigned int)action < POLICY_N_ACTIONS ? action_names[action] : "?";
}

int policy_action_parse(PolicyAction *ret, const char *name)
{
	for (unsigned int i = 0; i < POLICY_N_ACTIONS; i++)
		if (strcmp(name, action_names[i]) == 0) {
			*ret = (PolicyAction)i;
			return 0;
		}
	return -EINVAL;
}

#define STRICTER(field) (a->field < b->field ? a->field : b->field)

Policy policy_tighten(const Policy *a, const Policy *b)
{
	return (Policy){ .on_reject = STRICTER(on_reject),
			 .on_timeout = STRICTER(on_timeout),
			 .on_error = STRICTER(on_error),
			 .rebinds = STRICTER(rebinds),
			 .guest_timeout_usec = STRICTER(guest_timeout_usec),
			 .require_tvm = a->require_tvm || b->require_tvm };
}

bool policy_equal(const Policy *a, const Policy *b)
{
	return a->on_reject == b->on_reject && a->on_timeout == b->on_timeout &&
	       a->on_error == b->on_error && a->rebinds == b->rebinds &&
	       a->guest_timeout_usec == b->guest_timeout_usec && a->require_tvm == b->require_tvm;
}
