/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "VCA": the first six messages of an SPDM connection, GET_VERSION to ALGORITHMS, one behind the
 * other without padding. Every later signature of the connection covers them.
 */
#pragma once

#include "core/spdm.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Vca {
	uint8_t version; /* negotiated, 0x12 */
	SpdmCapabilities requester;
	SpdmCapabilities responder;
	SpdmAlgorithms offered;
	SpdmAlgorithms chosen;
} Vca;

/*
 * Strict: also that the responder offers SPDM 1.2, that what was chosen had been offered, and at
 * most one of each. 0, -EBADMSG or -EPROTONOSUPPORT, with a sentence.
 */
int vca_parse(Vca *ret, const void *data, size_t size, char **ret_error);
