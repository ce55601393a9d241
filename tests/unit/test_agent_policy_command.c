/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy's "relying_party": what is refused, and that the schema has the same opinion. */
#include "agent/policy.h"
#include "testing-schema.h"

#define PROGRAM "\"/usr/libexec/verify\""

/* words: NULL: good. The policy is the caller's then. */
static AgentPolicy *both(const char *relying_party, const char *words)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	AgentPolicy *policy = NULL;
	char why[256];
	bool allowed;

	cr_assert_gt(asprintf(&text, "{\"version\":1,\"relying_party\":%s}", relying_party), 0);
	agent_policy_parse(&policy, text, strlen(text), &error);
	allowed = testing_schema_allows("agent-policy", text, why);
	cr_assert_eq(allowed, !words, "%s: the schema says %s", text, why);
	cr_assert_eq(policy != NULL, !words, "%s: %s", text, error);
	if (words)
		cr_assert(error && strstr(error, words), "\"%s\" does not say %s", error, words);
	return policy;
}

static void refused(const char *relying_party, const char *words)
{
	cr_assert_null(both(relying_party, words));
}

Test(agent_policy_command, members)
{
	refused("[]", "\"relying_party\"");
	refused("null", "\"relying_party\"");
	refused("\"/usr/libexec/verify\"", "\"relying_party\"");
	refused("{}", "relying_party: \"command\" is missing");
	refused("{\"timeout_ms\":1000}", "\"command\" is missing");
	refused("{\"command\":[" PROGRAM "],\"shell\":true}", "\"shell\"");
	refused("{\"command\":" PROGRAM "}", "\"command\"");
}

Test(agent_policy_command, commands)
{
	_cleanup_free_ char *many = calloc(1, 4096), *large = calloc(1, 8192);

	refused("{\"command\":[]}", "0 elements");
	refused("{\"command\":[1]}", "command[0]");
	refused("{\"command\":[" PROGRAM ",1]}", "command[1]");
	refused("{\"command\":[\"verify\"]}", "absolute path");
	refused("{\"command\":[\"./verify\"]}", "absolute path");
	refused("{\"command\":[\"\"]}", "absolute path");
	refused("{\"command\":[\"/\"]}", "absolute path");
	strcpy(many, "{\"command\":[" PROGRAM);
	for (unsigned int i = 0; i < POLICY_COMMAND_MAX_ARGUMENTS; i++)
		strcat(many, ",\"x\"");
	strcat(many, "]}");
	refused(many, "65 elements");
	snprintf(large, 8192, "{\"command\":[" PROGRAM ",\"%04097d\"]}", 1);
	refused(large, "4096 bytes");
	snprintf(large, 8192, "{\"command\":[\"/%04096d\"]}", 1);
	refused(large, "4096 bytes");
}

Test(agent_policy_command, times)
{
	refused("{\"command\":[" PROGRAM "],\"timeout_ms\":99}", "timeout_ms");
	refused("{\"command\":[" PROGRAM "],\"timeout_ms\":60001}", "timeout_ms");
	refused("{\"command\":[" PROGRAM "],\"timeout_ms\":-1}", "timeout_ms");
	refused("{\"command\":[" PROGRAM "],\"timeout_ms\":1.5}", "timeout_ms");
	refused("{\"command\":[" PROGRAM "],\"timeout_ms\":\"100\"}", "timeout_ms");
}

Test(agent_policy_command, good)
{
	AgentPolicy *policy = both("{\"command\":[" PROGRAM "]}", NULL);
	_cleanup_free_ char *words = NULL;
	size_t size;
	FILE *out;

	cr_assert_str_eq(policy->relying_party.arguments[0], "/usr/libexec/verify");
	cr_assert_null(policy->relying_party.arguments[1]);
	cr_assert_eq(policy->relying_party.timeout_ms, 10000);
	agent_policy_free(policy);

	policy = both("{\"command\":[" PROGRAM ",\"\",\"a b\"],\"timeout_ms\":100}", NULL);
	cr_assert_str_eq(policy->relying_party.arguments[1], "");
	cr_assert_str_eq(policy->relying_party.arguments[2], "a b");
	cr_assert_null(policy->relying_party.arguments[3]);
	cr_assert_eq(policy->relying_party.timeout_ms, 100);
	out = open_memstream(&words, &size);
	agent_policy_describe(policy, out);
	fclose(out);
	cr_assert_not_null(strstr(words, "relying party: /usr/libexec/verify  a b; "), "%s", words);
	agent_policy_free(policy);
}

Test(agent_policy_command, none)
{
	_cleanup_free_ char *words = NULL;
	AgentPolicy *policy;
	size_t size;
	FILE *out;

	cr_assert_eq(agent_policy_parse(&policy, "{\"version\":1}", 13, NULL), 0);
	cr_assert_null(policy->relying_party.arguments);
	out = open_memstream(&words, &size);
	agent_policy_describe(policy, out);
	fclose(out);
	cr_assert_null(strstr(words, "relying party"));
	agent_policy_free(policy);
}
