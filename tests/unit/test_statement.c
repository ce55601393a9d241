/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/statement.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static Statement sample(void)
{
	Statement s;

	/* Distinct bytes everywhere, so that swapped fields show. */
	for (size_t i = 0; i < sizeof(s); i++)
		((uint8_t *)&s)[i] = (uint8_t)(i * 7 + 1);
	s.flags = STATEMENT_SESSION_SECURED | STATEMENT_IDE_KEYS | STATEMENT_ACCEPTED;
	s.tdisp_state = 2;
	s.spdm_version = 0x12;
	s.slot = 3;
	s.link = STATEMENT_LINK_SELECTIVE_IDE;
	s.lock_flags = 5;
	return s;
}

static void refused(const uint8_t *good, size_t at, uint8_t value)
{
	uint8_t copy[STATEMENT_SIZE];
	Statement s;

	memcpy(copy, good, sizeof(copy));
	copy[at] = value;
	cr_assert_eq(statement_parse(&s, copy, sizeof(copy)), -EBADMSG, "byte %zu = 0x%02x", at,
		     value);
}

Test(statement, broken)
{
	static const uint8_t zeros[] = { 28, 31, 46, 47, 60, 63 };
	uint8_t good[STATEMENT_SIZE + 1] = {};
	Statement s = sample();

	cr_assert_eq(statement_write(&s, good), 0);
	for (size_t n = 0; n < STATEMENT_SIZE; n++)
		cr_assert_eq(statement_parse(&s, good, n), -EBADMSG, "%zu bytes", n);
	cr_assert_eq(statement_parse(&s, good, STATEMENT_SIZE + 1), -EBADMSG);
	refused(good, 0, 2); /* version */
	refused(good, 1, 1);
	refused(good, 2, 0x77); /* size */
	refused(good, 3, 0);
	refused(good, 4, 0x66); /* an unknown flag */
	refused(good, 7, 0x80);
	refused(good, 40, 4); /* state */
	refused(good, 42, 8); /* slot */
	refused(good, 43, 4); /* link */
	refused(good, 43, STATEMENT_LINK_EMULATED);
	refused(good, 43, STATEMENT_LINK_INTEGRATED);
	refused(good, 4, (uint8_t)s.flags | STATEMENT_INTEGRATED);
	refused(good, 44, 0x20); /* a reserved lock flag */
	for (size_t i = 0; i < sizeof(zeros); i++)
		refused(good, zeros[i], 1);
}

Test(statement, writer_refuses)
{
	uint8_t buffer[STATEMENT_SIZE];
	Statement s = sample();

	s.link = STATEMENT_LINK_EMULATED;
	cr_assert_eq(statement_write(&s, buffer), -EINVAL);
	s.flags |= STATEMENT_EMULATED;
	cr_assert_eq(statement_write(&s, buffer), 0);
	s.tdisp_state = 4;
	cr_assert_eq(statement_write(&s, buffer), -EINVAL);
}

Test(statement, layout)
{
	uint8_t b[STATEMENT_SIZE];
	Statement s = sample();

	s.generation = 0x1122334455667788;
	s.guest_rid = 0x00010203;
	cr_assert_eq(statement_write(&s, b), 0);
	cr_assert_arr_eq(b, "\x01\x00\x78\x01\x26\x00\x00\x00", 8);
	cr_assert_arr_eq(b + 8, s.tvm, 16);
	cr_assert_arr_eq(b + 24, "\x03\x02\x01\x00\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11", 16);
	cr_assert_arr_eq(b + 40, "\x02\x12\x03\x01\x05\x00\0\0", 8);
	cr_assert_arr_eq(b + 64, s.evidence.certificates.bytes, DIGEST_SIZE);
	cr_assert_arr_eq(b + 112, s.leaf_key.bytes, DIGEST_SIZE);
	cr_assert_arr_eq(b + 160, s.evidence.vca.bytes, DIGEST_SIZE);
	cr_assert_arr_eq(b + 208, s.evidence.measurements.bytes, DIGEST_SIZE);
	cr_assert_arr_eq(b + 256, s.evidence.report.bytes, DIGEST_SIZE);
	cr_assert_arr_eq(b + 304, &s.evidence.identity_sequence, 8);
	cr_assert_arr_eq(b + 312, &s.evidence.measurements_sequence, 8);
	cr_assert_arr_eq(b + 320, &s.evidence.report_sequence, 8);
	cr_assert_arr_eq(b + 328, s.instance, 16);
	cr_assert_arr_eq(b + 344, s.nonce, 32);
}

Test(statement, round_trip)
{
	uint8_t first[STATEMENT_SIZE], second[STATEMENT_SIZE];
	Statement s = sample(), t;

	cr_assert_eq(statement_write(&s, first), 0);
	cr_assert_eq(statement_parse(&t, first, sizeof(first)), 0);
	cr_assert_eq(statement_write(&t, second), 0);
	cr_assert_arr_eq(first, second, sizeof(first));
	cr_assert_eq(t.dhe, s.dhe);
	cr_assert_eq(t.aead, s.aead);
	cr_assert_eq(t.base_asym, s.base_asym);
	cr_assert_eq(t.base_hash, s.base_hash);
	cr_assert_str_eq(statement_link_name(t.link), "selective IDE");
	cr_assert_str_eq(statement_link_name(9), "unknown");
}
