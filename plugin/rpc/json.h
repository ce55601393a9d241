/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict and bounded JSON (RFC 8259) on json-c: parse, read by table, build, format. */
#pragma once

#include "core/cleanup.h"

#include <json-c/json.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_SIZE_MAX  (16u * 1024 * 1024)
#define JSON_DEPTH_MAX 32u /* objects and arrays inside each other, the outermost counted */

static inline json_object *json_unref(json_object *object)
{
	json_object_put(object);
	return NULL;
}

/* _cleanup_(json_unrefp) json_object *object = NULL; */
DEFINE_CLEANUP(json_object, json_unref);

/*
 * Parses `len` bytes that must be exactly one object, white space around it allowed. Beyond
 * RFC 8259 this refuses: a member name given twice, U+0000 in strings, integers outside int64,
 * numbers that are not finite as double.
 * Returns 0; -EBADMSG (malformed), -E2BIG (over `limit` bytes or JSON_DEPTH_MAX), -ENOMEM.
 * *ret_error (allocated; the pointer may be NULL) then says what is wrong and at which byte.
 */
int json_parse_limited(json_object **ret, const char *text, size_t len, size_t limit,
		       char **ret_error);

/* The same with JSON_SIZE_MAX. */
int json_parse(json_object **ret, const char *text, size_t len, char **ret_error);

/* True when the bytes are UTF-8 (RFC 3629: shortest forms, no surrogates, up to U+10FFFF). */
bool json_utf8_valid(const char *text, size_t len);

/*
 * UTF-8 of somebody else's for a sentence: `text` if it is short (JSON_SHOWN_MAX bytes) and has no
 * control characters, else words in its place.
 */
#define JSON_SHOWN_MAX 200u
const char *json_shown(const char *text);

/* --- reading by table --- */

typedef enum JsonFieldType {
	JSON_FIELD_STRING, /* const char *, borrowed from the object */
	JSON_FIELD_BOOL,   /* bool */
	JSON_FIELD_INT,	   /* int64_t */
	JSON_FIELD_U32,	   /* uint32_t */
	JSON_FIELD_DOUBLE, /* double; integers are accepted */
	JSON_FIELD_ARRAY,  /* json_object *, borrowed */
	JSON_FIELD_OBJECT, /* json_object *, borrowed */
} JsonFieldType;

enum {
	JSON_REQUIRED = 1 << 0, /* absence is an error */
	JSON_NULLABLE = 1 << 1, /* null counts as absent */
};

typedef struct JsonField {
	const char *name; /* NULL ends the table */
	JsonFieldType type;
	unsigned flags;
	size_t offset;	  /* of the destination inside `dest` */
	int64_t min, max; /* for INT and U32; both 0: the whole range of the type */
} JsonField;

enum {
	JSON_ALLOW_UNKNOWN = 1 << 0, /* members that no field names are skipped, else refused */
};

/*
 * Reads the members of `object` into `dest` by `fields`. What is absent leaves its destination
 * as it is, so defaults are set before. On failure `dest` may be partly written.
 * Returns 0; -EINVAL with a sentence naming the member; -ENOMEM.
 */
int json_dispatch(json_object *object, const JsonField *fields, void *dest, unsigned flags,
		  char **ret_error);

/* For objects whose form is already checked: the member, or the default when absent or null or of
 * another type. Everything returned is borrowed. */
const char *json_get_string(json_object *object, const char *name);
int64_t json_get_int(json_object *object, const char *name, int64_t otherwise);
bool json_get_bool(json_object *object, const char *name, bool otherwise);
json_object *json_get_object(json_object *object, const char *name);
json_object *json_get_array(json_object *object, const char *name);

/* --- building --- */

/*
 * One at a time. A NULL string or object adds nothing and is success. Objects and arrays are taken:
 * they belong to `object` afterwards, and are released on failure.
 * Return 0; -ENOMEM; -EINVAL when the string is not UTF-8.
 */
int json_add_string(json_object *object, const char *name, const char *value);
int json_add_int(json_object *object, const char *name, int64_t value);
int json_add_bool(json_object *object, const char *name, bool value);
int json_add_take(json_object *object, const char *name, json_object *value);
int json_append_string(json_object *array, const char *value);
int json_append_take(json_object *array, json_object *value);

/*
 * A whole object at once:
 *
 *	r = json_build(&o, J_STRING("domain", uuid), J_INT("generation", 7),
 *		       J_BOOL_IF(known, "protection", true), J_TAKE("timeline", marks));
 *
 * NULL strings and objects, and members whose condition is false, are left out. J_REF adds a
 * reference, J_TAKE takes the caller's (released on failure too).
 * Returns 0; -ENOMEM; -EINVAL when a string is not UTF-8. *ret is written only on success.
 */
typedef enum JsonMemberKind {
	JSON_MEMBER_END,
	JSON_MEMBER_SKIP,
	JSON_MEMBER_STRING,
	JSON_MEMBER_INT,
	JSON_MEMBER_BOOL,
	JSON_MEMBER_REF,
	JSON_MEMBER_TAKE,
} JsonMemberKind;

typedef struct JsonMember {
	JsonMemberKind kind;
	const char *name;
	union {
		const char *string;
		int64_t integer;
		bool boolean;
		json_object *object;
	};
} JsonMember;

#define J_STRING(n, v) ((JsonMember){ .kind = JSON_MEMBER_STRING, .name = (n), .string = (v) })
#define J_INT(n, v)    ((JsonMember){ .kind = JSON_MEMBER_INT, .name = (n), .integer = (v) })
#define J_BOOL(n, v)   ((JsonMember){ .kind = JSON_MEMBER_BOOL, .name = (n), .boolean = (v) })
#define J_REF(n, v)    ((JsonMember){ .kind = JSON_MEMBER_REF, .name = (n), .object = (v) })
#define J_TAKE(n, v)   ((JsonMember){ .kind = JSON_MEMBER_TAKE, .name = (n), .object = (v) })
#define J_INT_IF(c, n, v)                                                                          \
	((JsonMember){                                                                             \
		.kind = (c) ? JSON_MEMBER_INT : JSON_MEMBER_SKIP, .name = (n), .integer = (v) })
#define J_BOOL_IF(c, n, v)                                                                         \
	((JsonMember){                                                                             \
		.kind = (c) ? JSON_MEMBER_BOOL : JSON_MEMBER_SKIP, .name = (n), .boolean = (v) })

int json_build_members(json_object **ret, const JsonMember *members);
#define json_build(ret, ...)                                                                       \
	json_build_members((ret), (const JsonMember[]){ __VA_ARGS__, { .kind = JSON_MEMBER_END } })

/*
 * Compact text, members in the order in which they were added: the same object gives the same
 * bytes. Returns 0 or -ENOMEM; *ret is allocated and NUL-terminated. ret_len may be NULL.
 */
int json_format(char **ret, size_t *ret_len, json_object *object);
