/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/frame.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(guest_frame_freep) GuestFrame *frame = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL, *short_text = NULL;
	char *error = NULL;
	size_t n, m;

	if (!fuzz_good(guest_frame_parse(&frame, (const char *)data, size, &error), error))
		return false;
	CHECK((frame->kind == GUEST_FRAME_EVENT) == (frame->id < 0));
	CHECK(strlen(frame->session) == GUEST_SESSION_LEN && *frame->method);
	CHECK(!frame->message || frame->error);
	CHECK(guest_frame_format(&text, &n, frame, SIZE_MAX) == 0);
	CHECK(n == strlen(text) + 1);
	CHECK(guest_frame_format(&short_text, &m, frame, n - 2) == -E2BIG);
	CHECK(guest_frame_parse(&again, text, n - 1, NULL) == 0);
	CHECK(again->kind == frame->kind && again->id == frame->id);
	CHECK(same(again->session, frame->session) && same(again->method, frame->method));
	CHECK(same(again->error, frame->error) && same(again->message, frame->message));
	CHECK(json_object_equal(again->parameters, frame->parameters));
	return true;
}
