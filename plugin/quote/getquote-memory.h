/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Access to memory that the guest writes to at the same time: each byte is read exactly once, or
 * written once, and nothing that the compiler does can make it twice. All addresses are those of a
 * buffer that is aligned to 8 bytes, whose fields are little-endian.
 */
#pragma once

#include "core/getquote-buffer.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define SHARED_VERSION 0u
#define SHARED_STATUS  8u
#define SHARED_IN_LEN  16u
#define SHARED_OUT_LEN 20u

_Static_assert(SHARED_OUT_LEN + sizeof(uint32_t) == GETQUOTE_HEADER_SIZE, "out_len is the last");

static inline void *shared_at(void *buffer, size_t offset)
{
	return (uint8_t *)buffer + offset;
}

/* What the guest writes of the header; the rest is ours. */
static inline GetquoteHeader shared_header(void *buffer)
{
	const uint64_t *version = shared_at(buffer, SHARED_VERSION);
	const uint32_t *in_len = shared_at(buffer, SHARED_IN_LEN);

	return (GetquoteHeader){
		.version = le64toh(__atomic_load_n(version, __ATOMIC_RELAXED)),
		.in_len = le32toh(__atomic_load_n(in_len, __ATOMIC_RELAXED)),
	};
}

/* From the start of the data. */
static inline void shared_read(void *to, void *buffer, size_t size)
{
	const uint64_t *words = shared_at(buffer, GETQUOTE_HEADER_SIZE);
	const uint8_t *bytes = (const uint8_t *)words;
	size_t n = size / sizeof(*words);

	for (size_t i = 0; i < n; i++) {
		uint64_t word = __atomic_load_n(&words[i], __ATOMIC_RELAXED);

		memcpy((uint8_t *)to + i * sizeof(word), &word, sizeof(word));
	}
	for (size_t i = n * sizeof(*words); i < size; i++)
		((uint8_t *)to)[i] = __atomic_load_n(&bytes[i], __ATOMIC_RELAXED);
}

static inline void shared_write(void *buffer, const void *from, size_t size)
{
	uint64_t *words = shared_at(buffer, GETQUOTE_HEADER_SIZE);
	uint8_t *bytes = (uint8_t *)words;
	size_t n = size / sizeof(*words);

	for (size_t i = 0; i < n; i++) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)from + i * sizeof(word), sizeof(word));
		__atomic_store_n(&words[i], word, __ATOMIC_RELAXED);
	}
	for (size_t i = n * sizeof(*words); i < size; i++)
		__atomic_store_n(&bytes[i], ((const uint8_t *)from)[i], __ATOMIC_RELAXED);
}

/* Out_len, then the status: whoever sees the status sees all that was written before. */
static inline void shared_publish(void *buffer, uint64_t status, uint32_t out_len)
{
	uint32_t *length = shared_at(buffer, SHARED_OUT_LEN);
	uint64_t *field = shared_at(buffer, SHARED_STATUS);

	__atomic_store_n(length, htole32(out_len), __ATOMIC_RELAXED);
	__atomic_store_n(field, htole64(status), __ATOMIC_RELEASE);
}
