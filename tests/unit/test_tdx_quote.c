/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/cleanup.h"
#include "testing-quote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t data[TDX_QUOTE_DATA_SIZE] = { 7, [63] = 9 };

static void refused(const uint8_t *quote, size_t size, int code, const char *words)
{
	TdxQuote parsed = { .version = 99 };
	const char *why = NULL;

	cr_assert_eq(tdx_quote_parse(&parsed, quote, size, &why), code, "%zu bytes", size);
	cr_assert(why && strstr(why, words), "\"%s\" does not say %s", why, words);
	cr_assert_eq(parsed.version, 99);
	cr_assert_eq(tdx_quote_parse(&parsed, quote, size, NULL), code);
}

Test(tdx_quote, short_ones)
{
	uint8_t quote[TESTING_QUOTE_ROOM];

	for (uint16_t version = 4; version <= 5; version++) {
		size_t size = testing_quote_make(quote, version, data);

		for (size_t n = 0; n < size; n++)
			refused(quote, n, -EBADMSG, "ends too early");
	}
}

Test(tdx_quote, broken)
{
	_cleanup_free_ uint8_t *large = calloc(1, TDX_QUOTE_MAX + 1);
	uint8_t quote[TESTING_QUOTE_ROOM];
	size_t size = testing_quote_make(quote, 4, data);

	memcpy(large, quote, size);
	refused(large, TDX_QUOTE_MAX + 1, -EBADMSG, "128 KiB");
	quote[0] = 3;
	refused(quote, size, -EPROTONOSUPPORT, "version");
	quote[0] = 6;
	refused(quote, size, -EPROTONOSUPPORT, "version");
	quote[0] = 4;
	quote[4] = 0; /* an SGX enclave's */
	refused(quote, size, -EBADMSG, "TDX");
	quote[4] = 0x81;
	memset(quote + TDX_QUOTE_MIN_SIZE - 4, 0xff, 4);
	refused(quote, size, -EBADMSG, "ends too early");
	memset(quote + TDX_QUOTE_MIN_SIZE - 4, 0, 4);
	refused(quote, size, -EBADMSG, "not signed");

	size = testing_quote_make(quote, 5, data);
	quote[48] = 2; /* with the size of 3 */
	refused(quote, size, -EBADMSG, "type and size");
	quote[48] = 1; /* an enclave's */
	refused(quote, size, -EBADMSG, "type and size");
	quote[48] = 3;
	quote[50]++;
	refused(quote, size, -EBADMSG, "type and size");
}

Test(tdx_quote, good)
{
	uint8_t quote[TESTING_QUOTE_ROOM + 3] = {};

	for (uint16_t version = 4; version <= 5; version++) {
		size_t size = testing_quote_make(quote, version, data);
		TdxQuote q;

		for (size_t padding = 0; padding <= 3; padding++) {
			cr_assert_eq(tdx_quote_parse(&q, quote, size + padding, NULL), 0);
			cr_assert_eq(q.version, version);
			cr_assert_eq(q.size, size);
			cr_assert_eq(q.attributes, TDX_QUOTE_ATTRIBUTE_DEBUG);
			cr_assert_eq(q.mr_td[0], 1);
			cr_assert_eq(q.mr_config_id[47], 2);
			cr_assert_arr_eq(q.report_data, data, sizeof(data));
		}
	}
}
