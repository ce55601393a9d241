/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host was shown of a device, for people to read. Nothing is verified here: signatures,
 * trust and freshness are the TVM's to judge. Bytes that break their format are told, not hidden.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct EvidencePart {
	const char *name; /* member of io.tdid.Assignments.Evidence */
	uint8_t *data;
	size_t size;
} EvidencePart;

/* The part's size and SHA-384 digest, then what it says. Returns false when it cannot be read. */
bool evidence_summary_print(const EvidencePart *part, FILE *stream);
