/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Walks a value and its type together. The path to where the walk stands is a chain of stack
 * frames; it is written out only when something has to be refused.
 */
#include "rpc/idl.h"

#include "rpc/error.h"
#include "rpc/idl-model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct Path {
	const struct Path *up;
	const char *name; /* NULL: an array's index, and the root */
	size_t index;
} Path;

typedef struct Check {
	char **ret_field, **ret_error;
} Check;

static int check_value(const Check *check, const IdlType *type, json_object *value,
		       const Path *path, unsigned depth);

static void write_path(FILE *f, const Path *path)
{
	if (!path->up)
		return;
	write_path(f, path->up);
	if (!path->name)
		fprintf(f, "[%zu]", path->index);
	else
		fprintf(f, "%s%s", path->up->up ? "." : "", path->name);
}

static int refuse(const Check *check, const Path *path, const char *what)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	write_path(f, path);
	if (fclose(f) != 0)
		return -ENOMEM;
	error_set(check->ret_error, 0, "\"%s\" %s", path->up ? json_shown(text) : "parameters",
		  what);
	if (check->ret_field)
		*check->ret_field = steal_ptr(text);
	return -EINVAL;
}

static const IdlField *find_field(const IdlType *type, const char *name)
{
	for (size_t i = 0; i < type->n_fields; i++)
		if (strcmp(type->fields[i].name, name) == 0)
			return &type->fields[i];
	return NULL;
}

static int check_struct(const Check *check, const IdlType *type, json_object *value,
			const Path *path, unsigned depth)
{
	if (value) {
		json_object_object_foreach(value, name, member)
		{
			(void)member;
			if (!find_field(type, name))
				return refuse(check, &(Path){ .up = path, .name = name },
					      "is not known");
		}
	}
	for (size_t i = 0; i < type->n_fields; i++) {
		const IdlField *field = &type->fields[i];
		Path below = { .up = path, .name = field->name };
		json_object *member = NULL;
		int r;

		if (value)
			json_object_object_get_ex(value, field->name, &member);
		if (!member && !field->type->maybe)
			return refuse(check, &below, "is missing");
		r = check_value(check, field->type, member, &below, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_array(const Check *check, const IdlType *type, json_object *value,
		       const Path *path, unsigned depth)
{
	size_t n = json_object_array_length(value);

	for (size_t i = 0; i < n; i++) {
		int r = check_value(check, type->element, json_object_array_get_idx(value, i),
				    &(Path){ .up = path, .index = i }, depth + 1);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_dict(const Check *check, const IdlType *type, json_object *value, const Path *path,
		      unsigned depth)
{
	json_object_object_foreach(value, name, member)
	{
		int r = check_value(check, type->element, member,
				    &(Path){ .up = path, .name = name }, depth + 1);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_value(const Check *check, const IdlType *type, json_object *value,
		       const Path *path, unsigned depth)
{
	static const struct {
		json_type type;
		const char *refusal;
	} kinds[] = {
		[IDL_BOOL] = { json_type_boolean, "must be true or false" },
		[IDL_INT] = { json_type_int, "must be an integer" },
		[IDL_FLOAT] = { json_type_double, "must be a number" },
		[IDL_STRING] = { json_type_string, "must be a string" },
		[IDL_OBJECT] = { json_type_object, "must be an object" },
		[IDL_ENUM] = { json_type_string, "must be a string" },
		[IDL_STRUCT] = { json_type_object, "must be an object" },
		[IDL_ARRAY] = { json_type_array, "must be an array" },
		[IDL_DICT] = { json_type_object, "must be an object" },
	};

	if (!value && type->maybe)
		return 0;
	if (type->kind == IDL_NAMED)
		type = type->resolved;
	if (depth > JSON_DEPTH_MAX)
		return refuse(check, path, "is nested too deeply");
	if (!value && !(path->up == NULL && type->kind == IDL_STRUCT))
		return refuse(check, path, "must not be null");
	if (value && !json_object_is_type(value, kinds[type->kind].type) &&
	    !(type->kind == IDL_FLOAT && json_object_is_type(value, json_type_int)))
		return refuse(check, path, kinds[type->kind].refusal);

	switch (type->kind) {
	case IDL_ENUM:
		if (!find_field(type, json_object_get_string(value)))
			return refuse(check, path, "is none of the values described for it");
		return 0;
	case IDL_STRUCT: return check_struct(check, type, value, path, depth);
	case IDL_ARRAY: return check_array(check, type, value, path, depth);
	case IDL_DICT: return check_dict(check, type, value, path, depth);
	default: return 0;
	}
}

int idl_check(const IdlType *type, json_object *value, char **ret_field, char **ret_error)
{
	Check check = { .ret_field = ret_field, .ret_error = ret_error };

	return check_value(&check, type, value, &(Path){ 0 }, 1);
}
