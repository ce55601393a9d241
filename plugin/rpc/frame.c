/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader holds at most one frame's beginning. It is either collecting or, once the limit is
 * passed, skipping to the next NUL; the NUL that ends a skipped frame is what reports it.
 */
#include "rpc/frame.h"

#include <errno.h>
#include <string.h>

#define BUFFER_START 512u

struct FrameReader {
	char *buffer; /* grows up to limit + 1, for the NUL */
	size_t size, used, limit;
	bool skipping;
	bool handed_out; /* the buffer is a frame that the caller has seen */
};

int frame_reader_new(FrameReader **ret, size_t limit)
{
	FrameReader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->limit = limit;
	*ret = reader;
	return 0;
}

FrameReader *frame_reader_free(FrameReader *reader)
{
	if (reader)
		free(reader->buffer);
	free(reader);
	return NULL;
}

void frame_reader_reset(FrameReader *reader)
{
	reader->used = 0;
	reader->skipping = false;
	reader->handed_out = false;
}

bool frame_reader_is_empty(const FrameReader *reader)
{
	return reader->handed_out || (reader->used == 0 && !reader->skipping);
}

static int reserve(FrameReader *reader, size_t needed)
{
	size_t size = reader->size ? reader->size : BUFFER_START;
	char *buffer;

	if (needed <= reader->size)
		return 0;
	while (size < needed)
		size *= 2;
	if (size > reader->limit + 1)
		size = reader->limit + 1;
	buffer = realloc(reader->buffer, size);
	if (!buffer)
		return -ENOMEM;
	reader->buffer = buffer;
	reader->size = size;
	return 0;
}

/* Adds a piece without its NUL; from the first byte over the limit on the frame is given up. */
static int collect(FrameReader *reader, const char *piece, size_t n)
{
	int r;

	if (reader->skipping)
		return 0;
	if (n > reader->limit - reader->used) {
		reader->skipping = true;
		reader->used = 0;
		return 0;
	}
	r = reserve(reader, reader->used + n + 1);
	if (r < 0)
		return r;
	memcpy(reader->buffer + reader->used, piece, n);
	reader->used += n;
	return 0;
}

int frame_reader_next(FrameReader *reader, const char **data, size_t *len, const char **ret_text,
		      size_t *ret_len)
{
	if (reader->handed_out)
		frame_reader_reset(reader);

	while (*len > 0) {
		const char *end = memchr(*data, '\0', *len);
		size_t n = end ? (size_t)(end - *data) : *len;
		int r;

		if (n > 0) {
			r = collect(reader, *data, n);
			if (r < 0)
				return r;
		}
		*data += n;
		*len -= n;
		if (!end)
			break;
		(*data)++;
		(*len)--;
		if (reader->skipping) {
			frame_reader_reset(reader);
			return FRAME_OVERSIZE;
		}
		if (reader->used == 0)
			continue;
		reader->buffer[reader->used] = '\0';
		reader->handed_out = true;
		*ret_text = reader->buffer;
		*ret_len = reader->used;
		return FRAME_READY;
	}
	return FRAME_NONE;
}
