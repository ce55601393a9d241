/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/json.h"

#include "rpc/error.h"
#include "rpc/json-scan.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static inline json_tokener *tokener_free(json_tokener *tokener)
{
	json_tokener_free(tokener);
	return NULL;
}

DEFINE_CLEANUP(json_tokener, tokener_free);

bool json_utf8_valid(const char *text, size_t len)
{
	while (len > 0) {
		size_t n = json_utf8_length(text, len);

		if (n == 0)
			return false;
		text += n;
		len -= n;
	}
	return true;
}

/* Counts the members of all objects below `value`; -EBADMSG at a number too large for double. */
static int count_members(json_object *value, size_t *members)
{
	size_t n = 0;
	int r = 0;

	switch (json_object_get_type(value)) {
	case json_type_object: {
		json_object_object_foreach(value, name, member)
		{
			(void)name;
			(*members)++;
			r = count_members(member, members);
			if (r < 0)
				return r;
		}
		return 0;
	}
	case json_type_array:
		n = json_object_array_length(value);
		for (size_t i = 0; i < n && r == 0; i++)
			r = count_members(json_object_array_get_idx(value, i), members);
		return r;
	case json_type_double: return isfinite(json_object_get_double(value)) ? 0 : -EBADMSG;
	default: return 0;
	}
}

int json_parse_limited(json_object **ret, const char *text, size_t len, size_t limit,
		       char **ret_error)
{
	_cleanup_(tokener_freep) json_tokener *tokener = NULL;
	_cleanup_(json_unrefp) json_object *object = NULL;
	size_t members = 0;
	JsonScan scan;
	int r;

	if (len > limit || len > JSON_SIZE_MAX)
		return error_set(ret_error, -E2BIG, "JSON: %zu bytes, more than the limit of %zu",
				 len, limit < JSON_SIZE_MAX ? limit : (size_t)JSON_SIZE_MAX);
	r = json_scan(&scan, text, len, ret_error);
	if (r < 0)
		return r;

	/* The scan has bounded the depth; json-c wants a level more than it builds. */
	tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, text + scan.start, (int)(scan.end - scan.start));
	if (!object)
		return error_set(ret_error, -EBADMSG, "JSON: %s",
				 json_tokener_error_desc(json_tokener_get_error(tokener)));

	r = count_members(object, &members);
	if (r < 0)
		return error_set(ret_error, r, "JSON: a number is out of range");
	if (members != scan.members)
		return error_set(ret_error, -EBADMSG,
				 "JSON: a member name occurs twice in an object");
	*ret = steal_ptr(object);
	return 0;
}

int json_parse(json_object **ret, const char *text, size_t len, char **ret_error)
{
	return json_parse_limited(ret, text, len, JSON_SIZE_MAX, ret_error);
}

const char *json_shown(const char *text)
{
	size_t n = strnlen(text, JSON_SHOWN_MAX + 1);

	/* C0, DEL, and C1 as UTF-8 has it. */
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f))
			return "(not printable)";
	}
	return n > JSON_SHOWN_MAX ? "(too long to show)" : text;
}

/* --- reading by table --- */

static int refuse_kind(const JsonField *field, const char *wanted, char **ret_error)
{
	return error_set(ret_error, -EINVAL, "\"%s\" must be %s", field->name, wanted);
}

static int dispatch_int(json_object *value, const JsonField *field, void *target, char **ret_error)
{
	int64_t min = field->min, max = field->max, v;

	if (!json_object_is_type(value, json_type_int))
		return refuse_kind(field, "an integer", ret_error);
	if (min == 0 && max == 0) {
		min = field->type == JSON_FIELD_U32 ? 0 : INT64_MIN;
		max = field->type == JSON_FIELD_U32 ? UINT32_MAX : INT64_MAX;
	}
	v = json_object_get_int64(value);
	if (v < min || v > max)
		return error_set(ret_error, -EINVAL,
				 "\"%s\" is %" PRIi64 ", must be from %" PRIi64 " to %" PRIi64,
				 field->name, v, min, max);
	if (field->type == JSON_FIELD_U32)
		*(uint32_t *)target = (uint32_t)v;
	else
		*(int64_t *)target = v;
	return 0;
}

static int dispatch_value(json_object *value, const JsonField *field, void *target,
			  char **ret_error)
{
	switch (field->type) {
	case JSON_FIELD_STRING:
		if (!json_object_is_type(value, json_type_string))
			return refuse_kind(field, "a string", ret_error);
		*(const char **)target = json_object_get_string(value);
		return 0;
	case JSON_FIELD_BOOL:
		if (!json_object_is_type(value, json_type_boolean))
			return refuse_kind(field, "true or false", ret_error);
		*(bool *)target = json_object_get_boolean(value);
		return 0;
	case JSON_FIELD_INT:
	case JSON_FIELD_U32: return dispatch_int(value, field, target, ret_error);
	case JSON_FIELD_DOUBLE:
		if (!json_object_is_type(value, json_type_double) &&
		    !json_object_is_type(value, json_type_int))
			return refuse_kind(field, "a number", ret_error);
		*(double *)target = json_object_get_double(value);
		return 0;
	case JSON_FIELD_ARRAY:
		if (!json_object_is_type(value, json_type_array))
			return refuse_kind(field, "an array", ret_error);
		*(json_object **)target = value;
		return 0;
	case JSON_FIELD_OBJECT:
		if (!json_object_is_type(value, json_type_object))
			return refuse_kind(field, "an object", ret_error);
		*(json_object **)target = value;
		return 0;
	}
	return -EINVAL;
}

static bool field_known(const JsonField *fields, const char *name)
{
	for (; fields->name; fields++)
		if (strcmp(fields->name, name) == 0)
			return true;
	return false;
}

int json_dispatch(json_object *object, const JsonField *fields, void *dest, unsigned flags,
		  char **ret_error)
{
	if (!json_object_is_type(object, json_type_object))
		return error_set(ret_error, -EINVAL, "an object is needed");

	if (!(flags & JSON_ALLOW_UNKNOWN)) {
		json_object_object_foreach(object, name, member)
		{
			(void)member;
			if (!field_known(fields, name))
				return error_set(ret_error, -EINVAL, "\"%s\" is not known",
						 json_shown(name));
		}
	}
	for (const JsonField *field = fields; field->name; field++) {
		json_object *value = NULL;
		bool there = json_object_object_get_ex(object, field->name, &value);
		int r;

		if (there && !value && (field->flags & JSON_NULLABLE))
			there = false;
		if (!there && (field->flags & JSON_REQUIRED))
			return error_set(ret_error, -EINVAL, "\"%s\" is missing", field->name);
		if (!there)
			continue;
		r = dispatch_value(value, field, (char *)dest + field->offset, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

static json_object *get_typed(json_object *object, const char *name, json_type type)
{
	json_object *value = NULL;

	if (!json_object_object_get_ex(object, name, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

const char *json_get_string(json_object *object, const char *name)
{
	json_object *value = get_typed(object, name, json_type_string);

	return value ? json_object_get_string(value) : NULL;
}

int64_t json_get_int(json_object *object, const char *name, int64_t otherwise)
{
	json_object *value = get_typed(object, name, json_type_int);

	return value ? json_object_get_int64(value) : otherwise;
}

bool json_get_bool(json_object *object, const char *name, bool otherwise)
{
	json_object *value = get_typed(object, name, json_type_boolean);

	return value ? json_object_get_boolean(value) : otherwise;
}

json_object *json_get_object(json_object *object, const char *name)
{
	return get_typed(object, name, json_type_object);
}

json_object *json_get_array(json_object *object, const char *name)
{
	return get_typed(object, name, json_type_array);
}
