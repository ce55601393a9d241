/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tdx-quote.h"

#include "core/bytes.h"

#include <errno.h>

#define TEE_TDX		 0x81u
#define BODY_TYPE_TD	 2u
#define BODY_TYPE_TD_1_5 3u

static int refuse_form(const char **ret_why, int code, const char *why)
{
	if (ret_why)
		*ret_why = why;
	return code;
}

/* The body's size, 0: unknown. */
static size_t take_body_size(ByteReader *r, uint16_t version)
{
	uint16_t type;
	uint32_t size;

	if (version == 4)
		return TDX_QUOTE_BODY_SIZE;
	type = bytes_take_u16(r);
	size = bytes_take_u32(r);
	if (type == BODY_TYPE_TD && size == TDX_QUOTE_BODY_SIZE)
		return size;
	return type == BODY_TYPE_TD_1_5 && size == TDX_QUOTE_BODY_1_5_SIZE ? size : 0;
}

static void take_body(ByteReader *r, TdxQuote *quote)
{
	bytes_take(r, 16 + 48 + 48 + 8);
	quote->attributes = bytes_take_u64(r);
	bytes_take(r, 8);
	quote->mr_td = bytes_take(r, TDX_QUOTE_MR_SIZE);
	quote->mr_config_id = bytes_take(r, TDX_QUOTE_MR_SIZE);
	bytes_take(r, (2 + 4) * TDX_QUOTE_MR_SIZE);
	quote->report_data = bytes_take(r, TDX_QUOTE_DATA_SIZE);
}

int tdx_quote_parse(TdxQuote *ret, const void *data, size_t size, const char **ret_why)
{
	ByteReader r = byte_reader(data, size), body;
	TdxQuote quote = { 0 };
	uint32_t signature_size;
	const uint8_t *at;
	size_t body_size;

	if (size > TDX_QUOTE_MAX)
		return refuse_form(ret_why, -EBADMSG, "it has more than 128 KiB");
	quote.version = bytes_take_u16(&r);
	bytes_take(&r, 2);
	if (!r.failed && quote.version != 4 && quote.version != 5)
		return refuse_form(ret_why, -EPROTONOSUPPORT,
				   "it is of neither version 4 nor version 5");
	if (bytes_take_u32(&r) != TEE_TDX && !r.failed)
		return refuse_form(ret_why, -EBADMSG, "it is not of a TDX guest");
	bytes_take(&r, TDX_QUOTE_HEADER_SIZE - 8);
	body_size = take_body_size(&r, quote.version);
	if (!r.failed && !body_size)
		return refuse_form(ret_why, -EBADMSG, "its body is of no known type and size");
	at = bytes_take(&r, body_size);
	signature_size = bytes_take_u32(&r);
	bytes_take(&r, signature_size);
	if (r.failed)
		return refuse_form(ret_why, -EBADMSG, "it ends too early");
	if (!signature_size)
		return refuse_form(ret_why, -EBADMSG, "it is not signed");
	body = byte_reader(at, body_size);
	take_body(&body, &quote);
	quote.size = size - r.left;
	*ret = quote;
	return 0;
}
