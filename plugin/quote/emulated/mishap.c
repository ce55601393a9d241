/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mishap.h"

#include "core/cleanup.h"
#include "core/qgs-message.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Of a framed message, see core/qgs-message.h: */
#define MINOR_AT      (QGS_FRAME_SIZE + 2)
#define TYPE_AT	      (QGS_FRAME_SIZE + 4)
#define SIZE_AT	      (QGS_FRAME_SIZE + 8)
#define ID_SIZE_AT    (QGS_FRAME_SIZE + QGS_HEADER_SIZE)
#define QUOTE_SIZE_AT (ID_SIZE_AT + 4)

static const char *const names[_MISHAP_MAX] = {
	[MISHAP_SILENT] = "silent",
	[MISHAP_CLOSE] = "close",
	[MISHAP_REFUSE] = "refuse",
	[MISHAP_SPLIT] = "split",
	[MISHAP_CUT] = "cut",
	[MISHAP_SHORT_FRAME] = "short_frame",
	[MISHAP_LONG_FRAME] = "long_frame",
	[MISHAP_HUGE_FRAME] = "huge_frame",
	[MISHAP_WRONG_SIZE] = "wrong_size",
	[MISHAP_WRONG_QUOTE_SIZE] = "wrong_quote_size",
	[MISHAP_WRONG_ID_SIZE] = "wrong_id_size",
	[MISHAP_OLD_VERSION] = "old_version",
	[MISHAP_WRONG_TYPE] = "wrong_type",
	[MISHAP_TRAILING_BYTE] = "trailing_byte",
};

const char *mishap_name(MishapKind kind)
{
	return names[kind];
}

int mishap_from_name(MishapKind *ret, const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (names[i] && strcmp(names[i], name) == 0) {
			*ret = (MishapKind)i;
			return 0;
		}
	return -EINVAL;
}

/* Adds to the 32 bits there. */
static void add_le(Blob *answer, size_t at, uint32_t n)
{
	uint32_t v;

	if (at + sizeof(v) > answer->size)
		return;
	memcpy(&v, answer->data + at, sizeof(v));
	v = htole32(le32toh(v) + n);
	memcpy(answer->data + at, &v, sizeof(v));
}

static void set_frame(Blob *answer, uint32_t size)
{
	size = htobe32(size);
	memcpy(answer->data, &size, sizeof(size));
}

static int add_byte(Blob *answer)
{
	uint8_t *more = realloc(answer->data, answer->size + 1);

	if (!more)
		return -ENOMEM;
	answer->data = more;
	answer->data[answer->size++] = 0;
	return 0;
}

int mishap_spoil(MishapKind kind, Blob *answer)
{
	uint32_t size = (uint32_t)(answer->size - QGS_FRAME_SIZE);

	switch (kind) {
	case MISHAP_SHORT_FRAME: set_frame(answer, size - 1); return 0;
	case MISHAP_LONG_FRAME: set_frame(answer, size + 1); return 0;
	case MISHAP_HUGE_FRAME: set_frame(answer, UINT32_MAX); return 0;
	case MISHAP_WRONG_SIZE: add_le(answer, SIZE_AT, 1); return 0;
	case MISHAP_WRONG_QUOTE_SIZE: add_le(answer, QUOTE_SIZE_AT, 1); return 0;
	case MISHAP_WRONG_ID_SIZE: add_le(answer, ID_SIZE_AT, UINT32_MAX); return 0;
	case MISHAP_OLD_VERSION: answer->data[MINOR_AT] = 0; return 0;
	case MISHAP_WRONG_TYPE: answer->data[TYPE_AT] ^= 0x04; return 0;
	case MISHAP_TRAILING_BYTE: return add_byte(answer);
	default: return 0;
	}
}
