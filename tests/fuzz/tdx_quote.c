/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tdx-quote.h"
#include "fuzz.h"

#include <errno.h>

static bool within(const uint8_t *field, size_t n, const uint8_t *data, size_t size)
{
	return field >= data && (size_t)(field - data) <= size &&
	       n <= size - (size_t)(field - data);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	TdxQuote quote;
	int r = tdx_quote_parse(&quote, data, size, &why);

	CHECK(r == 0 || ((r == -EBADMSG || r == -EPROTONOSUPPORT) && why && fuzz_is_shown(why)));
	if (r < 0)
		return false;
	CHECK(quote.version == 4 || quote.version == 5);
	CHECK(quote.size > TDX_QUOTE_MIN_SIZE && quote.size <= size && size <= TDX_QUOTE_MAX);
	CHECK(within(quote.mr_td, TDX_QUOTE_MR_SIZE, data, quote.size));
	CHECK(within(quote.mr_config_id, TDX_QUOTE_MR_SIZE, data, quote.size));
	CHECK(within(quote.report_data, TDX_QUOTE_DATA_SIZE, data, quote.size));
	/* Padding says nothing. */
	CHECK(tdx_quote_parse(&quote, data, quote.size, NULL) == 0);
	CHECK(tdx_quote_parse(&quote, data, quote.size - 1, NULL) < 0);
	return true;
}
