/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bounded reading and writing of little-endian wire formats.
 *
 * A reader or writer that has failed once stays failed: do all the steps, then ask once. A failed
 * reader returns zeros, a failed writer writes nothing more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct ByteReader {
	const uint8_t *at;
	size_t left;
	bool failed;
} ByteReader;

typedef struct ByteWriter {
	uint8_t *start;
	size_t capacity;
	size_t used;
	bool failed;
} ByteWriter;

static inline ByteReader byte_reader(const void *data, size_t size)
{
	return (ByteReader){ .at = data, .left = size };
}

/* The next `n` bytes where they lie, or NULL when there are fewer. */
static inline const uint8_t *bytes_take(ByteReader *r, size_t n)
{
	const uint8_t *p = r->at;

	if (r->failed || n > r->left) {
		r->failed = true;
		return NULL;
	}
	r->at += n;
	r->left -= n;
	return p;
}

static inline uint64_t bytes_take_le(ByteReader *r, unsigned int n)
{
	const uint8_t *p = bytes_take(r, n);
	uint64_t v = 0;

	for (unsigned int i = 0; p && i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static inline uint8_t bytes_take_u8(ByteReader *r)
{
	return (uint8_t)bytes_take_le(r, 1);
}

static inline uint16_t bytes_take_u16(ByteReader *r)
{
	return (uint16_t)bytes_take_le(r, 2);
}

static inline uint32_t bytes_take_u32(ByteReader *r)
{
	return (uint32_t)bytes_take_le(r, 4);
}

static inline uint64_t bytes_take_u64(ByteReader *r)
{
	return bytes_take_le(r, 8);
}

static inline void bytes_take_copy(ByteReader *r, void *to, size_t n)
{
	const uint8_t *p = bytes_take(r, n);

	if (p)
		memcpy(to, p, n);
	else
		memset(to, 0, n);
}

/* Takes `n` bytes that have to be zero. */
static inline void bytes_take_zero(ByteReader *r, size_t n)
{
	const uint8_t *p = bytes_take(r, n);

	for (size_t i = 0; p && i < n; i++)
		if (p[i])
			r->failed = true;
}

/* True if nothing failed and nothing is left. */
static inline bool bytes_taken_all(const ByteReader *r)
{
	return !r->failed && r->left == 0;
}

static inline ByteWriter byte_writer(void *buffer, size_t capacity)
{
	return (ByteWriter){ .start = buffer, .capacity = capacity };
}

static inline void bytes_put(ByteWriter *w, const void *data, size_t n)
{
	if (w->failed || n > w->capacity - w->used) {
		w->failed = true;
		return;
	}
	if (n)
		memcpy(w->start + w->used, data, n);
	w->used += n;
}

static inline void bytes_put_le(ByteWriter *w, uint64_t v, unsigned int n)
{
	uint8_t b[8];

	for (unsigned int i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	bytes_put(w, b, n);
}

static inline void bytes_put_u8(ByteWriter *w, uint8_t v)
{
	bytes_put_le(w, v, 1);
}

static inline void bytes_put_u16(ByteWriter *w, uint16_t v)
{
	bytes_put_le(w, v, 2);
}

static inline void bytes_put_u32(ByteWriter *w, uint32_t v)
{
	bytes_put_le(w, v, 4);
}

static inline void bytes_put_u64(ByteWriter *w, uint64_t v)
{
	bytes_put_le(w, v, 8);
}

static inline void bytes_put_zero(ByteWriter *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes_put_u8(w, 0);
}
