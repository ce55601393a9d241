/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/frame.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#define SESSION "0123456789abcdef0123456789abcdef"

/* Feeds `len` bytes in pieces of `step` and writes what comes out as "a|b|!|" ("!": oversize). */
static void feed(FrameReader *reader, const char *bytes, size_t len, size_t step, char *out)
{
	while (len > 0) {
		size_t n = len < step ? len : step, frame_len;
		/* An exact copy, so that reading behind the piece is seen. */
		_cleanup_free_ char *piece = malloc(n);
		const char *at = piece, *text;
		int r;

		memcpy(piece, bytes, n);
		bytes += n;
		len -= n;
		while ((r = frame_reader_next(reader, &at, &n, &text, &frame_len)) > 0) {
			if (r == FRAME_READY)
				cr_assert_eq(strlen(text), frame_len);
			strcat(out, r == FRAME_READY ? text : "!");
			strcat(out, "|");
		}
		cr_assert_eq(r, FRAME_NONE);
		cr_assert_eq(n, 0);
	}
}

static void expect_frames(const char *bytes, size_t len, const char *expected)
{
	for (size_t step = 1; step <= len; step++) {
		_cleanup_(frame_reader_freep) FrameReader *reader = NULL;
		char out[256] = "";

		cr_assert_eq(frame_reader_new(&reader, 4), 0);
		feed(reader, bytes, len, step, out);
		cr_assert_str_eq(out, expected, "in pieces of %zu: %s", step, out);
	}
}

#define EXPECT_FRAMES(bytes, expected) expect_frames((bytes), sizeof(bytes) - 1, (expected))

Test(frame, reader)
{
	EXPECT_FRAMES("ab", "");
	EXPECT_FRAMES("\0\0\0", "");
	EXPECT_FRAMES("12345\0", "!|");
	EXPECT_FRAMES("123456789012\0ab\0", "!|ab|");
	EXPECT_FRAMES("1234\0", "1234|");
	EXPECT_FRAMES("bb\0\0ok\0", "bb|ok|");
	EXPECT_FRAMES("\0a\0bcd\0\0\0e\0f", "a|bcd|e|");
	EXPECT_FRAMES("a\0"
		      "99999\0"
		      "88888\0b\0",
		      "a|!|!|b|");
}

Test(frame, reader_forgets_on_reset)
{
	_cleanup_(frame_reader_freep) FrameReader *reader = NULL;
	char out[64] = "";

	cr_assert_eq(frame_reader_new(&reader, 4), 0);
	feed(reader, "old", 3, 3, out);
	frame_reader_reset(reader);
	feed(reader, "new\0", 4, 4, out);
	feed(reader, "123456", 6, 6, out);
	frame_reader_reset(reader);
	feed(reader, "x\0", 2, 2, out);
	cr_assert_str_eq(out, "new|x|");
}

Test(frame, reader_holds_a_default_frame_and_not_a_byte_more)
{
	_cleanup_(frame_reader_freep) FrameReader *reader = NULL;
	_cleanup_free_ char *bytes = malloc(FRAME_SIZE_MAX + 2);
	const char *at, *text;
	size_t n, len;

	memset(bytes, 'x', FRAME_SIZE_MAX + 1);
	cr_assert_eq(frame_reader_new(&reader, FRAME_SIZE_MAX), 0);
	for (size_t size = FRAME_SIZE_MAX; size <= FRAME_SIZE_MAX + 1; size++) {
		bytes[size] = '\0';
		at = bytes;
		n = size + 1;
		cr_assert_eq(frame_reader_next(reader, &at, &n, &text, &len),
			     size == FRAME_SIZE_MAX ? FRAME_READY : FRAME_OVERSIZE);
		cr_assert_eq(n, 0);
		bytes[size] = 'x';
	}
}

Test(guest_frame, refuses)
{
	static const char *const bad[] = {
		"",
		"rubbish",
		"[]",
		"{}",
		"{\"session\":\"" SESSION "\"}",
		"{\"session\":\"" SESSION "\",\"id\":1}",
		"{\"id\":1,\"call\":\"Hello\"}",
		"{\"session\":\"" SESSION "0\",\"id\":1,\"call\":\"Hello\"}",
		"{\"session\":\"0123456789ABCDEF0123456789ABCDEF\",\"id\":1,\"call\":\"Hello\"}",
		"{\"session\":\"\",\"id\":1,\"call\":\"Hello\"}",
		"{\"session\":1,\"id\":1,\"call\":\"Hello\"}",
		"{\"session\":\"" SESSION "\",\"call\":\"Hello\"}",
		"{\"session\":\"" SESSION "\",\"reply\":\"Hello\"}",
		"{\"session\":\"" SESSION "\",\"id\":-1,\"call\":\"Hello\"}",
		"{\"session\":\"" SESSION "\",\"id\":\"1\",\"call\":\"Hello\"}",
		"{\"session\":\"" SESSION "\",\"id\":1.0,\"call\":\"Hello\"}",
		"{\"session\":\"" SESSION "\",\"id\":null,\"event\":\"Ready\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"event\":\"Ready\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"A\",\"reply\":\"A\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"A\",\"event\":\"A\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"A\",\"parameters\":[]}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"A\",\"parameters\":null}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"A\",\"error\":\"E\"}",
		"{\"session\":\"" SESSION "\",\"event\":\"A\",\"error\":\"E\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"reply\":\"A\",\"error\":\"\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"reply\":\"A\",\"message\":\"m\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"A\",\"extra\":1}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"id\":1,\"call\":\"A\"}",
		"{\"session\":\"" SESSION "\",\"id\":1,\"call\":\"A\"}x",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		_cleanup_free_ char *error = NULL;
		GuestFrame *frame = NULL;

		cr_assert_eq(guest_frame_parse(&frame, bad[i], strlen(bad[i]), &error), -EBADMSG,
			     "accepted: %s", bad[i]);
		cr_assert_null(frame);
		cr_assert_not_null(error, "%s", bad[i]);
	}
}

Test(guest_frame, will_not_format_what_it_would_not_parse)
{
	const GuestFrame bad[] = {
		{ .kind = GUEST_FRAME_CALL, .session = "short", .id = 1, .method = "A" },
		{ .kind = GUEST_FRAME_CALL, .session = SESSION, .id = -1, .method = "A" },
		{ .kind = GUEST_FRAME_CALL, .session = SESSION, .id = 1 },
		{ .kind = GUEST_FRAME_EVENT, .session = SESSION, .id = 0, .method = "A" },
		{ .kind = GUEST_FRAME_CALL,
		  .session = SESSION,
		  .id = 1,
		  .method = "A",
		  .error = "E" },
		{ .kind = GUEST_FRAME_REPLY,
		  .session = SESSION,
		  .id = 1,
		  .method = "A",
		  .message = "m" },
		{ .kind = GUEST_FRAME_CALL, .id = 1, .method = "A" },
		{ .kind = GUEST_FRAME_CALL, .session = SESSION, .id = 1, .method = "\xff" },
	};
	char *text = NULL;
	size_t len;

	for (size_t i = 0; i < ELEMENTSOF(bad); i++)
		cr_assert_eq(guest_frame_format(&text, &len, &bad[i], FRAME_SIZE_MAX), -EINVAL,
			     "frame %zu", i);
	cr_assert_null(text);
}

static void round_trip(const GuestFrame *frame, const char *expected)
{
	_cleanup_(guest_frame_freep) GuestFrame *parsed = NULL;
	_cleanup_free_ char *text = NULL, *again = NULL;
	size_t len, again_len;

	cr_assert_eq(guest_frame_format(&text, &len, frame, FRAME_SIZE_MAX), 0);
	cr_assert_str_eq(text, expected);
	cr_assert_eq(len, strlen(text) + 1, "the NUL is part of the frame");
	cr_assert_eq(guest_frame_parse(&parsed, text, len - 1, NULL), 0);
	cr_assert_eq(parsed->kind, frame->kind);
	cr_assert_eq(parsed->id, frame->id);
	cr_assert_eq(guest_frame_format(&again, &again_len, parsed, len - 1), 0);
	cr_assert_str_eq(again, text);
	cr_assert_eq(guest_frame_format(&again, &again_len, parsed, len - 2), -E2BIG);
}

Test(guest_frame, round_trips)
{
	_cleanup_(json_unrefp) json_object *p = NULL;

	cr_assert_eq(json_build(&p, J_INT("protocol", 1)), 0);
	round_trip(&(GuestFrame){ .kind = GUEST_FRAME_CALL,
				  .session = SESSION,
				  .id = 0,
				  .method = "Hello",
				  .parameters = p },
		   "{\"session\":\"" SESSION
		   "\",\"id\":0,\"call\":\"Hello\",\"parameters\":{\"protocol\":1}}");
	round_trip(&(GuestFrame){ .kind = GUEST_FRAME_REPLY,
				  .session = SESSION,
				  .id = INT64_MAX,
				  .method = "Hello",
				  .error = "E",
				  .message = "m" },
		   "{\"session\":\"" SESSION "\",\"id\":9223372036854775807,\"reply\":\"Hello\","
		   "\"error\":\"E\",\"message\":\"m\"}");
	round_trip(&(GuestFrame){ .kind = GUEST_FRAME_EVENT,
				  .session = SESSION,
				  .id = -1,
				  .method = "Ready" },
		   "{\"session\":\"" SESSION "\",\"event\":\"Ready\"}");
}
