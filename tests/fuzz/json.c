/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON text to an object and back, and reading by table. */
#include "rpc/json.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

typedef struct Members {
	const char *string;
	bool boolean;
	int64_t integer;
	uint32_t u32;
	double real;
	json_object *array, *object;
} Members;

static const JsonField fields[] = {
	{ "string", JSON_FIELD_STRING, JSON_NULLABLE, offsetof(Members, string) },
	{ "bool", JSON_FIELD_BOOL, 0, offsetof(Members, boolean) },
	{ "int", JSON_FIELD_INT, JSON_REQUIRED, offsetof(Members, integer), -5, 5 },
	{ "u32", JSON_FIELD_U32, 0, offsetof(Members, u32) },
	{ "double", JSON_FIELD_DOUBLE, 0, offsetof(Members, real) },
	{ "array", JSON_FIELD_ARRAY, 0, offsetof(Members, array) },
	{ "object", JSON_FIELD_OBJECT, JSON_NULLABLE, offsetof(Members, object) },
	{},
};

static void check_dispatch(json_object *object)
{
	Members m = {};
	char *error = NULL;

	if (!fuzz_good(json_dispatch(object, fields, &m, 0, &error), error))
		return;
	CHECK(m.integer >= -5 && m.integer <= 5);
	CHECK(!m.array || json_object_is_type(m.array, json_type_array));
	CHECK(!m.object || json_object_is_type(m.object, json_type_object));
	CHECK(m.string == json_get_string(object, "string"));
	CHECK(m.integer == json_get_int(object, "int", 99));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(json_unrefp) json_object *object = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL, *text_again = NULL;
	char *error = NULL;
	size_t n, m;

	if (!fuzz_good(json_parse(&object, (const char *)data, size, &error), error))
		return false;
	CHECK(json_utf8_valid((const char *)data, size));
	CHECK(json_parse_limited(&again, (const char *)data, size, size - 1, NULL) == -E2BIG);
	CHECK(json_format(&text, &n, object) == 0 && n == strlen(text));
	CHECK(json_parse(&again, text, n, NULL) == 0);
	CHECK(json_object_equal(object, again));
	CHECK(json_format(&text_again, &m, again) == 0 && strcmp(text, text_again) == 0);
	check_dispatch(object);
	return true;
}
