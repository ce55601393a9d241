/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TDX quotes in form only: nobody signed them. */
#pragma once

#include "core/bytes.h"
#include "core/tdx-quote.h"

#include <criterion/criterion.h>

#define TESTING_QUOTE_SIGNATURE 600u
#define TESTING_QUOTE_SIZE	(TDX_QUOTE_MIN_SIZE + TESTING_QUOTE_SIGNATURE)
#define TESTING_QUOTE_ROOM	(TESTING_QUOTE_SIZE + 6 + 64)

/* version: 4; 5 with a body of TDX 1.5. Returns the size. */
static inline size_t testing_quote_make(uint8_t ret[static TESTING_QUOTE_ROOM], uint16_t version,
					const uint8_t report_data[static TDX_QUOTE_DATA_SIZE])
{
	ByteWriter w = byte_writer(ret, TESTING_QUOTE_ROOM);

	bytes_put_u16(&w, version);
	bytes_put_u16(&w, 2);
	bytes_put_u32(&w, 0x81);
	bytes_put_zero(&w, 40);
	if (version == 5) {
		bytes_put_u16(&w, 3);
		bytes_put_u32(&w, TDX_QUOTE_BODY_1_5_SIZE);
	}
	bytes_put_zero(&w, 120);
	bytes_put_u64(&w, TDX_QUOTE_ATTRIBUTE_DEBUG);
	bytes_put_u64(&w, 3);
	for (uint8_t i = 1; i <= 8; i++)
		for (unsigned int n = 0; n < TDX_QUOTE_MR_SIZE; n++)
			bytes_put_u8(&w, i); /* MRTD is 1 */
	bytes_put(&w, report_data, TDX_QUOTE_DATA_SIZE);
	if (version == 5)
		bytes_put_zero(&w, 64);
	bytes_put_u32(&w, TESTING_QUOTE_SIGNATURE);
	for (unsigned int n = 0; n < TESTING_QUOTE_SIGNATURE; n++)
		bytes_put_u8(&w, 0xee);
	cr_assert_not(w.failed);
	return w.used;
}
