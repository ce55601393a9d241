/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A recursive descent over RFC 8259's grammar that builds nothing. Its recursion is bounded by
 * JSON_DEPTH_MAX, its time by the text's length. The first mistake is recorded and ends the scan.
 */
#include "rpc/json-scan.h"

#include "rpc/json.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct Scanner {
	const char *text;
	size_t len, at;
	size_t members;
	unsigned depth;
	const char *mistake;
	int error;
} Scanner;

static int scan_value(Scanner *s);

static int fail(Scanner *s, int error, const char *mistake)
{
	s->error = error;
	s->mistake = mistake;
	return error;
}

static int bad(Scanner *s, const char *mistake)
{
	return fail(s, -EBADMSG, mistake);
}

/* The byte at the cursor; -1 behind the end. */
static int peek(const Scanner *s)
{
	return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static bool take(Scanner *s, char c)
{
	if (peek(s) != (unsigned char)c)
		return false;
	s->at++;
	return true;
}

static void skip_space(Scanner *s)
{
	while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r')
		s->at++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* RFC 3629 section 4. */
size_t json_utf8_length(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len < n)
		return 0;
	switch (p[0]) {
	case 0xe0: low = 0xa0; break;
	case 0xed: high = 0x9f; break; /* surrogates */
	case 0xf0: low = 0x90; break;
	case 0xf4: high = 0x8f; break; /* above U+10FFFF */
	}
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

static int scan_hex4(Scanner *s, unsigned *ret)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		int c = peek(s);

		if (is_digit(c))
			v = v << 4 | (unsigned)(c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			v = v << 4 | (unsigned)((c | 0x20) - 'a' + 10);
		else
			return bad(s, "\\u needs four hex digits");
		s->at++;
	}
	*ret = v;
	return 0;
}

static int scan_escape(Scanner *s)
{
	unsigned first, second;
	int c = peek(s);

	if (c < 0 || c == '\0' || !strchr("\"\\/bfnrtu", c))
		return bad(s, "unknown escape");
	s->at++;
	if (c != 'u')
		return 0;
	if (scan_hex4(s, &first) < 0)
		return s->error;
	/* Our strings are C's: what stands behind a NUL would be lost unseen. */
	if (first == 0)
		return bad(s, "U+0000 is not allowed");
	if (first < 0xd800 || first > 0xdfff)
		return 0;
	if (first > 0xdbff || !take(s, '\\') || !take(s, 'u'))
		return bad(s, "half of a surrogate pair");
	if (scan_hex4(s, &second) < 0)
		return s->error;
	if (second < 0xdc00 || second > 0xdfff)
		return bad(s, "half of a surrogate pair");
	return 0;
}

static int scan_string(Scanner *s)
{
	if (!take(s, '"'))
		return bad(s, "expected a string in double quotes");
	for (;;) {
		int c = peek(s);
		size_t n;

		if (c < 0)
			return bad(s, "the string does not end");
		if (c < 0x20)
			return bad(s, "control character in a string");
		if (take(s, '"'))
			return 0;
		if (take(s, '\\')) {
			if (scan_escape(s) < 0)
				return s->error;
			continue;
		}
		n = json_utf8_length(s->text + s->at, s->len - s->at);
		if (n == 0)
			return bad(s, "malformed UTF-8");
		s->at += n;
	}
}

static int scan_digits(Scanner *s)
{
	if (!is_digit(peek(s)))
		return bad(s, "expected a digit");
	while (is_digit(peek(s)))
		s->at++;
	return 0;
}

/* The digits of an integer at text[at, end) against the end of int64 on its side. */
static bool fits_int64(const Scanner *s, size_t at, size_t end, bool negative)
{
	uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0), v = 0;

	for (; at < end; at++) {
		unsigned digit = (unsigned)(s->text[at] - '0');

		if (v > (limit - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	return true;
}

static int scan_number(Scanner *s)
{
	bool negative = take(s, '-'), whole = true;
	size_t start = s->at, end;

	if (scan_digits(s) < 0)
		return s->error;
	end = s->at;
	if (s->text[start] == '0' && end - start > 1)
		return bad(s, "leading zero");
	if (take(s, '.')) {
		whole = false;
		if (scan_digits(s) < 0)
			return s->error;
	}
	if (take(s, 'e') || take(s, 'E')) {
		whole = false;
		if (!take(s, '+'))
			take(s, '-');
		if (scan_digits(s) < 0)
			return s->error;
	}
	if (whole && !fits_int64(s, start, end, negative))
		return bad(s, "integer out of range");
	return 0;
}

static int scan_word(Scanner *s, const char *word)
{
	size_t n = strlen(word);

	if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0)
		return bad(s, "expected a value");
	s->at += n;
	return 0;
}

static int scan_member(Scanner *s)
{
	if (scan_string(s) < 0)
		return s->error;
	s->members++;
	skip_space(s);
	if (!take(s, ':'))
		return bad(s, "expected ':'");
	return scan_value(s);
}

/* An object or array behind its opening bracket. */
static int scan_container(Scanner *s, char close, int (*scan_item)(Scanner *s))
{
	if (++s->depth > JSON_DEPTH_MAX)
		return fail(s, -E2BIG, "nested too deeply");
	skip_space(s);
	if (!take(s, close)) {
		do {
			skip_space(s);
			if (scan_item(s) < 0)
				return s->error;
			skip_space(s);
		} while (take(s, ','));
		if (!take(s, close))
			return bad(s, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
	}
	s->depth--;
	return 0;
}

static int scan_value(Scanner *s)
{
	skip_space(s);
	switch (peek(s)) {
	case '{': s->at++; return scan_container(s, '}', scan_member);
	case '[': s->at++; return scan_container(s, ']', scan_value);
	case '"': return scan_string(s);
	case 't': return scan_word(s, "true");
	case 'f': return scan_word(s, "false");
	case 'n': return scan_word(s, "null");
	case '-':
	case '0' ... '9': return scan_number(s);
	default: return bad(s, "expected a value");
	}
}

static int scan_document(Scanner *s, JsonScan *ret)
{
	skip_space(s);
	ret->start = s->at;
	if (peek(s) != '{')
		return bad(s, "expected an object");
	if (scan_value(s) < 0)
		return s->error;
	ret->end = s->at;
	skip_space(s);
	if (s->at != s->len)
		return bad(s, "something follows the object");
	ret->members = s->members;
	return 0;
}

int json_scan(JsonScan *ret, const char *text, size_t len, char **ret_error)
{
	Scanner s = { .text = text, .len = len };
	JsonScan scan = { 0 };
	int r;

	r = scan_document(&s, &scan);
	if (r < 0) {
		if (ret_error && asprintf(ret_error, "JSON, byte %zu: %s", s.at, s.mistake) < 0)
			*ret_error = NULL;
		return r;
	}
	*ret = scan;
	return 0;
}
