/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/json.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static int parse(const char *text)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ char *error = NULL;
	int r = json_parse(&object, text, strlen(text), &error);

	if (r < 0) {
		cr_assert_null(object, "%s", text);
		cr_assert_not_null(error, "no sentence for %s", text);
	} else {
		cr_assert_not_null(object, "%s", text);
		cr_assert_null(error, "%s", text);
	}
	return r;
}

Test(json, refuses_malformed)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":1",
		"{\"a\":1,",
		"{\"a\":1,}",
		"{,}",
		"{\"a\" 1}",
		"{a:1}",
		"{'a':1}",
		"{\"a\":'b'}",
		"{1:2}",
		"{\"a\":1}}",
		"{\"a\":1}{}",
		"{} x",
		"[]",
		"null",
		"1",
		"\"a\"",
		"{\"a\":[1,]}",
		"{\"a\":[1 2]}",
		"{\"a\":[}",
		"{\"a\":]}",
		"{/*c*/}",
		"{} //c",
		"{\"a\":NaN}",
		"{\"a\":nan}",
		"{\"a\":Infinity}",
		"{\"a\":-Infinity}",
		"{\"a\":True}",
		"{\"a\":nul}",
		"{\"a\":tru}",
		"{\"a\":01}",
		"{\"a\":-01}",
		"{\"a\":+1}",
		"{\"a\":-}",
		"{\"a\":.5}",
		"{\"a\":1.}",
		"{\"a\":1e}",
		"{\"a\":1e+}",
		"{\"a\":0x10}",
		"{\"a\":9223372036854775808}",
		"{\"a\":-9223372036854775809}",
		"{\"a\":99999999999999999999999999}",
		"{\"a\":1e400}",
		"{\"a\":[{\"b\":-1e999}]}",
		"{\"a\":\"x}",
		"{\"a\":\"\t\"}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"\\u0000\":1}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\ud800\\u0041\"}",
		"{\"a\":\"\\ud800x\"}",
		"{\"a\":\"\\udc00\"}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xc0\x80\"}",
		"{\"a\":\"\xe0\x80\xaf\"}",
		"{\"a\":\"\xed\xa0\x80\"}",
		"{\"a\":\"\xf4\x90\x80\x80\"}",
		"{\"a\":\"\xc3\"}",
		"{\"\x80\":1}",
		"\xef\xbb\xbf{}",
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"a\":{\"b\":1,\"c\":2,\"b\":3}}",
		"{\"a\":[{},{\"b\":1,\"b\":1}]}",
		"{\"a\":{\"b\":1},\"a\":{\"b\":1,\"c\":1}}",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_assert_eq(parse(bad[i]), -EBADMSG, "accepted: %s", bad[i]);
}

Test(json, refuses_nul_bytes)
{
	json_object *object = NULL;

	cr_assert_eq(json_parse(&object, "{}\0", 3, NULL), -EBADMSG);
	cr_assert_eq(json_parse(&object, "{\"a\":\"\0\"}", 9, NULL), -EBADMSG);
	cr_assert_eq(json_parse(&object, "\0{}", 3, NULL), -EBADMSG);
	cr_assert_null(object);
}

Test(json, refuses_too_deep_and_too_long)
{
	char text[256] = "";
	json_object *object = NULL;

	for (unsigned depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
		size_t n = 0;

		n += (size_t)sprintf(text, "{\"a\":");
		for (unsigned i = 1; i < depth; i++)
			text[n++] = '[';
		text[n++] = '1';
		for (unsigned i = 1; i < depth; i++)
			text[n++] = ']';
		text[n++] = '}';
		text[n] = '\0';
		cr_assert_eq(parse(text), depth <= JSON_DEPTH_MAX ? 0 : -E2BIG);
	}
	/* A wide one is not a deep one. */
	cr_assert_eq(parse("{\"a\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],"
			   "[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]}"),
		     0);
	cr_assert_eq(json_parse_limited(&object, "{ }", 3, 2, NULL), -E2BIG);
	cr_assert_null(object);
	cr_assert_eq(json_parse_limited(&object, "{ }", 3, 3, NULL), 0);
	json_object_put(object);
}

Test(json, refuses_every_prefix)
{
	static const char text[] =
		"{\"a\":[1,-2.5e+3,true,false,null,\"\\ud83d\\ude00\xc3\xa4\"],\"b\":{}}";

	for (size_t len = 0; len < strlen(text); len++) {
		/* An exact allocation, so that reading behind it is seen. */
		_cleanup_free_ char *prefix = malloc(len ? len : 1);
		json_object *object = NULL;

		memcpy(prefix, text, len);
		cr_assert_eq(json_parse(&object, prefix, len, NULL), -EBADMSG, "prefix of %zu",
			     len);
	}
	cr_assert_eq(parse(text), 0);
}

Test(json, accepts_what_the_rfc_allows)
{
	static const char *const good[] = {
		"{}",
		" \t\r\n{ } \n",
		"{\"\":0}",
		"{\"a\":-0}",
		"{\"a\":0.0,\"b\":-0.0,\"c\":1E5,\"d\":1e-5,\"e\":1.25e+2}",
		"{\"a\":9223372036854775807,\"b\":-9223372036854775808}",
		"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00\"}",
		"{\"a\":\"\xf0\x9f\x98\x80\xed\x9f\xbf\"}",
		"{\"a\":{\"a\":{\"a\":[{\"a\":1},{\"a\":1}]}}}",
	};

	for (size_t i = 0; i < ELEMENTSOF(good); i++)
		cr_assert_eq(parse(good[i]), 0, "refused: %s", good[i]);
}

typedef struct Sample {
	const char *name;
	bool enabled;
	int64_t offset;
	uint32_t count;
	double ratio;
	json_object *list, *more;
} Sample;

static const JsonField sample_fields[] = {
	{ "name", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(Sample, name) },
	{ "enabled", JSON_FIELD_BOOL, JSON_NULLABLE, offsetof(Sample, enabled) },
	{ "offset", JSON_FIELD_INT, 0, offsetof(Sample, offset), -5, 5 },
	{ "count", JSON_FIELD_U32, 0, offsetof(Sample, count) },
	{ "ratio", JSON_FIELD_DOUBLE, 0, offsetof(Sample, ratio) },
	{ "list", JSON_FIELD_ARRAY, 0, offsetof(Sample, list) },
	{ "more", JSON_FIELD_OBJECT, 0, offsetof(Sample, more) },
	{ NULL },
};

static void expect_refusal(const char *text, const char *word)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ char *error = NULL;
	Sample sample = { 0 };

	cr_assert_eq(json_parse(&object, text, strlen(text), NULL), 0, "%s", text);
	cr_assert_eq(json_dispatch(object, sample_fields, &sample, 0, &error), -EINVAL, "%s", text);
	cr_assert_not_null(strstr(error, word), "%s: %s", text, error);
}

Test(json, dispatch_refuses)
{
	expect_refusal("{}", "\"name\" is missing");
	expect_refusal("{\"name\":null}", "\"name\"");
	expect_refusal("{\"name\":1}", "\"name\"");
	expect_refusal("{\"name\":\"\",\"what\":1}", "\"what\" is not known");
	expect_refusal("{\"name\":\"\",\"\\u001b[2J\":1}", "\"(not printable)\" is not known");
	expect_refusal("{\"name\":\"\",\"enabled\":1}", "\"enabled\"");
	expect_refusal("{\"name\":\"\",\"offset\":6}", "\"offset\" is 6, must be from -5 to 5");
	expect_refusal("{\"name\":\"\",\"offset\":-6}", "\"offset\"");
	expect_refusal("{\"name\":\"\",\"offset\":1.0}", "\"offset\"");
	expect_refusal("{\"name\":\"\",\"offset\":null}", "\"offset\"");
	expect_refusal("{\"name\":\"\",\"count\":-1}", "\"count\"");
	expect_refusal("{\"name\":\"\",\"count\":4294967296}", "\"count\"");
	expect_refusal("{\"name\":\"\",\"ratio\":\"1\"}", "\"ratio\"");
	expect_refusal("{\"name\":\"\",\"list\":{}}", "\"list\"");
	expect_refusal("{\"name\":\"\",\"more\":[]}", "\"more\"");
	cr_assert_eq(json_dispatch(NULL, sample_fields, &(Sample){ 0 }, 0, NULL), -EINVAL);
}

Test(json, shows_what_can_be_shown)
{
	char text[JSON_SHOWN_MAX + 2];

	memset(text, 'a', sizeof(text));
	text[JSON_SHOWN_MAX + 1] = '\0';
	cr_assert_str_eq(json_shown(text), "(too long to show)");
	text[JSON_SHOWN_MAX] = '\0';
	cr_assert_str_eq(json_shown(text), text);
	cr_assert_str_eq(json_shown("a\nb"), "(not printable)");
	cr_assert_str_eq(json_shown("\x7f"), "(not printable)");
	cr_assert_str_eq(json_shown("\xc2\x9b"), "(not printable)");
	cr_assert_str_eq(json_shown("\xc2\xa0\xc3\xa4"), "\xc2\xa0\xc3\xa4");
	cr_assert_str_eq(json_shown(""), "");
}

Test(json, dispatch_reads)
{
	static const char text[] = "{\"name\":\"n\",\"enabled\":null,\"offset\":-5,\"count\":"
				   "4294967295,\"ratio\":2,\"list\":[],\"more\":{},\"x\":0}";
	_cleanup_(json_unrefp) json_object *object = NULL;
	Sample sample = { .enabled = true };

	cr_assert_eq(json_parse(&object, text, strlen(text), NULL), 0);
	cr_assert_eq(json_dispatch(object, sample_fields, &sample, JSON_ALLOW_UNKNOWN, NULL), 0);
	cr_assert_str_eq(sample.name, "n");
	cr_assert(sample.enabled, "null must leave the default");
	cr_assert_eq(sample.offset, -5);
	cr_assert_eq(sample.count, UINT32_MAX);
	cr_assert_eq(sample.ratio, 2.0);
	cr_assert_not_null(sample.list);
	cr_assert_not_null(sample.more);
	cr_assert_null(json_get_string(object, "offset"));
	cr_assert_null(json_get_string(object, "absent"));
	cr_assert_str_eq(json_get_string(object, "name"), "n");
	cr_assert_eq(json_get_int(object, "name", 7), 7);
	cr_assert_eq(json_get_int(object, "offset", 7), -5);
	cr_assert(json_get_bool(object, "enabled", true));
	cr_assert_null(json_get_object(object, "list"));
	cr_assert_null(json_get_array(object, "more"));
}

Test(json, build_refuses_what_the_peer_would)
{
	json_object *object = NULL, *taken = json_object_new_object(),
		    *held = json_object_get(taken);

	/* `taken` is released though it stands behind the mistake. */
	cr_assert_eq(json_build(&object, J_STRING("a", "\xff"), J_TAKE("b", taken)), -EINVAL);
	cr_assert_null(object);
	cr_assert_eq(json_object_put(held), 1, "a reference has leaked");
}

Test(json, build_and_format)
{
	_cleanup_(json_unrefp) json_object *object = NULL, *list = json_object_new_array();
	_cleanup_free_ char *text = NULL;
	size_t len = 0;

	cr_assert_eq(json_append_string(list, "\xc3\xa4/\n"), 0);
	cr_assert_eq(json_append_string(list, NULL), 0);
	cr_assert_eq(json_append_take(list, NULL), 0);
	cr_assert_eq(json_build(&object, J_STRING("z", "1"), J_STRING("none", NULL),
				J_INT("a", INT64_MIN), J_BOOL("b", false), J_INT_IF(false, "x", 1),
				J_BOOL_IF(true, "y", true), J_REF("list", list),
				J_TAKE("gone", NULL)),
		     0);
	cr_assert_eq(json_format(&text, &len, object), 0);
	cr_assert_str_eq(text, "{\"z\":\"1\",\"a\":-9223372036854775808,\"b\":false,\"y\":true,"
			       "\"list\":[\"\xc3\xa4/\\n\"]}");
	cr_assert_eq(len, strlen(text));
	cr_assert_eq(parse(text), 0);
}
