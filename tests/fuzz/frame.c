/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A byte stream cut into frames: the same frames however read(2) cut it, and those that lie between
 * the NULs. Input: the limit, how it is cut, the stream.
 */
#include "rpc/frame.h"
#include "fuzz.h"

#include <string.h>

typedef struct Model {
	const uint8_t *at, *end;
	size_t limit;
} Model;

/* The next frame that the reader has to give; a copy would not say more than its place. */
static FrameOutcome model_next(Model *m, const uint8_t **ret, size_t *ret_size)
{
	const uint8_t *nul;

	while (m->at < m->end && *m->at == '\0')
		m->at++;
	nul = m->at < m->end ? memchr(m->at, '\0', (size_t)(m->end - m->at)) : NULL;
	if (!nul)
		return FRAME_NONE;
	*ret = m->at;
	*ret_size = (size_t)(nul - m->at);
	m->at = nul + 1;
	return *ret_size > m->limit ? FRAME_OVERSIZE : FRAME_READY;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(frame_reader_freep) FrameReader *reader = NULL;
	bool good = true;
	unsigned int step;
	Model model;

	if (size < 2)
		return false;
	step = data[1];
	model = (Model){ .at = data + 2, .end = data + size, .limit = data[0] + 1u };
	CHECK(frame_reader_new(&reader, model.limit) == 0);
	for (const uint8_t *at = data + 2; at < data + size;) {
		size_t n = step % 7 == 0 ? (size_t)(data + size - at) : step % 7, wanted_size;
		const char *piece = (const char *)at, *text;
		const uint8_t *wanted;
		size_t left, len;
		int r;

		left = n = n < (size_t)(data + size - at) ? n : (size_t)(data + size - at);
		while ((r = frame_reader_next(reader, &piece, &left, &text, &len)) > 0) {
			CHECK(model_next(&model, &wanted, &wanted_size) == (FrameOutcome)r);
			if (r == FRAME_OVERSIZE) {
				good = false;
				continue;
			}
			CHECK(len == wanted_size && memcmp(text, wanted, len) == 0);
			CHECK(text[len] == '\0');
		}
		CHECK(r == FRAME_NONE && left == 0);
		at += n;
		step = step / 7 + 1;
	}
	/* An oversize frame may be told before its end: then the model is where the reader is. */
	return good;
}
