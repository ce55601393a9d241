/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy in a domain's metadata: <policy> for all of its devices, and the same attributes on a
 * <device> (schemas/domain-metadata.rng).
 */
#include "core/domain-xml-private.h"

#include <errno.h>
#include <string.h>

#define SECONDS_MAX 86400u
#define REBINDS_MAX 1000000u

/* Decimal, without a sign and without leading zeros. */
static int parse_count(uint64_t *ret, const char *text, uint64_t max)
{
	size_t n = strlen(text);

	if (n == 0 || n > 7 || strspn(text, "0123456789") != n || (text[0] == '0' && n > 1))
		return -EINVAL;
	*ret = strtoull(text, NULL, 10);
	return *ret <= max ? 0 : -ERANGE;
}

static int take_accept_timeout(Policy *policy, const char *value)
{
	uint64_t seconds;
	int r = parse_count(&seconds, value, SECONDS_MAX);

	if (r < 0 || seconds == 0)
		return -EINVAL;
	policy->guest_timeout_usec = seconds * 1000000;
	return 0;
}

static int take_rebinds(Policy *policy, const char *value)
{
	uint64_t n;
	int r = parse_count(&n, value, REBINDS_MAX);

	if (r >= 0)
		policy->rebinds = (uint32_t)n;
	return r;
}

static int take_require_tvm(Policy *policy, const char *value)
{
	policy->require_tvm = strcmp(value, "yes") == 0;
	return policy->require_tvm || strcmp(value, "no") == 0 ? 0 : -EINVAL;
}

/* 0; -EINVAL: no such value; -ENOENT: no such attribute. */
static int take(Policy *policy, const char *name, const char *value)
{
	if (strcmp(name, "on-reject") == 0)
		return policy_action_parse(&policy->on_reject, value);
	if (strcmp(name, "on-timeout") == 0)
		return policy_action_parse(&policy->on_timeout, value);
	if (strcmp(name, "on-error") == 0)
		return policy_action_parse(&policy->on_error, value);
	if (strcmp(name, "rebinds") == 0)
		return take_rebinds(policy, value);
	if (strcmp(name, "accept-timeout") == 0)
		return take_accept_timeout(policy, value);
	if (strcmp(name, "require-tvm") == 0)
		return take_require_tvm(policy, value);
	return -ENOENT;
}

/* The first one is said. */
static int trouble(DomainReader *reader, const xmlNode *node, const char *name, const char *value)
{
	int r;

	if (reader->domain->policy_trouble)
		return 0;
	r = value ? xml_refuse(&reader->domain->policy_trouble, node, -EINVAL,
			       "%s='%s' is no value for it", name, xml_shown(value))
		  : xml_refuse(&reader->domain->policy_trouble, node, -EINVAL,
			       "<%s> of " DOMAIN_XML_NAMESPACE " has no attribute '%s'",
			       xml_shown((const char *)node->name), xml_shown(name));
	return r == -EINVAL ? 0 : r;
}

int domain_reader_policy(DomainReader *reader, const xmlNode *node, const char *known,
			 Policy *policy)
{
	Policy own = policy_lenient;
	bool bad = false;

	for (const xmlAttr *p = node->properties; p; p = p->next) {
		const char *name = (const char *)p->name;
		const char *value;
		int r;

		if (!p->ns && known && strcmp(name, known) == 0)
			continue;
		/* In a namespace it is no attribute of ours, and whoever wrote it thinks it is. */
		value = p->ns ? NULL : xml_attribute(node, name);
		r = p->ns ? -ENOENT : take(&own, name, value ?: "");
		if (r >= 0)
			continue;
		bad = true;
		r = trouble(reader, node, name, r == -ENOENT ? NULL : value ?: "");
		if (r < 0)
			return r;
	}
	if (bad)
		own = policy_strictest;
	*policy = policy_tighten(policy, &own);
	return 0;
}
