/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-384, the one hash of this project's SPDM exchanges, statements and policies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define DIGEST_SIZE	   48
#define DIGEST_STRING_SIZE (2 * DIGEST_SIZE + 1)

typedef struct Digest {
	uint8_t bytes[DIGEST_SIZE];
} Digest;

/* 0, or -EIO when libcrypto fails. */
int digest_of(Digest *ret, const void *data, size_t size);

/* Over the parts as if they lay one behind the other. */
int digest_of_parts(Digest *ret, const struct iovec *parts, size_t n_parts);

/* In constant time. */
bool digest_equal(const Digest *a, const Digest *b);

bool digest_is_zero(const Digest *digest);

/* Lower-case hexadecimal digits. Returns `buffer`. */
const char *digest_format(const Digest *digest, char buffer[static DIGEST_STRING_SIZE]);
