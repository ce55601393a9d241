/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON written straight to text: what is written often and looked at by nobody here. */
#pragma once

#include "rpc/json.h"

/* All zero is an empty one. After a failure nothing more is added. */
typedef struct JsonText {
	char *text; /* NUL-terminated once there is any */
	size_t len, size;
	int error; /* -ENOMEM; -EINVAL: a string is not UTF-8; 0 */
} JsonText;

static inline void json_text_clear(JsonText *text)
{
	free(text->text);
	*text = (JsonText){};
}

/* '{' or '['; a comma comes by itself. */
void json_text_open(JsonText *text, char bracket);
/* '}' or ']' */
void json_text_close(JsonText *text, char bracket);
/* Of a member whose value follows: printable ASCII without '"' and '\\'. */
void json_text_name(JsonText *text, const char *name);
/* As json_build_members, into the object that is open; the same bytes as json_format's. */
void json_text_members(JsonText *text, const JsonMember *members);
#define json_text_add(text, ...)                                                                   \
	json_text_members((text), (const JsonMember[]){ __VA_ARGS__, { .kind = JSON_MEMBER_END } })
/* Values that were written to another one, with their commas. */
void json_text_values(JsonText *text, const JsonText *values);
