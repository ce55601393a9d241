/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recursive descent over one bounded buffer. A step that fails leaves the cursor failed, with
 * nothing left to read; whoever calls asks once at the end.
 */
#include "reply.h"

#include "core/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct Cursor {
	char *at, *end;
	unsigned depth;
	bool failed;
} Cursor;

static bool fail(Cursor *c)
{
	c->failed = true;
	c->at = c->end;
	return false;
}

static void skip_space(Cursor *c)
{
	while (c->at < c->end && strchr(" \t\n\r", *c->at) && *c->at)
		c->at++;
}

static bool next_is(Cursor *c, char want)
{
	skip_space(c);
	if (c->at == c->end || *c->at != want)
		return false;
	c->at++;
	return true;
}

static bool expect(Cursor *c, char want)
{
	return next_is(c, want) || fail(c);
}

static bool take_word(Cursor *c, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
		return false;
	c->at += n;
	return true;
}

/* Length of the UTF-8 character at the cursor (RFC 3629 section 4), 0 when it is none. */
static size_t utf8_length(const Cursor *c)
{
	static const struct {
		unsigned char first, last, low, high; /* of the first byte; of the second */
		size_t length;
	} forms[] = {
		{ 0x20, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const unsigned char *p = (const unsigned char *)c->at;

	for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
		size_t n = forms[i].length;

		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if ((size_t)(c->end - c->at) < n)
			return 0;
		if (n > 1 && (p[1] < forms[i].low || p[1] > forms[i].high))
			return 0;
		for (size_t k = 2; k < n; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return n;
	}
	return 0;
}

static bool take_hex4(Cursor *c, uint32_t *ret)
{
	uint32_t v = 0;

	if (c->end - c->at < 4)
		return fail(c);
	for (int i = 0; i < 4; i++) {
		char d = *c->at++;

		if (d >= '0' && d <= '9')
			v = v << 4 | (uint32_t)(d - '0');
		else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((d | 0x20) - 'a' + 10);
		else
			return fail(c);
	}
	*ret = v;
	return true;
}

static size_t put_utf8(char *out, uint32_t v)
{
	if (v < 0x80) {
		out[0] = (char)v;
		return 1;
	}
	if (v < 0x800) {
		out[0] = (char)(0xc0 | v >> 6);
		out[1] = (char)(0x80 | (v & 0x3f));
		return 2;
	}
	if (v < 0x10000) {
		out[0] = (char)(0xe0 | v >> 12);
		out[1] = (char)(0x80 | (v >> 6 & 0x3f));
		out[2] = (char)(0x80 | (v & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | v >> 18);
	out[1] = (char)(0x80 | (v >> 12 & 0x3f));
	out[2] = (char)(0x80 | (v >> 6 & 0x3f));
	out[3] = (char)(0x80 | (v & 0x3f));
	return 4;
}

/* What stands behind a backslash, as UTF-8 into `out`; never longer than it was escaped. */
static size_t take_escape(Cursor *c, char *out)
{
	static const char letters[] = "\"\\/nrtbf", plain[] = "\"\\/\n\r\t\b\f";
	const char *known;
	uint32_t v, low;

	if (c->at == c->end || !*c->at)
		return fail(c);
	known = strchr(letters, *c->at);
	if (known) {
		c->at++;
		*out = plain[known - letters];
		return 1;
	}
	if (*c->at++ != 'u' || !take_hex4(c, &v) || v == 0 || (v >= 0xdc00 && v <= 0xdfff))
		return fail(c);
	if (v >= 0xd800 && v <= 0xdbff) {
		if (!take_word(c, "\\u") || !take_hex4(c, &low) || low < 0xdc00 || low > 0xdfff)
			return fail(c);
		v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
	}
	return put_utf8(out, v);
}

/* Unescapes over itself; the closing quote makes room for the NUL. */
static const char *take_string(Cursor *c)
{
	char *start, *out;

	if (!expect(c, '"'))
		return NULL;
	start = out = c->at;
	while (c->at < c->end && *c->at != '"') {
		size_t n;

		if (*c->at == '\\') {
			c->at++;
			out += take_escape(c, out);
			continue;
		}
		n = utf8_length(c);
		if (n == 0) {
			fail(c);
			break;
		}
		memmove(out, c->at, n);
		out += n;
		c->at += n;
	}
	if (c->failed || c->at == c->end) {
		fail(c);
		return NULL;
	}
	c->at++;
	*out = '\0';
	return start;
}

static size_t skip_digits(Cursor *c)
{
	char *start = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return (size_t)(c->at - start);
}

static void skip_number(Cursor *c)
{
	bool zero;

	take_word(c, "-");
	zero = c->at < c->end && *c->at == '0';
	if (zero ? skip_digits(c) != 1 : skip_digits(c) == 0) {
		fail(c);
		return;
	}
	if (take_word(c, ".") && skip_digits(c) == 0)
		fail(c);
	if (take_word(c, "e") || take_word(c, "E")) {
		if (!take_word(c, "+"))
			take_word(c, "-");
		if (skip_digits(c) == 0)
			fail(c);
	}
}

static void skip_value(Cursor *c)
{
	char close;

	skip_space(c);
	if (c->at == c->end) {
		fail(c);
		return;
	}
	if (*c->at == '"') {
		take_string(c);
		return;
	}
	if (*c->at != '{' && *c->at != '[') {
		if (!take_word(c, "true") && !take_word(c, "false") && !take_word(c, "null"))
			skip_number(c);
		return;
	}

	close = *c->at++ == '{' ? '}' : ']';
	if (++c->depth > REPLY_DEPTH_MAX) {
		fail(c);
		return;
	}
	if (!next_is(c, close)) {
		do {
			if (close == '}') {
				take_string(c);
				expect(c, ':');
			}
			skip_value(c);
		} while (next_is(c, ','));
		expect(c, close);
	}
	c->depth--;
}

/* *slot must not have been set: a member comes once. */
static void take_string_once(Cursor *c, const char **slot)
{
	if (*slot)
		fail(c);
	else
		*slot = take_string(c);
}

static void take_parameters(Cursor *c, Reply *reply)
{
	if (!expect(c, '{') || next_is(c, '}'))
		return;
	c->depth++;
	do {
		const char *name = take_string(c);

		expect(c, ':');
		if (name && strcmp(name, "message") == 0)
			take_string_once(c, &reply->message);
		else
			skip_value(c);
	} while (next_is(c, ','));
	expect(c, '}');
	c->depth--;
}

int reply_parse(char *text, size_t size, Reply *ret)
{
	Cursor c = { .at = text, .end = text + size, .depth = 1 };
	bool parameters = false, continues = false;
	Reply reply = { 0 };

	if (size > REPLY_SIZE_MAX || !expect(&c, '{'))
		return -EBADMSG;
	if (!next_is(&c, '}')) {
		do {
			const char *name = take_string(&c);

			expect(&c, ':');
			skip_space(&c);
			if (name && strcmp(name, "parameters") == 0 && !parameters) {
				parameters = true;
				take_parameters(&c, &reply);
			} else if (name && strcmp(name, "error") == 0) {
				take_string_once(&c, &reply.error);
			} else if (name && strcmp(name, "continues") == 0 && !continues) {
				continues = true;
				if (!take_word(&c, "false"))
					fail(&c);
			} else {
				fail(&c);
			}
		} while (next_is(&c, ','));
		expect(&c, '}');
	}
	skip_space(&c);
	if (c.failed || c.at != c.end)
		return -EBADMSG;
	*ret = reply;
	return 0;
}
