/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Base64 (RFC 4648 section 4), canonical form only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* *ret is allocated and NUL-terminated; no line breaks. Returns 0 or -ENOMEM. */
int base64_encode(char **ret, const void *data, size_t len);

/*
 * Decodes a NUL-terminated string. Refused: white space and other foreign characters, missing or
 * surplus padding, bits behind the last byte that are not zero.
 * *ret is allocated, with a NUL behind its *ret_len bytes; the empty string gives zero bytes.
 * Returns 0; -EBADMSG; -E2BIG when the result would be longer than `max`; -ENOMEM.
 */
int base64_decode(uint8_t **ret, size_t *ret_len, const char *text, size_t max);
