/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid's answer to io.tdid.Hook.Run, read without a JSON library. */
#pragma once

#include <stddef.h>

#define REPLY_SIZE_MAX	(64 * 1024)
#define REPLY_DEPTH_MAX 16

/* NULL where the reply says nothing. Points into the text that was parsed. */
typedef struct Reply {
	const char *error;   /* full name of the varlink error; NULL: success */
	const char *message; /* of the error's parameters */
} Reply;

/*
 * Parses `size` bytes (without the frame's NUL) that must be exactly one varlink reply: an object
 * of "parameters" (an object) and "error" (a string), each at most once, "continues" only as false
 * and nothing else. Strings are unescaped where they lie, so `text` is written to.
 * Refused besides malformed JSON: U+0000, lone surrogates, what is not UTF-8, a "message" that is
 * no string or there twice, nesting over REPLY_DEPTH_MAX. Other members of "parameters" are
 * skipped. Returns 0 or -EBADMSG.
 */
int reply_parse(char *text, size_t size, Reply *ret);
