/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hooks/reply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

/* On the heap at its exact size, so that the sanitizer sees a read beyond it. */
static char *text;
static Reply reply;

static int parse_sized(const char *data, size_t size)
{
	free(text);
	text = malloc(size ? size : 1);
	memcpy(text, data, size);
	reply = (Reply){ 0 };
	return reply_parse(text, size, &reply);
}

static int parse(const char *data)
{
	return parse_sized(data, strlen(data));
}

static void drop(void)
{
	free(text);
	text = NULL;
}

TestSuite(hook_reply, .fini = drop);

Test(hook_reply, malformed)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"[]",
		"null",
		"\"x\"",
		"{}}",
		"{} {}",
		"{,}",
		"{\"parameters\"}",
		"{\"parameters\":}",
		"{\"parameters\":{}",
		"{\"parameters\":{},}",
		"{\"parameters\":{}]",
		"{'parameters':{}}",
		"{\"parameters\":{\"a\":01}}",
		"{\"parameters\":{\"a\":-}}",
		"{\"parameters\":{\"a\":1.}}",
		"{\"parameters\":{\"a\":1e}}",
		"{\"parameters\":{\"a\":.5}}",
		"{\"parameters\":{\"a\":+1}}",
		"{\"parameters\":{\"a\":NaN}}",
		"{\"parameters\":{\"a\":tru}}",
		"{\"parameters\":{\"a\":[1,]}}",
		"{\"parameters\":{\"a\":[1}}",
		"{\"parameters\":{a:1}}",
		"{\"error\":\"x}",
		"{\"error\":\"x",
		"{\"error\":\"x\\",
		"{\"error\":\"x\\\"",
		"{\"error\":\"\\x\"}",
		"{\"error\":\"\\u12\"}",
		"{\"error\":\"\\u12g4\"}",
		"{\"error\":\"a\nb\"}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(parse(bad[i]), -EBADMSG, "%s", bad[i]);
}

Test(hook_reply, every_truncation)
{
	static const char good[] =
		"{\"error\":\"io.tdid.Hook.Refused\",\"parameters\":{\"message\":"
		"\"\\ud83d\\ude00\\n\",\"more\":[1.5e-3,{\"a\":null}]}}";

	for (size_t n = 0; n < sizeof(good) - 1; n++)
		cr_expect_eq(parse_sized(good, n), -EBADMSG, "%zu bytes", n);
	cr_expect_eq(parse(good), 0);
}

Test(hook_reply, oversize)
{
	static char big[REPLY_SIZE_MAX + 1];

	memset(big, ' ', sizeof(big));
	memcpy(big, "{}", 2);
	cr_expect_eq(parse_sized(big, sizeof(big)), -EBADMSG);
	cr_expect_eq(parse_sized(big, sizeof(big) - 1), 0);
}

Test(hook_reply, nested_too_deep)
{
	char deep[256], *p;

	for (int depth = REPLY_DEPTH_MAX - 2; depth <= REPLY_DEPTH_MAX - 1; depth++) {
		p = deep + sprintf(deep, "{\"parameters\":{\"a\":");
		for (int i = 0; i < depth; i++)
			*p++ = '[';
		for (int i = 0; i < depth; i++)
			*p++ = ']';
		strcpy(p, "}}");
		cr_expect_eq(parse(deep), depth < REPLY_DEPTH_MAX - 1 ? 0 : -EBADMSG, "%s", deep);
	}
}

Test(hook_reply, not_a_reply_of_ours)
{
	cr_expect_eq(parse("{\"method\":\"a.b.C\"}"), -EBADMSG);
	cr_expect_eq(parse("{\"parameters\":[]}"), -EBADMSG);
	cr_expect_eq(parse("{\"parameters\":null}"), -EBADMSG);
	cr_expect_eq(parse("{\"error\":null}"), -EBADMSG);
	cr_expect_eq(parse("{\"error\":1}"), -EBADMSG);
	cr_expect_eq(parse("{\"continues\":true,\"parameters\":{}}"), -EBADMSG);
	cr_expect_eq(parse("{\"error\":\"a.B\",\"parameters\":{\"message\":1}}"), -EBADMSG);
	cr_expect_eq(parse("{\"error\":\"a.B\",\"parameters\":{\"message\":null}}"), -EBADMSG);
}

Test(hook_reply, duplicates)
{
	cr_expect_eq(parse("{\"parameters\":{},\"parameters\":{}}"), -EBADMSG);
	cr_expect_eq(parse("{\"error\":\"a\",\"error\":\"b\"}"), -EBADMSG);
	cr_expect_eq(parse("{\"continues\":false,\"continues\":false}"), -EBADMSG);
	cr_expect_eq(parse("{\"parameters\":{\"message\":\"a\",\"message\":\"b\"}}"), -EBADMSG);
	cr_expect_eq(parse("{\"error\":\"a\",\"\\u0065rror\":\"b\"}"), -EBADMSG);
}

Test(hook_reply, not_text)
{
	static const char nul[] = "{\"error\":\"a\0b\"}";
	static const char *const bad[] = {
		"\\u0000",
		"\\ud800",
		"\\ud800x",
		"\\ud800\\u0041",
		"\\udc00",
		"\\udc00\\ud800",
		"\x80",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc3",
		"\xe0\x80\x80",
		"\xed\xa0\x80",
		"\xe2\x82",
		"\xf0\x80\x80\x80",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xe2\x28\xa1",
	};

	cr_expect_eq(parse_sized(nul, sizeof(nul) - 1), -EBADMSG);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char buffer[64];

		snprintf(buffer, sizeof(buffer), "{\"error\":\"%s\"}", bad[i]);
		cr_expect_eq(parse(buffer), -EBADMSG, "case %zu", i);
	}
}

Test(hook_reply, failure_leaves_the_result_alone)
{
	Reply before = { .error = "before" };
	char buffer[] = "{\"error\":\"x\"";

	cr_expect_eq(reply_parse(buffer, strlen(buffer), &before), -EBADMSG);
	cr_expect_str_eq(before.error, "before");
	cr_expect_null(before.message);
}

Test(hook_reply, success)
{
	static const char *const good[] = {
		"{}",
		"{\"parameters\":{}}",
		" {\r\n\t\"parameters\" : { } , \"continues\" : false } ",
		"{\"parameters\":{\"a\":[],\"b\":{\"message\":\"\"},\"c\":[-0,0.5,1E+9,true,null]}"
		"}",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_expect_eq(parse(good[i]), 0, "%s", good[i]);
		cr_expect_null(reply.error);
		cr_expect_null(reply.message);
	}
}

Test(hook_reply, refused)
{
	cr_expect_eq(parse("{\"parameters\":{\"message\":\"tvm0: no\"},"
			   "\"error\":\"io.tdid.Hook.Refused\"}"),
		     0);
	cr_expect_str_eq(reply.error, "io.tdid.Hook.Refused");
	cr_expect_str_eq(reply.message, "tvm0: no");

	cr_expect_eq(parse("{\"error\":\"org.varlink.service.MethodNotFound\"}"), 0);
	cr_expect_str_eq(reply.error, "org.varlink.service.MethodNotFound");
	cr_expect_null(reply.message);
}

Test(hook_reply, unescapes)
{
	cr_expect_eq(
		parse("{\"error\":\"\",\"parameters\":{\"message\":"
		      "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC\\ud83d\\ude00 \xc3\xa4"
		      "\xf0\x9f\x98\x80\"}}"),
		0);
	cr_expect_str_eq(reply.error, "");
	cr_expect_str_eq(reply.message, "\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 "
					"\xc3\xa4\xf0\x9f\x98\x80");
}
