/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a quoting service answers the agent: a message without its frame. */
#include "agent/qgs-client.h"
#include "core/tdx-quote.h"
#include "fuzz.h"

bool fuzz_one(const uint8_t *data, size_t size)
{
	const uint8_t *quote = NULL;
	char *error = NULL;
	size_t quote_size;
	int r = qgs_client_read(&quote, &quote_size, data, size, &error);

	if (!fuzz_good(r, error))
		return false;
	CHECK(quote_size > 0 && quote_size <= TDX_QUOTE_MAX);
	CHECK(quote >= data && quote + quote_size <= data + size);
	return true;
}
