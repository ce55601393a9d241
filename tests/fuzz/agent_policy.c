/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/policy.h"
#include "fuzz.h"

#include <errno.h>

static void use(const AgentPolicy *policy)
{
	DeviceIdentity identity = { .vendor = 0x1b36, .device = 0x10, .class_code = 0x010802 };
	EvidencePolicy selected;
	_cleanup_free_ char *words = NULL;
	size_t n;
	FILE *out = open_memstream(&words, &n);
	bool fits = agent_policy_select(policy, &identity, &selected);

	CHECK(fits || selected.n_devices == policy->n_devices);
	for (size_t i = 0; i < policy->n_unverified; i++) {
		const PolicyUnverified *u = &policy->unverified[i];

		CHECK(agent_policy_is_unverified(policy, u->address, u->vendor, u->class_code));
	}
	CHECK(out);
	agent_policy_describe(policy, out);
	fclose(out);
	for (char *p = words; *p; p++)
		*p = *p == '\n' ? ' ' : *p;
	CHECK(fuzz_is_shown(words));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(agent_policy_freep) AgentPolicy *policy = NULL;
	char *error = NULL;
	int r = agent_policy_parse(&policy, (const char *)data, size, &error);

	if (!fuzz_good(r, error)) {
		CHECK(r == -EINVAL || r == -EBADMSG || r == -E2BIG);
		return false;
	}
	CHECK(policy->evidence.n_devices == 0 && policy->evidence.n_references == 0);
	use(policy);
	return true;
}
