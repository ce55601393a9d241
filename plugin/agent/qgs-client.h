/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One GET_QUOTE over a stream: to tdi-quoted, to Intel's QGS, or to whatever the host puts there.
 * Waits; not for the agent's event loop.
 */
#pragma once

#include "agent/stream-address.h"
#include "core/tdreport.h"

#include <stddef.h>
#include <stdint.h>

/*
 * *ret is allocated: the quote as the service gave it, 1 to TDX_QUOTE_MAX bytes, unread. Negative
 * errno with a sentence that begins with the address; -ETIMEDOUT when time_usec has passed.
 */
int qgs_client_quote(uint8_t **ret, size_t *ret_size, const StreamAddress *address,
		     const uint8_t report[static TDREPORT_SIZE], uint64_t time_usec,
		     char **ret_error);

/*
 * The quote in a whole message without its frame, borrowed from `data`. Negative errno with a
 * sentence: malformed, another kind of message, an error of the service's, no quote.
 */
int qgs_client_read(const uint8_t **ret, size_t *ret_size, const uint8_t *data, size_t size,
		    char **ret_error);
