/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The signed measurement transcript of SPDM 1.2: all GET_MEASUREMENTS / MEASUREMENTS pairs since
 * the last reset, one behind the other; the last one asked for a signature and ends with it. It
 * signs SHA-384(VCA || the pairs without that signature), "L1/L2" in DSP0274.
 */
#pragma once

#include "core/digest.h"
#include "core/measurement-block.h"
#include "core/spdm.h"

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

/* What a verifier holds against a transcript. All borrowed. */
typedef struct MeasurementsCheck {
	const void *vca; /* as bytes */
	size_t vca_size;
	EVP_PKEY *key;	      /* the leaf certificate's */
	uint8_t slot;	      /* whose certificate that is */
	const uint8_t *nonce; /* SPDM_NONCE_SIZE bytes, that the last request has to carry */
} MeasurementsCheck;

/*
 * Parses strictly, verifies nonce, slot, signature and that the content did not change meanwhile,
 * and only then reads the blocks into *ret, which borrows from `data`. -EBADMSG: format;
 * -EKEYREJECTED: the signature; -ESTALE: nonce or slot are not those asked for, or the content
 * changed while it was being read; all with a sentence; -EIO: libcrypto.
 */
int measurements_verify(MeasurementSet *ret, const void *data, size_t size,
			const MeasurementsCheck *check, char **ret_error);

/* What a responder measures with. All borrowed. */
typedef struct MeasurementsSource {
	const void *vca;
	size_t vca_size;
	const void *earlier; /* pairs since the last reset; NULL if none */
	size_t earlier_size;
	const void *record; /* all blocks */
	size_t record_size;
	unsigned int n_blocks;
	uint8_t nonce[SPDM_NONCE_SIZE]; /* fresh, the responder's own */
	uint8_t content_changed;	/* SpdmContentChanged */
	uint8_t slot;			/* the one whose key this is */
	EVP_PKEY *key;
} MeasurementsSource;

/*
 * Appends the answer to one GET_MEASUREMENTS, signed if it asks so. The transcript for a verifier
 * is `earlier`, then the request, then what was appended. -EBADMSG: the request's format; -ENOENT:
 * no such index or slot (answer SPDM_ERROR_INVALID_REQUEST in both cases); -EIO: libcrypto;
 * -ENOSPC.
 */
int measurements_answer(ByteWriter *w, const MeasurementsSource *source, const void *request,
			size_t request_size);
