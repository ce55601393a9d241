/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/verdict.h"
#include "core/cleanup.h"
#include "testing-schema.h"

#include <errno.h>

#define TEN    "0123456789"
#define TENS   TEN TEN TEN TEN TEN
#define REASON TENS TENS TENS TENS TENS TENS TENS TENS TENS TENS /* 500 */

static void refused(const char *text, size_t size, int code, const char *words)
{
	_cleanup_free_ char *error = NULL;
	Verdict verdict = { .accepted = false };

	cr_assert_eq(verdict_parse(&verdict, text, size, &error), code, "%s: %s", text, error);
	cr_assert(error && strstr(error, words), "\"%s\" does not say %s", error, words);
	cr_assert_not(verdict.accepted);
	cr_assert_null(verdict.reason);
}

Test(agent_verdict, no_json)
{
	_cleanup_free_ char *large = malloc(VERDICT_MAX_SIZE + 1);

	refused("", 0, -EBADMSG, "JSON");
	refused("accept", 6, -EBADMSG, "JSON");
	refused("\"accept\"", 8, -EBADMSG, "JSON");
	refused("{\"verdict\":\"accept\"", 19, -EBADMSG, "JSON");
	refused("{\"verdict\":\"accept\"}{}", 22, -EBADMSG, "JSON");
	refused("{\"verdict\":\"accept\"}\0", 21, -EBADMSG, "JSON");
	refused("{\"verdict\":\"accept\",}", 21, -EBADMSG, "JSON");
	refused("{\"verdict\":\"reject\",\"verdict\":\"accept\"}", 39, -EBADMSG, "twice");
	refused("{\"verdict\":\"accept\",\"reason\":\"\xff\"}", 33, -EBADMSG, "JSON");
	memset(large, ' ', VERDICT_MAX_SIZE + 1);
	memcpy(large, "{\"verdict\":\"accept\"}", 20);
	refused(large, VERDICT_MAX_SIZE + 1, -E2BIG, "65536");
}

/* The parser and the schema have one opinion. words: NULL: good. */
static void both(const char *text, const char *words)
{
	_cleanup_free_ char *error = NULL;
	Verdict verdict = { 0 };
	char why[256];
	bool allowed = testing_schema_allows("relying-party-verdict", text, why);
	int r = verdict_parse(&verdict, text, strlen(text), &error);

	free(verdict.reason);
	if (words)
		cr_assert(error && strstr(error, words), "\"%s\" does not say %s", error, words);
	cr_assert_eq(r == 0, !words, "%s: %s", text, error);
	cr_assert_eq(allowed, !words, "%s: the schema says %s", text, why);
}

Test(agent_verdict, members)
{
	both("{}", "\"verdict\" is missing");
	both("{\"verdict\":true}", "\"verdict\"");
	both("{\"verdict\":null}", "\"verdict\"");
	both("{\"verdict\":\"Accept\"}", "expected \"accept\"");
	both("{\"verdict\":\"\"}", "expected \"accept\"");
	both("{\"verdict\":\"accepted\"}", "expected \"accept\"");
	both("{\"verdict\":\"accept\",\"why\":\"x\"}", "\"why\"");
	both("{\"reason\":\"x\"}", "\"verdict\" is missing");
	both("{\"verdict\":\"reject\"}", "\"reason\" is missing");
}

Test(agent_verdict, reasons)
{
	both("{\"verdict\":\"reject\",\"reason\":\"\"}", "0 characters");
	both("{\"verdict\":\"reject\",\"reason\":null}", "\"reason\"");
	both("{\"verdict\":\"reject\",\"reason\":[\"x\"]}", "\"reason\"");
	both("{\"verdict\":\"reject\",\"reason\":\"a\\nb\"}", "control");
	both("{\"verdict\":\"reject\",\"reason\":\"a\\u001b[1m\"}", "control");
	both("{\"verdict\":\"reject\",\"reason\":\"a\\u007f\"}", "control");
	both("{\"verdict\":\"reject\",\"reason\":\"a\\u0085\"}", "control");
	both("{\"verdict\":\"reject\",\"reason\":\"" REASON "x\"}", "501 characters");
	both("{\"verdict\":\"accept\",\"reason\":\"" REASON "x\"}", "501 characters");
	/* Characters, not bytes. */
	both("{\"verdict\":\"reject\",\"reason\":\"" REASON "\"}", NULL);
	both("{\"verdict\":\"reject\",\"reason\":\"" TENS "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}",
	     NULL);
}

static void good(const char *text, bool accepted, const char *reason)
{
	Verdict verdict = { .accepted = !accepted };

	both(text, NULL);
	cr_assert_eq(verdict_parse(&verdict, text, strlen(text), NULL), 0);
	cr_assert_eq(verdict.accepted, accepted);
	if (reason)
		cr_assert_str_eq(verdict.reason, reason);
	else
		cr_assert_null(verdict.reason);
	free(verdict.reason);
}

Test(agent_verdict, good)
{
	good("{\"verdict\":\"accept\"}", true, NULL);
	good(" {\"reason\":\"as ever\", \"verdict\":\"accept\"} ", true, "as ever");
	good("{\"verdict\":\"reject\",\"reason\":\"no\"}", false, "no");
}
