/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NUL-terminated frames on a byte stream, and the guest port's frame in them. */
#pragma once

#include "rpc/json.h"

#include <stddef.h>
#include <stdint.h>

/* The guest port's default; the terminating NUL is not counted. */
#define FRAME_SIZE_MAX (64u * 1024)

typedef struct FrameReader FrameReader;

typedef enum FrameOutcome {
	FRAME_NONE = 0, /* the bytes are used up, no frame is complete */
	FRAME_READY = 1,
	FRAME_OVERSIZE = 2, /* a frame was longer than the limit and has been dropped whole */
} FrameOutcome;

int frame_reader_new(FrameReader **ret, size_t limit);
FrameReader *frame_reader_free(FrameReader *reader);
DEFINE_CLEANUP(FrameReader, frame_reader_free);

/*
 * Takes bytes from *data (advancing *data and *len) up to the end of the next frame. Call it until
 * it returns FRAME_NONE:
 *
 *	while ((r = frame_reader_next(reader, &data, &len, &text, &text_len)) > 0)
 *
 * *ret_text is NUL-terminated, belongs to the reader and lasts until the next call. Empty frames
 * are skipped. Rubbish ahead of the peer's first NUL comes out as a frame that does not parse.
 * Memory held never exceeds about the limit. Returns a FrameOutcome or -ENOMEM.
 */
int frame_reader_next(FrameReader *reader, const char **data, size_t *len, const char **ret_text,
		      size_t *ret_len);

/* No beginning of a frame waits for its rest. */
bool frame_reader_is_empty(const FrameReader *reader);

/* Forgets a partial frame: for a port that was reopened. */
void frame_reader_reset(FrameReader *reader);

typedef enum GuestFrameKind {
	GUEST_FRAME_CALL,
	GUEST_FRAME_REPLY,
	GUEST_FRAME_EVENT,
} GuestFrameKind;

#define GUEST_SESSION_LEN 32u /* lower-case hex digits */

/*
 * {"session": S, "id": N, "call" | "reply" | "event": METHOD, "parameters": {...},
 *  "error": E, "message": M}
 *
 * A parsed frame owns `body` and everything else points into it. To format one, fill a local
 * variable with borrowed pointers and leave `body` NULL.
 */
typedef struct GuestFrame {
	GuestFrameKind kind;
	const char *session;
	int64_t id;		 /* >= 0 for calls and replies, -1 for events */
	const char *method;	 /* for a reply: of the call that it answers */
	json_object *parameters; /* NULL: absent */
	const char *error;	 /* replies only; NULL: success */
	const char *message;	 /* only beside `error` */
	json_object *body;
} GuestFrame;

/* Returns 0; -EBADMSG or -E2BIG with a sentence; -ENOMEM. The caller has bounded `len`. */
int guest_frame_parse(GuestFrame **ret, const char *text, size_t len, char **ret_error);
GuestFrame *guest_frame_free(GuestFrame *frame);
DEFINE_CLEANUP(GuestFrame, guest_frame_free);

/*
 * *ret is allocated; *ret_len counts the terminating NUL, which has to be sent too.
 * Returns 0; -EINVAL when the frame breaks the rules above; -E2BIG when the text without its NUL
 * is longer than `limit`; -ENOMEM.
 */
int guest_frame_format(char **ret, size_t *ret_len, const GuestFrame *frame, size_t limit);
