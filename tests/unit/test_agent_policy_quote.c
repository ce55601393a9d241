/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/policy-quote.h"

#include "core/cleanup.h"
#include "rpc/json.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static PolicyQuote quote;
static char *why;

static int read_text(const char *text)
{
	_cleanup_(json_unrefp) json_object *object = NULL;

	free(why);
	why = NULL;
	cr_assert_eq(json_parse(&object, text, strlen(text), NULL), 0);
	return policy_quote_read(&quote, object, &why);
}

static void tear_down(void)
{
	free(why);
	why = NULL;
}

TestSuite(agent_policy_quote, .fini = tear_down);

Test(agent_policy_quote, bad)
{
	static const struct {
		const char *text, *about;
	} cases[] = {
		{ "{\"vsock\":7}", "vsock" },
		{ "{\"vsock\":\"\"}", "vsock: " },
		{ "{\"vsock\":\"host:4050\"}", "vsock: " },
		{ "{\"vsock\":\"2:\"}", "vsock: " },
		{ "{\"tcp\":\"localhost:4050\"}", "tcp: " },
		{ "{\"tcp\":\"10.0.2.2\"}", "tcp: " },
		{ "{\"timeout_ms\":99}", "timeout_ms" },
		{ "{\"timeout_ms\":600001}", "timeout_ms" },
		{ "{\"timeout_ms\":\"1\"}", "timeout_ms" },
		{ "{\"unix\":\"/run/qgs\"}", "unix" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		cr_expect_lt(read_text(cases[i].text), 0, "%s", cases[i].text);
		cr_expect(why && strstr(why, cases[i].about), "%s: %s", cases[i].text, why);
	}
}

Test(agent_policy_quote, nobody_is_asked_over_tcp_unless_the_owner_says_so)
{
	cr_assert_eq(read_text("{}"), 0);
	cr_assert_str_eq(quote.vsock.text, "vsock 2:4050");
	cr_assert_eq(quote.tcp.size, 0);
	cr_assert_eq(quote.timeout_ms, POLICY_QUOTE_USUAL_TIMEOUT_MS);
}

Test(agent_policy_quote, good)
{
	_cleanup_free_ char *said = NULL;
	size_t size;
	FILE *out;

	cr_assert_eq(read_text("{\"vsock\":\"3:4051\",\"tcp\":\"[::1]:1\",\"timeout_ms\":100}"), 0,
		     "%s", why);
	out = open_memstream(&said, &size);
	policy_quote_describe(&quote, out);
	fclose(out);
	cr_assert_str_eq(said, "quotes: from vsock 3:4051, then tcp [::1]:1, 100 ms each\n");
}
