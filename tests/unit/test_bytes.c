/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/bytes.h"

#include <criterion/criterion.h>

Test(bytes, short_reads_fail_and_stay_failed)
{
	static const uint8_t data[3] = { 1, 2, 3 };
	ByteReader r = byte_reader(data, sizeof(data));
	uint8_t copy[4] = { 9, 9, 9, 9 };

	cr_assert_eq(bytes_take_u32(&r), 0);
	cr_assert(r.failed);
	cr_assert_eq(bytes_take_u8(&r), 0, "a failed reader gave a byte");
	cr_assert_null(bytes_take(&r, 0));
	bytes_take_copy(&r, copy, sizeof(copy));
	cr_assert_arr_eq(copy, ((uint8_t[4]){}), sizeof(copy));
	cr_assert_not(bytes_taken_all(&r));
}

Test(bytes, huge_lengths_fail)
{
	static const uint8_t data[3] = { 1, 2, 3 };
	ByteReader r = byte_reader(data, sizeof(data));
	volatile size_t huge = SIZE_MAX;
	uint8_t buffer[2];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));

	cr_assert_null(bytes_take(&r, SIZE_MAX));
	/* Where the compiler cannot see it, or it warns. */
	bytes_put(&w, data, huge);
	cr_assert(w.failed);
	cr_assert_eq(w.used, 0);
}

Test(bytes, empty)
{
	ByteReader r = byte_reader(NULL, 0);

	cr_assert(bytes_taken_all(&r));
	cr_assert_eq(bytes_take_u8(&r), 0);
	cr_assert_not(bytes_taken_all(&r));
}

Test(bytes, zeros_have_to_be_zero)
{
	static const uint8_t data[4] = { 0, 0, 0, 1 };
	ByteReader r = byte_reader(data, sizeof(data));

	bytes_take_zero(&r, 3);
	cr_assert_not(r.failed);
	bytes_take_zero(&r, 1);
	cr_assert(r.failed);
}

Test(bytes, trailing_bytes_show)
{
	static const uint8_t data[2] = { 1, 2 };
	ByteReader r = byte_reader(data, sizeof(data));

	cr_assert_eq(bytes_take_u8(&r), 1);
	cr_assert_not(bytes_taken_all(&r));
	cr_assert_eq(bytes_take_u8(&r), 2);
	cr_assert(bytes_taken_all(&r));
}

Test(bytes, full_writer_writes_no_more)
{
	uint8_t buffer[4] = { 9, 9, 9, 9 };
	ByteWriter w = byte_writer(buffer, 3);

	bytes_put_u16(&w, 0x0201);
	bytes_put_u16(&w, 0x0403);
	cr_assert(w.failed);
	bytes_put_u8(&w, 3);
	cr_assert_eq(w.used, 2);
	cr_assert_arr_eq(buffer, ((uint8_t[]){ 1, 2, 9, 9 }), 4);
}

Test(bytes, little_endian_both_ways)
{
	static const uint8_t expected[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
					    0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x8f, 0,    0,    0x10 };
	uint8_t buffer[sizeof(expected)];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	ByteReader r = byte_reader(buffer, sizeof(buffer));
	const uint8_t *in_place;

	bytes_put_u8(&w, 0x01);
	bytes_put_u16(&w, 0x0302);
	bytes_put_u32(&w, 0x07060504);
	bytes_put_u64(&w, 0x8f0e0d0c0b0a0908);
	bytes_put_zero(&w, 2);
	bytes_put(&w, "\x10", 1);
	bytes_put(&w, NULL, 0);
	cr_assert_not(w.failed);
	cr_assert_eq(w.used, sizeof(expected));
	cr_assert_arr_eq(buffer, expected, sizeof(expected));

	cr_assert_eq(bytes_take_u8(&r), 0x01);
	cr_assert_eq(bytes_take_u16(&r), 0x0302);
	cr_assert_eq(bytes_take_u32(&r), 0x07060504);
	cr_assert_eq(bytes_take_u64(&r), 0x8f0e0d0c0b0a0908);
	bytes_take_zero(&r, 2);
	in_place = bytes_take(&r, 1);
	cr_assert_eq(in_place, buffer + sizeof(buffer) - 1);
	cr_assert(bytes_taken_all(&r));
}
