/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/idl.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

static const char sample[] = "# A sample.\n"
			     "interface io.example-1.Sample\n"
			     "\n"
			     "type Colour (red, dark_green2) # trailing\n"
			     "type Node (name: string, children: ?[]Node)\n"
			     "method Set(\n"
			     "  on: bool, # comment inside\n"
			     "  number: ?int,\n"
			     "  ratio: ?float,\n"
			     "  any: ?object,\n"
			     "  colour: ?Colour,\n"
			     "  side: ?(left, right),\n"
			     "  tags: ?[]string,\n"
			     "  counts: ?[string]int,\n"
			     "  set: ?[string](),\n"
			     "  tree: ?Node,\n"
			     "  grid: ?[][](x: int),\n"
			     "  holes: ?[]?string\n"
			     ") -> (count: int)\n"
			     "method None() -> ()\n"
			     "error Bad (reason: string)\n"
			     "error Empty ()\n";

static IdlInterface *sample_new(void)
{
	_cleanup_free_ char *error = NULL;
	IdlInterface *interface = NULL;

	cr_assert_eq(idl_parse(&interface, sample, &error), 0, "%s", error);
	return interface;
}

Test(idl, refuses)
{
	static const char *const bad[] = {
		"",
		"interface",
		"interfaceio.a.B",
		"interface nodot",
		"interface .a.b",
		"interface a..b",
		"interface a.b.",
		"interface a.-b",
		"interface a-.b",
		"interface 1.b",
		"method M() -> ()",
		"interface a.b\nmethod",
		"interface a.b\nmethod m() -> ()",
		"interface a.b\nmethod M_x() -> ()",
		"interface a.b\nmethod M()",
		"interface a.b\nmethod M() - ()",
		"interface a.b\nmethod M() -> (",
		"interface a.b\nmethod M() -> )",
		"interface a.b\nmethod M(a) -> ()",
		"interface a.b\nmethod M() -> (a, b)",
		"interface a.b\nmethod M(a: int,) -> ()",
		"interface a.b\nmethod M(a: int b: int) -> ()",
		"interface a.b\nmethod M(a: int, a: int) -> ()",
		"interface a.b\nmethod M(a: int, b) -> ()",
		"interface a.b\nmethod M(a:) -> ()",
		"interface a.b\nmethod M(a: integer) -> ()",
		"interface a.b\nmethod M(a: in) -> ()",
		"interface a.b\nmethod M(a: ??int) -> ()",
		"interface a.b\nmethod M(a: []) -> ()",
		"interface a.b\nmethod M(a: [int]int) -> ()",
		"interface a.b\nmethod M(a: [5]int) -> ()",
		"interface a.b\nmethod M(a: Missing) -> ()",
		"interface a.b\nmethod M(a: []?(b: Missing)) -> ()",
		"interface a.b\nmethod M(_a: int) -> ()",
		"interface a.b\nmethod M(a_: int) -> ()",
		"interface a.b\nmethod M(a__b: int) -> ()",
		"interface a.b\nmethod M(1a: int) -> ()",
		"interface a.b\nmethod M(a: int) -> ()\nmethod M() -> ()",
		"interface a.b\ntype T (a: int)\nerror T ()",
		"interface a.b\ntype T int",
		"interface a.b\ntype T (a, b: int)",
		"interface a.b\ntype T (a, a)",
		"interface a.b\nerror E (a, b)",
		"interface a.b\nerror E",
		"interface a.b\nstruct T ()",
		"interface a.b\ninterface c.d",
		"interface a.b\n}",
		"interface a.b\n# \xff\n",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *error = NULL;
		IdlInterface *interface = NULL;

		cr_assert_eq(idl_parse(&interface, bad[i], &error), -EBADMSG, "accepted: %s",
			     bad[i]);
		cr_assert_null(interface);
		cr_assert_not_null(error, "%s", bad[i]);
	}
}

Test(idl, refuses_too_deep)
{
	for (unsigned depth = IDL_DEPTH_MAX - 1; depth <= IDL_DEPTH_MAX; depth++) {
		char text[256] = "interface a.b\nerror E (a: ";
		IdlInterface *interface = NULL;

		/* The error's struct and the int count too. */
		for (unsigned i = 0; i < depth - 1; i++)
			strcat(text, "[]");
		strcat(text, "int)");
		cr_assert_eq(idl_parse(&interface, text, NULL),
			     depth < IDL_DEPTH_MAX ? 0 : -EBADMSG);
		idl_free(interface);
	}
}

Test(idl, refuses_too_long)
{
	_cleanup_free_ char *text = malloc(IDL_TEXT_MAX + 2);
	IdlInterface *interface = NULL;

	memset(text, ' ', IDL_TEXT_MAX + 1);
	text[IDL_TEXT_MAX + 1] = '\0';
	cr_assert_eq(idl_parse(&interface, text, NULL), -E2BIG);
}

Test(idl, names_the_line)
{
	_cleanup_free_ char *error = NULL;
	IdlInterface *interface = NULL;

	cr_assert_eq(
		idl_parse(&interface, "# one\ninterface a.b\n\nmethod M(a: Gone) -> ()\n", &error),
		-EBADMSG);
	cr_assert_not_null(strstr(error, "line 4"), "%s", error);
	cr_assert_not_null(strstr(error, "Gone"), "%s", error);
}

Test(idl, model)
{
	_cleanup_(idl_freep) IdlInterface *interface = sample_new();

	cr_assert_str_eq(idl_name(interface), "io.example-1.Sample");
	cr_assert_str_eq(idl_text(interface), sample);
	cr_assert_str_eq(idl_method_at(interface, 0)->name, "Set");
	cr_assert_str_eq(idl_method_at(interface, 1)->name, "None");
	cr_assert_null(idl_method_at(interface, 2));
	cr_assert_null(idl_method_find(interface, "Bad"));
	cr_assert_null(idl_method_find(interface, "Colour"));
	cr_assert_null(idl_error_find(interface, "Set"));
	cr_assert_not_null(idl_error_find(interface, "Empty"));
}

/* `field` NULL: accepted. */
static void check(const char *text, const char *field)
{
	_cleanup_(idl_freep) IdlInterface *interface = sample_new();
	const IdlMethod *method = idl_method_find(interface, "Set");
	_cleanup_(json_unrefp) json_object *value = NULL;
	_cleanup_free_ char *found = NULL, *error = NULL;
	int r;

	cr_assert_eq(json_parse(&value, text, strlen(text), NULL), 0, "%s", text);
	r = idl_check(method->input, value, &found, &error);
	cr_assert_eq(r, field ? -EINVAL : 0, "%s: %s", text, error ? error : "accepted");
	if (!field)
		return;
	cr_assert_str_eq(found, field, "%s: %s", text, found);
	cr_assert_not_null(strstr(error, field), "%s: %s", text, error);
}

Test(idl, check_refuses)
{
	check("{}", "on");
	check("{\"on\":null}", "on");
	check("{\"on\":1}", "on");
	check("{\"on\":\"true\"}", "on");
	check("{\"on\":true,\"what\":1}", "what");
	check("{\"on\":true,\"what\":null}", "what");
	check("{\"on\":true,\"number\":1.0}", "number");
	check("{\"on\":true,\"number\":\"1\"}", "number");
	check("{\"on\":true,\"ratio\":true}", "ratio");
	check("{\"on\":true,\"any\":[]}", "any");
	check("{\"on\":true,\"colour\":\"blue\"}", "colour");
	check("{\"on\":true,\"colour\":\"\"}", "colour");
	check("{\"on\":true,\"colour\":0}", "colour");
	check("{\"on\":true,\"side\":\"red\"}", "side");
	check("{\"on\":true,\"tags\":\"a\"}", "tags");
	check("{\"on\":true,\"tags\":[\"a\",null]}", "tags[1]");
	check("{\"on\":true,\"tags\":[\"a\",\"b\",3]}", "tags[2]");
	check("{\"on\":true,\"counts\":[]}", "counts");
	check("{\"on\":true,\"counts\":{\"a\":1,\"b\":\"\"}}", "counts.b");
	check("{\"on\":true,\"set\":{\"a\":{\"b\":1}}}", "set.a.b");
	check("{\"on\":true,\"tree\":{}}", "tree.name");
	check("{\"on\":true,\"tree\":{\"name\":\"a\",\"children\":[{\"name\":\"b\",\"children\":[{"
	      "\"name\":1}]}]}}",
	      "tree.children[0].children[0].name");
	check("{\"on\":true,\"grid\":[[],[{\"x\":1},{\"x\":1,\"y\":2}]]}", "grid[1][1].y");
}

Test(idl, check_accepts)
{
	check("{\"on\":false}", NULL);
	check("{\"on\":true,\"number\":-9223372036854775808,\"ratio\":1,\"any\":{\"x\":[null]},"
	      "\"colour\":\"dark_green2\",\"side\":\"left\",\"tags\":[],\"counts\":{\"\":0},"
	      "\"set\":{\"a\":{}},\"tree\":{\"name\":\"a\",\"children\":null},\"grid\":[[{\"x\":1}]"
	      "],\"holes\":[null,\"a\"]}",
	      NULL);
	check("{\"on\":true,\"number\":null,\"tree\":null}", NULL);
}

Test(idl, check_without_a_value)
{
	_cleanup_(idl_freep) IdlInterface *interface = sample_new();
	_cleanup_free_ char *field = NULL;

	cr_assert_eq(idl_check(idl_method_find(interface, "None")->input, NULL, NULL, NULL), 0);
	cr_assert_eq(idl_check(idl_error_find(interface, "Bad"), NULL, &field, NULL), -EINVAL);
	cr_assert_str_eq(field, "reason");
}

Test(idl, check_bounds_values_built_here)
{
	_cleanup_(idl_freep) IdlInterface *interface = sample_new();
	json_object *tree = NULL;
	_cleanup_(json_unrefp) json_object *parameters = NULL;

	for (unsigned i = 0; i < JSON_DEPTH_MAX; i++) {
		json_object *children = NULL, *up = NULL;

		if (tree) {
			children = json_object_new_array();
			json_append_take(children, tree);
		}
		cr_assert_eq(json_build(&up, J_STRING("name", "n"), J_TAKE("children", children)),
			     0);
		tree = up;
	}
	cr_assert_eq(json_build(&parameters, J_BOOL("on", true), J_TAKE("tree", tree)), 0);
	cr_assert_eq(idl_check(idl_method_find(interface, "Set")->input, parameters, NULL, NULL),
		     -EINVAL);
}
