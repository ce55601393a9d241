/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A GetQuote call. Input: R12, R13, the buffer's header, the rest of the buffer. */
#include "core/bytes.h"
#include "core/getquote-buffer.h"
#include "fuzz.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	uint64_t address = bytes_take_u64(&r), buffer_size = bytes_take_u64(&r), call;
	const uint8_t *bytes = bytes_take(&r, GETQUOTE_HEADER_SIZE);
	uint8_t written[GETQUOTE_HEADER_SIZE];
	GetquoteHeader header;
	const char *why;

	if (!bytes)
		return false;
	getquote_header_read(&header, bytes);
	getquote_header_write(written, &header);
	CHECK(memcmp(written, bytes, sizeof(written)) == 0);
	call = getquote_check_call(address, buffer_size);
	if (call != GETQUOTE_CALL_SUCCESS) {
		CHECK(call == GETQUOTE_CALL_INVALID_OPERAND || call == GETQUOTE_CALL_ALIGN_ERROR);
		return false;
	}
	CHECK(buffer_size > 0 && buffer_size <= GETQUOTE_SIZE_MAX && buffer_size % 4096 == 0);
	CHECK(address % 4096 == 0 && address + buffer_size > address);
	why = getquote_check_header(&header, (size_t)buffer_size);
	CHECK(!why || fuzz_is_shown(why));
	if (why)
		return false;
	CHECK(header.version == 1 && header.in_len > 0);
	CHECK(GETQUOTE_HEADER_SIZE + (uint64_t)header.in_len <= buffer_size);
	return true;
}
