/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a comma is wanted shows in the last byte: a value ends in none of '{', '[' and ':', since
 * a string's last byte is its quote.
 */
#include "rpc/json-text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT_START 1024u

/* Where `n` bytes more may be written, and a NUL; NULL after a failure. */
static char *room(JsonText *text, size_t n)
{
	size_t size = text->size ?: TEXT_START;
	char *grown;

	if (text->error)
		return NULL;
	while (size - text->len <= n)
		size *= 2;
	if (size != text->size) {
		grown = realloc(text->text, size);
		if (!grown) {
			text->error = -ENOMEM;
			return NULL;
		}
		text->text = grown;
		text->size = size;
	}
	return text->text + text->len;
}

/* Up to here it has been written. */
static void end_at(JsonText *text, char *end)
{
	*end = '\0';
	text->len = (size_t)(end - text->text);
}

static void append(JsonText *text, const char *bytes, size_t n)
{
	char *to = room(text, n);

	if (to)
		end_at(text, mempcpy(to, bytes, n));
}

static bool wants_comma(const JsonText *text)
{
	char last = text->len > 0 ? text->text[text->len - 1] : '[';

	return last != '{' && last != '[' && last != ':';
}

void json_text_open(JsonText *text, char bracket)
{
	char *to = room(text, 2);

	if (!to)
		return;
	if (wants_comma(text))
		*to++ = ',';
	*to++ = bracket;
	end_at(text, to);
}

void json_text_close(JsonText *text, char bracket)
{
	append(text, &bracket, 1);
}

static void append_escaped(JsonText *text, unsigned char c)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *found = strchr(plain, c);
	char escaped[8] = "\\";

	if (found)
		escaped[1] = letters[found - plain];
	else
		snprintf(escaped, sizeof(escaped), "\\u%04x", c);
	append(text, escaped, strlen(escaped));
}

/* Of printable ASCII that is written as it is. */
static size_t plain_length(const char *value)
{
	size_t n = 0;

	while (value[n] >= 0x20 && value[n] < 0x7f && value[n] != '"' && value[n] != '\\')
		n++;
	return n;
}

/* The rest of it. */
static void append_unlike(JsonText *text, const char *value, size_t from)
{
	size_t n = from + strlen(value + from), i = from;

	if (!json_utf8_valid(value + from, n - from)) {
		text->error = text->error ?: -EINVAL;
		return;
	}
	for (; i < n; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		append(text, value + from, i - from);
		append_escaped(text, c);
		from = i + 1;
	}
	append(text, value + from, n - from);
}

static void append_string(JsonText *text, const char *value)
{
	size_t plain = plain_length(value);
	char *to = room(text, plain + 2);

	if (!to)
		return;
	*to++ = '"';
	to = mempcpy(to, value, plain);
	if (value[plain] == '\0') {
		*to++ = '"';
		end_at(text, to);
		return;
	}
	end_at(text, to);
	append_unlike(text, value, plain);
	append(text, "\"", 1);
}

void json_text_name(JsonText *text, const char *name)
{
	size_t n = strlen(name);
	char *to = room(text, n + 4);

	if (!to)
		return;
	if (wants_comma(text))
		*to++ = ',';
	*to++ = '"';
	to = mempcpy(to, name, n);
	*to++ = '"';
	*to++ = ':';
	end_at(text, to);
}

static void add_int(JsonText *text, const JsonMember *m)
{
	uint64_t rest = m->integer < 0 ? -(uint64_t)m->integer : (uint64_t)m->integer;
	char digits[24];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + rest % 10);
	while (rest /= 10);
	if (m->integer < 0)
		digits[--at] = '-';
	json_text_name(text, m->name);
	append(text, digits + at, sizeof(digits) - at);
}

static void add_object(JsonText *text, const JsonMember *m)
{
	const char *value = json_object_to_json_string_ext(
		m->object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	json_text_name(text, m->name);
	if (value)
		append(text, value, strlen(value));
	else
		text->error = text->error ?: -ENOMEM;
}

static void add_member(JsonText *text, const JsonMember *m)
{
	switch (m->kind) {
	case JSON_MEMBER_STRING:
		if (!m->string)
			return;
		json_text_name(text, m->name);
		append_string(text, m->string);
		return;
	case JSON_MEMBER_INT: add_int(text, m); return;
	case JSON_MEMBER_BOOL:
		json_text_name(text, m->name);
		append(text, m->boolean ? "true" : "false", m->boolean ? 4 : 5);
		return;
	case JSON_MEMBER_REF:
	case JSON_MEMBER_TAKE:
		if (m->object)
			add_object(text, m);
		if (m->kind == JSON_MEMBER_TAKE)
			json_object_put(m->object);
		return;
	case JSON_MEMBER_SKIP:
	case JSON_MEMBER_END: return;
	}
}

void json_text_members(JsonText *text, const JsonMember *members)
{
	for (const JsonMember *m = members; m->kind != JSON_MEMBER_END; m++)
		add_member(text, m);
}

void json_text_values(JsonText *text, const JsonText *values)
{
	if (values->len > 0 && wants_comma(text))
		append(text, ",", 1);
	if (values->len > 0)
		append(text, values->text, values->len);
	text->error = text->error ?: values->error;
}
