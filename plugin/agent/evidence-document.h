/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All that a verifier needs to judge a device by itself, as one JSON document
 * (schemas/relying-party-evidence.schema.json).
 */
#pragma once

#include "agent/function.h"
#include "core/evidence.h"

#include <stddef.h>
#include <stdint.h>

#define EVIDENCE_DOCUMENT_VERSION 1

/* All borrowed. */
typedef struct EvidenceSubject {
	const Function *function; /* as this TVM sees it */
	const uint8_t *nonce;	  /* of this verification, STATEMENT_NONCE_SIZE bytes */
	const void *statement;	  /* as it came out of the sealed message */
	size_t statement_size;
	const Statement *stated; /* the same, read */
	const EvidenceBlobs *blobs;
} EvidenceSubject;

/*
 * *ret is allocated, UTF-8 without a line's end. -ERANGE with a sentence: a number that JSON's
 * integers, as this project writes them, cannot hold; -ENOMEM.
 */
int evidence_document(char **ret, size_t *ret_size, const EvidenceSubject *subject,
		      char **ret_error);
