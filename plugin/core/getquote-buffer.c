/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/getquote-buffer.h"
#include "core/bytes.h"

void getquote_header_read(GetquoteHeader *ret, const uint8_t bytes[static GETQUOTE_HEADER_SIZE])
{
	ByteReader r = byte_reader(bytes, GETQUOTE_HEADER_SIZE);

	ret->version = bytes_take_u64(&r);
	ret->status = bytes_take_u64(&r);
	ret->in_len = bytes_take_u32(&r);
	ret->out_len = bytes_take_u32(&r);
}

void getquote_header_write(uint8_t bytes[static GETQUOTE_HEADER_SIZE], const GetquoteHeader *header)
{
	ByteWriter w = byte_writer(bytes, GETQUOTE_HEADER_SIZE);

	bytes_put_u64(&w, header->version);
	bytes_put_u64(&w, header->status);
	bytes_put_u32(&w, header->in_len);
	bytes_put_u32(&w, header->out_len);
}

uint64_t getquote_check_call(uint64_t address, uint64_t size)
{
	if (size == 0)
		return GETQUOTE_CALL_INVALID_OPERAND;
	if (address % GETQUOTE_PAGE_SIZE || size % GETQUOTE_PAGE_SIZE)
		return GETQUOTE_CALL_ALIGN_ERROR;
	if (size > GETQUOTE_SIZE_MAX || address > UINT64_MAX - size)
		return GETQUOTE_CALL_INVALID_OPERAND;
	return GETQUOTE_CALL_SUCCESS;
}

const char *getquote_check_header(const GetquoteHeader *header, size_t buffer_size)
{
	if (buffer_size < GETQUOTE_HEADER_SIZE)
		return "the buffer is smaller than its header";
	if (header->version != GETQUOTE_VERSION)
		return "the buffer's version is not 1";
	if (header->in_len == 0)
		return "the buffer holds no TDREPORT: in_len is 0";
	if (header->in_len > buffer_size - GETQUOTE_HEADER_SIZE)
		return "the buffer's in_len points behind its end";
	return NULL;
}
