/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes of a length known only at run time, owned. */
#pragma once

#include "core/cleanup.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

typedef struct Blob {
	uint8_t *data; /* malloc'ed; NULL when size is 0 */
	size_t size;
} Blob;

static inline void blob_done(Blob *blob)
{
	free(blob->data);
	*blob = (Blob){};
}

/* Replaces what `blob` held by a copy of `data`. -ENOMEM leaves it as it was. */
static inline int blob_set(Blob *blob, const void *data, size_t size)
{
	uint8_t *copy = NULL;

	if (size) {
		copy = malloc(size);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, data, size);
	}
	free(blob->data);
	*blob = (Blob){ .data = copy, .size = size };
	return 0;
}

/* Hands the bytes on and leaves `blob` empty. */
static inline Blob blob_steal(Blob *blob)
{
	Blob stolen = *blob;

	*blob = (Blob){};
	return stolen;
}

#define _cleanup_blob_ _cleanup_(blob_done)
