/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/config.h"

#include "testing-schema.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define UP "\"upstreams\":[\"unix:/run/qgs\"]"

Test(quote_config, bad)
{
	static const struct {
		const char *text, *about;
	} cases[] = {
		{ "", "" },
		{ "{}", "upstreams" },
		{ "{\"upstreams\":[]}", "upstreams: at least one" },
		{ "{\"upstreams\":\"unix:/run/qgs\"}", "upstreams" },
		{ "{\"upstreams\":[7]}", "upstreams[0]: neither" },
		{ "{\"upstreams\":[\"qgs\"]}", "begins with unix:" },
		{ "{\"upstreams\":[{}]}", "upstreams[0]: " },
		{ "{\"upstreams\":[\"vsock:4050\"]}",
		  "upstreams[0]: \"vsock:4050\": which machine's?" },
		{ "{\"upstreams\":[{\"address\":\"vsock:4294967295:1\"}]}", "which machine's?" },
		{ "{\"upstreams\":[{\"address\":\"unix:/x\",\"parallel\":0}]}", "parallel" },
		{ "{\"upstreams\":[{\"address\":\"unix:/x\",\"other\":0}]}", "other" },
		{ "{\"upstreams\":[\"unix:/x\",\"unix:/x\"]}",
		  "upstreams[1]: unix:/x is listed twice" },
		{ "{" UP ",\"unknown\":1}", "unknown" },
		{ "{" UP ",\"listen\":[\"unix:/x\"]}",
		  "listen[0]: a unix socket is a domain's own" },
		{ "{" UP ",\"listen\":[1]}", "listen[0]: not an address" },
		{ "{" UP ",\"listen\":[\"tcp:localhost:1\"]}", "numeric host" },
		{ "{" UP ",\"sockets\":\"relative\"}", "sockets" },
		{ "{" UP ",\"sockets\":\"/run/quote\"}",
		  "sockets: \"/run/quote\" is not below /run/tdid/" },
		{ "{" UP ",\"sockets\":\"/run/tdid-quote\"}", "is not below /run/tdid/" },
		{ "{" UP ",\"control\":\"\"}", "control" },
		{ "{" UP ",\"control\":\"/run/tdid/quote-control\"}",
		  "control: \"/run/tdid/quote-control\": tdid looks for a socket of the name "
		  "io.tdid.Quote" },
		{ "{" UP ",\"records\":\"x\"}", "records" },
		{ "{" UP ",\"allow_uids\":[\"no-such-user-here\"]}", "allow_uids[0]" },
		{ "{" UP ",\"rate_per_second\":4}", "rate_per_second" },
		{ "{" UP ",\"collateral\":1}", "collateral" },
		{ "{\"upstreams\":[\"vsock:2:4050\"],\"listen\":[\"vsock:4050\"]}",
		  "upstreams[0]: vsock:2:4050 is where tdi-quoted itself listens (listen[0])" },
		{ "{\"upstreams\":[\"vsock:1:4050\"],\"listen\":[\"vsock:1:4050\"]}",
		  "itself listens" },
		{ "{\"upstreams\":[\"tcp:127.0.0.1:1\"],\"listen\":[\"tcp:0.0.0.0:1\"]}",
		  "itself listens" },
		{ "{\"upstreams\":[\"tcp:[::1]:1\"],\"listen\":[\"tcp:127.0.0.2:2\",\"tcp:[::]:1\"]"
		  "}",
		  "(listen[1])" },
		{ "{\"upstreams\":[\"tcp:[::ffff:127.0.0.1]:1\"],\"listen\":[\"tcp:127.0.0.1:1\"]}",
		  "itself listens" },
		{ "{\"upstreams\":[\"tcp:10.0.0.1:1\"],\"listen\":[\"tcp:10.0.0.1:1\"]}",
		  "itself" },
		{ "{" UP ",\"burst\":15}", "burst" },
		{ "{" UP ",\"in_flight\":15}", "in_flight" },
		{ "{" UP ",\"in_flight\":1025}", "in_flight" },
		{ "{" UP ",\"deadline_ms\":20001}", "deadline_ms" },
		{ "{" UP ",\"deadline_ms\":9}", "deadline_ms" },
		{ "{" UP ",\"deadline_ms\":5000,\"attempt_ms\":5001}", "attempt_ms: longer" },
		{ "{" UP ",\"deadline_ms\":20000,\"silence_ms\":2001}",
		  "silence_ms and deadline_ms: more than 22 s" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_free_ char *error = NULL;
		Config *config = NULL;

		cr_expect_lt(config_parse(&config, cases[i].text, strlen(cases[i].text), &error), 0,
			     "%s", cases[i].text);
		cr_expect(error && strstr(error, cases[i].about), "%s: %s", cases[i].text, error);
		cr_expect_null(config);
	}
}

Test(quote_config, too_long_a_directory)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;
	char text[256];

	snprintf(text, sizeof(text), "{" UP ",\"sockets\":\"/run/tdid/%056d\"}", 0);
	cr_assert_eq(config_parse(&config, text, strlen(text), &error), -EINVAL);
	cr_assert(strstr(error, "leaves no room"), "%s", error);
	snprintf(text, sizeof(text), "{" UP ",\"sockets\":\"/run/tdid/%055d\"}", 0);
	cr_assert_eq(config_parse(&config, text, strlen(text), NULL), 0);
}

/* Another machine's, or another port: no loop. */
Test(quote_config, upstreams_elsewhere)
{
	static const char text[] = "{\"upstreams\":[\"vsock:3:4050\",\"tcp:10.0.0.1:4050\","
				   "\"tcp:127.0.0.1:4051\",\"unix:/q\"],"
				   "\"listen\":[\"vsock:4050\",\"tcp:127.0.0.1:4050\"]}";
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(config_parse(&config, text, strlen(text), &error), 0, "%s", error);
}

Test(quote_config, defaults)
{
	_cleanup_(config_freep) Config *config = NULL;

	cr_assert_eq(config_parse(&config, "{" UP "}", strlen("{" UP "}"), NULL), 0);
	cr_assert_str_eq(config->sockets, "/run/tdid/quote");
	cr_assert_str_eq(config->control, "/run/tdid/io.tdid.Quote");
	cr_assert_str_eq(config->upstreams[0].name, "unix:/run/qgs");
	cr_assert_eq(config->upstreams[0].parallel, 4);
	cr_assert_eq(config->n_upstreams, 1);
	cr_assert_eq(config->n_listen, 0);
	cr_assert_eq(config->limits.in_flight, 16);
	/* The guest gives up after 30 s. */
	cr_assert_leq(config->deadline_usec, 25000000);
	cr_assert_lt(config->attempt_usec, config->deadline_usec / 2, "time for another");
}

Test(quote_config, example)
{
	_cleanup_(config_freep) Config *config = NULL;
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(config_load(&config, TESTING_REPOSITORY "/examples/tdi-quoted.conf", &error),
		     0, "%s", error);
	cr_assert_gt(config->n_upstreams, 0);
	cr_assert_gt(config->n_listen, 0);
}

static const char *const documents[] = {
	"{" UP "}",
	"{\"upstreams\":[\"tcp:[::1]:4050\",\"vsock:2:4050\",{\"address\":\"unix:/q\","
	"\"parallel\":1}]}",
	"{" UP ",\"listen\":[\"vsock:4050\",\"vsock:1:2\",\"tcp:0.0.0.0:1\"]}",
	"{" UP ",\"allow_uids\":[0,\"root\",4294967294],\"collateral\":true}",
	"{" UP ",\"sockets\":\"/run/tdid\",\"control\":\"/run/other/io.tdid.Quote\"}",
	"{" UP ",\"sockets\":\"/x/run/tdid/y/\",\"control\":\"/io.tdid.Quote\"}",
	"{" UP ",\"sockets\":\"/run/quote\"}",
	"{" UP ",\"sockets\":\"/run/tdid2\"}",
	"{" UP ",\"control\":\"/run/tdid/control\"}",
	"{" UP ",\"control\":\"/run/tdid/io.tdid.Quote2\"}",
	"{" UP ",\"deadline_ms\":10,\"attempt_ms\":10,\"silence_ms\":10,\"check_ms\":3600000}",
	"{}",
	"{\"upstreams\":[]}",
	"{\"upstreams\":[7]}",
	"{\"upstreams\":[\"/q\"]}",
	"{\"upstreams\":[\"unix:q\"]}",
	"{\"upstreams\":[\"vsock:4050\"]}",
	"{\"upstreams\":[\"vsock:2:0\"]}",
	"{\"upstreams\":[\"tcp:localhost:1\"]}",
	"{\"upstreams\":[\"tcp:127.0.0.1:65535\",\"tcp:255.0.10.199:0443\"]}",
	"{\"upstreams\":[\"tcp:127.0.0.1:65536\"]}",
	"{\"upstreams\":[\"tcp:127.0.0.256:1\"]}",
	"{" UP ",\"listen\":[\"tcp:localhost:1\"]}",
	"{" UP ",\"listen\":[\"tcp:127.0.0.1:0\"]}",
	"{" UP ",\"listen\":[\"tcp:::1:1\"]}",
	"{" UP ",\"listen\":[\"vsock:0\"]}",
	"{" UP ",\"listen\":[\"tcp:[::]:4050\",\"vsock:4294967295:1\"]}",
	"{\"upstreams\":[{\"parallel\":1}]}",
	"{\"upstreams\":[{\"address\":\"unix:/q\",\"parallel\":1025}]}",
	"{\"upstreams\":[{\"address\":\"unix:/q\",\"more\":1}]}",
	"{" UP ",\"listen\":[\"unix:/l\"]}",
	"{" UP ",\"listen\":\"vsock:1\"}",
	"{" UP ",\"sockets\":\"s\"}",
	"{" UP ",\"control\":7}",
	"{" UP ",\"allow_uids\":[-1]}",
	"{" UP ",\"allow_uids\":[4294967295]}",
	"{" UP ",\"rate_per_second\":4}",
	"{" UP ",\"collateral\":\"no\"}",
	"{" UP ",\"burst\":100001}",
	"{" UP ",\"in_flight\":15}",
	"{" UP ",\"deadline_ms\":20001}",
	"{" UP ",\"check_ms\":9}",
	"{" UP ",\"other\":9}",
};

/* schemas/tdi-quoted-conf.schema.json and the parser are of one mind. */
Test(quote_config, schema)
{
	static char said[ELEMENTSOF(documents)][256];
	bool allowed[ELEMENTSOF(documents)];
	size_t taken = 0;

	testing_schema_judge("tdi-quoted-conf", documents, ELEMENTSOF(documents), allowed, said);
	for (size_t i = 0; i < ELEMENTSOF(documents); i++) {
		_cleanup_(config_freep) Config *config = NULL;
		_cleanup_free_ char *why = NULL;
		bool good = config_parse(&config, documents[i], strlen(documents[i]), &why) == 0;

		cr_expect_eq(allowed[i], good, "%s: the schema says %s; the parser %s",
			     documents[i], said[i], good ? "takes it" : why);
		taken += good;
	}
	cr_assert_eq(taken, 9);
}
