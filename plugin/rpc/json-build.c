/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The building and formatting half of json.h. */
#include "rpc/json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* What we send has to pass the peer's json_parse: so no string that is not UTF-8. */
static int new_string(json_object **ret, const char *value)
{
	size_t len = strlen(value);

	if (len > INT_MAX || !json_utf8_valid(value, len))
		return -EINVAL;
	*ret = json_object_new_string_len(value, (int)len);
	return *ret ? 0 : -ENOMEM;
}

int json_add_take(json_object *object, const char *name, json_object *value)
{
	if (!value)
		return 0;
	if (json_object_object_add(object, name, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int json_add_string(json_object *object, const char *name, const char *value)
{
	json_object *string = NULL;
	int r;

	if (!value)
		return 0;
	r = new_string(&string, value);
	return r < 0 ? r : json_add_take(object, name, string);
}

int json_add_int(json_object *object, const char *name, int64_t value)
{
	json_object *number = json_object_new_int64(value);

	return number ? json_add_take(object, name, number) : -ENOMEM;
}

int json_add_bool(json_object *object, const char *name, bool value)
{
	json_object *boolean = json_object_new_boolean(value);

	return boolean ? json_add_take(object, name, boolean) : -ENOMEM;
}

int json_append_take(json_object *array, json_object *value)
{
	if (!value)
		return 0;
	if (json_object_array_add(array, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

int json_append_string(json_object *array, const char *value)
{
	json_object *string = NULL;
	int r;

	if (!value)
		return 0;
	r = new_string(&string, value);
	return r < 0 ? r : json_append_take(array, string);
}

static int add_member(json_object *object, const JsonMember *m)
{
	switch (m->kind) {
	case JSON_MEMBER_STRING: return json_add_string(object, m->name, m->string);
	case JSON_MEMBER_INT: return json_add_int(object, m->name, m->integer);
	case JSON_MEMBER_BOOL: return json_add_bool(object, m->name, m->boolean);
	case JSON_MEMBER_REF: return json_add_take(object, m->name, json_object_get(m->object));
	case JSON_MEMBER_TAKE: return json_add_take(object, m->name, m->object);
	case JSON_MEMBER_SKIP:
	case JSON_MEMBER_END: break;
	}
	return 0;
}

int json_build_members(json_object **ret, const JsonMember *members)
{
	_cleanup_(json_unrefp) json_object *object = json_object_new_object();
	int r = object ? 0 : -ENOMEM;

	for (const JsonMember *m = members; m->kind != JSON_MEMBER_END; m++) {
		if (r == 0)
			r = add_member(object, m);
		else if (m->kind == JSON_MEMBER_TAKE)
			json_object_put(m->object);
	}
	if (r == 0)
		*ret = steal_ptr(object);
	return r;
}

int json_format(char **ret, size_t *ret_len, json_object *object)
{
	/* json-c keeps this text inside the object; the caller gets a copy of its own. */
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *copy;

	if (!text)
		return -ENOMEM;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	if (ret_len)
		*ret_len = strlen(copy);
	*ret = copy;
	return 0;
}
