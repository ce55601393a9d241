/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes as lower-case hexadecimal digits. */
#pragma once

#include <stddef.h>

/* Room for the digits of `n` bytes and their NUL. */
#define HEX_STRING_SIZE(n) (2 * (n) + 1)

/* Writes 2n digits and a NUL. Returns `text`. */
char *hex_encode(char *text, const void *data, size_t n);

/*
 * Exactly 2n lower-case digits and nothing else. Returns 0, or -EINVAL and leaves `data` alone.
 */
int hex_decode(void *data, size_t n, const char *text);
