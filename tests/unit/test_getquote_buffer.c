/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/getquote-buffer.h"

#include <criterion/criterion.h>
#include <string.h>

Test(getquote_buffer, call)
{
	static const struct {
		uint64_t address, size, call;
	} calls[] = {
		{ 0x1000, 0, GETQUOTE_CALL_INVALID_OPERAND },
		{ 0x1001, 0, GETQUOTE_CALL_INVALID_OPERAND },
		{ 0x1001, 0x1000, GETQUOTE_CALL_ALIGN_ERROR },
		{ 0x1000, 1, GETQUOTE_CALL_ALIGN_ERROR },
		{ 0x1000, 0x1fff, GETQUOTE_CALL_ALIGN_ERROR },
		{ 0x1000, UINT64_MAX, GETQUOTE_CALL_ALIGN_ERROR },
		{ 0x1000, 0x21000, GETQUOTE_CALL_INVALID_OPERAND },
		{ 0x1000, UINT64_MAX - 0xfff, GETQUOTE_CALL_INVALID_OPERAND },
		{ UINT64_MAX - 0xfff, 0x1000, GETQUOTE_CALL_INVALID_OPERAND },
		{ UINT64_MAX - 0x1fff, 0x1000, GETQUOTE_CALL_SUCCESS },
		{ 0, 0x1000, GETQUOTE_CALL_SUCCESS },
		{ 0x1000, 0x20000, GETQUOTE_CALL_SUCCESS },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		cr_assert_eq(getquote_check_call(calls[i].address, calls[i].size), calls[i].call,
			     "%zu", i);
}

static void refused(GetquoteHeader header, size_t size, const char *about)
{
	const char *why = getquote_check_header(&header, size);

	cr_assert_not_null(why, "%s", about);
	cr_assert(strstr(why, about), "\"%s\" says nothing of \"%s\"", why, about);
}

Test(getquote_buffer, header_refused)
{
	refused((GetquoteHeader){ .version = 1, .in_len = 1 }, 23, "smaller than its header");
	refused((GetquoteHeader){ .version = 0, .in_len = 1024 }, 4096, "version");
	refused((GetquoteHeader){ .version = 2, .in_len = 1024 }, 4096, "version");
	refused((GetquoteHeader){ .version = UINT64_C(1) << 32 | 1, .in_len = 1024 }, 4096,
		"version");
	refused((GetquoteHeader){ .version = 1 }, 4096, "in_len is 0");
	refused((GetquoteHeader){ .version = 1, .in_len = 4073 }, 4096, "behind its end");
	refused((GetquoteHeader){ .version = 1, .in_len = UINT32_MAX }, 4096, "behind its end");
}

Test(getquote_buffer, header_taken)
{
	GetquoteHeader header = { .version = 1, .in_len = 4072 };

	cr_assert_null(getquote_check_header(&header, 4096));
	/* A buffer that is used again. */
	header.status = GETQUOTE_ERROR;
	header.out_len = 12;
	cr_assert_null(getquote_check_header(&header, 4096));
}

Test(getquote_buffer, on_the_wire)
{
	static const uint8_t bytes[GETQUOTE_HEADER_SIZE] = {
		1, 0, 0, 0, 0, 0, 0, 0,	   1,	 0,    0,    0,
		0, 0, 0, 8, 0, 4, 0, 0x10, 0x21, 0x43, 0x65, 0x87,
	};
	uint8_t written[GETQUOTE_HEADER_SIZE];
	GetquoteHeader header;

	getquote_header_read(&header, bytes);
	cr_assert_eq(header.version, 1);
	cr_assert_eq(header.status, UINT64_C(0x0800000000000001));
	cr_assert_eq(header.in_len, 0x10000400u);
	cr_assert_eq(header.out_len, 0x87654321u);
	getquote_header_write(written, &header);
	cr_assert_arr_eq(written, bytes, sizeof(bytes));
}
