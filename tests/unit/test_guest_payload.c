/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/guest-payload.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* Parses with the parser of `which`; what was parsed is thrown away. */
static int parse(int which, const void *data, size_t size)
{
	switch (which) {
	case 0: return guest_tdi_info_parse(&(GuestTdiInfo){}, data, size);
	case 1: return guest_tdi_validate_parse(&(GuestTdiValidate){}, data, size);
	case 2: return guest_mmio_validate_parse(&(GuestMmioValidate){}, data, size);
	case 3: return guest_tdi_state_parse(&(GuestTdiState){}, data, size);
	case 4: return guest_tdi_status_parse(&(GuestTdiStatus){}, data, size);
	case 5: return guest_tdi_lock_parse(&(GuestTdiLock){}, data, size);
	default: return guest_tdreport_parse(&(GuestTdreport){}, data, size);
	}
}

static void break_payload(int which, const uint8_t *good, size_t size, const size_t *zeros,
			  size_t n_zeros)
{
	uint8_t copy[GUEST_TDI_VALIDATE_SIZE + 1] = {};

	for (size_t n = 0; n < size; n++)
		cr_assert_eq(parse(which, good, n), -EBADMSG, "%d: %zu bytes", which, n);
	memcpy(copy, good, size);
	cr_assert_eq(parse(which, copy, size + 1), -EBADMSG, "%d: trailing byte", which);
	cr_assert_eq(parse(which, copy, size), 0);
	for (size_t i = 0; i < n_zeros; i++) {
		copy[zeros[i]] = 1;
		cr_assert_eq(parse(which, copy, size), -EBADMSG, "%d: byte %zu", which, zeros[i]);
		copy[zeros[i]] = 0;
	}
}

Test(guest_payload, broken)
{
	uint8_t b[GUEST_TDI_VALIDATE_SIZE];

	guest_tdi_info_write(&(GuestTdiInfo){ .rid = 0x100, .nonce = { 1 } }, b);
	break_payload(0, b, GUEST_TDI_INFO_SIZE, (const size_t[]){ 4, 7 }, 2);

	guest_tdi_validate_write(&(GuestTdiValidate){ .action = GUEST_VALIDATE_ACCEPT }, b);
	break_payload(1, b, GUEST_TDI_VALIDATE_SIZE, (const size_t[]){ 5, 7 }, 2);
	b[4] = 0;
	cr_assert_eq(parse(1, b, GUEST_TDI_VALIDATE_SIZE), -EBADMSG, "no action");
	b[4] = 3;
	cr_assert_eq(parse(1, b, GUEST_TDI_VALIDATE_SIZE), -EBADMSG, "unknown action");
	b[4] = GUEST_VALIDATE_REVOKE;
	cr_assert_eq(parse(1, b, GUEST_TDI_VALIDATE_SIZE), 0);
	for (size_t at = 16; at < GUEST_TDI_VALIDATE_SIZE; at += 5) {
		b[at] = 1;
		cr_assert_eq(parse(1, b, GUEST_TDI_VALIDATE_SIZE), -EBADMSG,
			     "a revocation that quotes evidence");
		b[at] = 0;
	}

	guest_mmio_validate_write(&(GuestMmioValidate){ .address = 0x1000, .pages = 1 }, b);
	break_payload(2, b, GUEST_MMIO_VALIDATE_SIZE, (const size_t[]){ 6, 7 }, 2);
	guest_mmio_validate_write(&(GuestMmioValidate){ .address = 0x1800, .pages = 1 }, b);
	cr_assert_eq(parse(2, b, GUEST_MMIO_VALIDATE_SIZE), -EBADMSG, "not page-aligned");
	guest_mmio_validate_write(&(GuestMmioValidate){ .address = 0x1000, .pages = 0 }, b);
	cr_assert_eq(parse(2, b, GUEST_MMIO_VALIDATE_SIZE), -EBADMSG, "no pages");
	guest_mmio_validate_write(&(GuestMmioValidate){ .address = UINT64_MAX - 0xfff, .pages = 1 },
				  b);
	cr_assert_eq(parse(2, b, GUEST_MMIO_VALIDATE_SIZE), -EBADMSG, "around the end");
	guest_mmio_validate_write(
		&(GuestMmioValidate){ .address = 0x1000, .pages = UINT64_MAX / 4096 + 1 }, b);
	cr_assert_eq(parse(2, b, GUEST_MMIO_VALIDATE_SIZE), -EBADMSG, "the size overflows");

	guest_tdi_state_write(&(GuestTdiState){ .rid = 1 }, b);
	break_payload(3, b, GUEST_TDI_STATE_SIZE, (const size_t[]){ 4, 7 }, 2);

	guest_tdi_status_write(&(GuestTdiStatus){ .tdisp_state = 3, .generation = 4 }, b);
	break_payload(4, b, GUEST_TDI_STATUS_SIZE, (const size_t[]){ 2, 7 }, 2);
	b[0] = 4;
	cr_assert_eq(parse(4, b, GUEST_TDI_STATUS_SIZE), -EBADMSG, "state");
	b[0] = 1;
	b[1] = 2;
	cr_assert_eq(parse(4, b, GUEST_TDI_STATUS_SIZE), -EBADMSG, "accepted");
	for (uint8_t state = 0; state < 4; state++)
		for (uint8_t accepted = 0; accepted < 2; accepted++)
			for (uint8_t requested = 1; requested < 4; requested++) {
				bool can_be = !accepted && state + 1 == requested && state < 2;

				b[0] = state;
				b[1] = accepted;
				b[2] = requested;
				cr_assert_eq(parse(4, b, GUEST_TDI_STATUS_SIZE),
					     can_be ? 0 : -EBADMSG, "%u requested in %u, %u",
					     requested, state, accepted);
			}

	guest_tdi_lock_write(&(GuestTdiLock){ .rid = 1, .generation = 2 }, b);
	break_payload(5, b, GUEST_TDI_LOCK_SIZE, (const size_t[]){ 4, 7 }, 2);

	guest_tdreport_write(&(GuestTdreport){ .report_data = { 1, 2 } }, b);
	break_payload(6, b, GUEST_TDREPORT_SIZE, NULL, 0);
}

Test(guest_payload, broken_response)
{
	uint8_t b[GUEST_RESPONSE_MAX_SIZE] = {};
	const uint8_t *body;
	GuestStatus status;
	size_t size;

	for (size_t n = 0; n < GUEST_RESPONSE_HEAD_SIZE; n++)
		cr_assert_eq(guest_response_parse(&status, &body, &size, b, n), -EBADMSG);
	b[0] = _GUEST_STATUS_MAX;
	cr_assert_eq(guest_response_parse(&status, &body, &size, b, 8), -EBADMSG, "status");
	b[0] = GUEST_STATUS_BUSY;
	cr_assert_eq(guest_response_parse(&status, &body, &size, b, 9), -EBADMSG, "body");
	b[4] = 1;
	cr_assert_eq(guest_response_parse(&status, &body, &size, b, 8), -EBADMSG, "not zero");
}

Test(guest_payload, round_trips)
{
	GuestTdiValidate v = { .rid = 0x00020304,
			       .action = GUEST_VALIDATE_ACCEPT,
			       .generation = 0x0102030405060708,
			       .evidence = { .certificates = { { 1 } },
					     .vca = { { 2 } },
					     .measurements = { { 3 } },
					     .report = { { 4 } },
					     .identity_sequence = 5,
					     .measurements_sequence = 6,
					     .report_sequence = 7 } },
			 v2;
	GuestMmioValidate m = { 1, 2, 3, 0x4000, 5 }, m2;
	GuestTdiInfo i = { .rid = 9, .nonce = { 8, 7 } }, i2;
	GuestTdiStatus s = { 2, true, 77 }, s2;
	GuestTdiState q = { 0xffffffff }, q2;
	GuestTdiLock l2;
	GuestTdreport d = { .report_data = { 3, [63] = 4 } }, d2;
	uint8_t b[GUEST_TDI_VALIDATE_SIZE];

	guest_tdi_validate_write(&v, b);
	cr_assert_arr_eq(b, "\x04\x03\x02\x00\x01\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x01", 17);
	cr_assert_eq(b[64], 2);
	cr_assert_eq(b[112], 3);
	cr_assert_eq(b[160], 4);
	cr_assert_eq(b[208], 5);
	cr_assert_eq(b[216], 6);
	cr_assert_eq(b[224], 7);
	cr_assert_eq(guest_tdi_validate_parse(&v2, b, sizeof(b)), 0);
	cr_assert_eq(v2.rid, v.rid);
	cr_assert_eq(v2.generation, v.generation);
	cr_assert_eq(memcmp(&v2.evidence, &v.evidence, sizeof(v.evidence)), 0);

	guest_mmio_validate_write(&m, b);
	cr_assert_eq(guest_mmio_validate_parse(&m2, b, GUEST_MMIO_VALIDATE_SIZE), 0);
	cr_assert_eq(m2.rid, 1);
	cr_assert_eq(m2.range, 2);
	cr_assert_eq(m2.generation, 3);
	cr_assert_eq(m2.address, 0x4000);
	cr_assert_eq(m2.pages, 5);

	guest_tdi_info_write(&i, b);
	cr_assert_eq(guest_tdi_info_parse(&i2, b, GUEST_TDI_INFO_SIZE), 0);
	cr_assert_eq(i2.rid, 9);
	cr_assert_arr_eq(i2.nonce, i.nonce, sizeof(i.nonce));

	guest_tdi_state_write(&q, b);
	cr_assert_eq(guest_tdi_state_parse(&q2, b, GUEST_TDI_STATE_SIZE), 0);
	cr_assert_eq(q2.rid, q.rid);

	guest_tdreport_write(&d, b);
	cr_assert_eq(guest_tdreport_parse(&d2, b, GUEST_TDREPORT_SIZE), 0);
	cr_assert_arr_eq(d2.report_data, d.report_data, sizeof(d.report_data));

	guest_tdi_status_write(&s, b);
	cr_assert_eq(guest_tdi_status_parse(&s2, b, GUEST_TDI_STATUS_SIZE), 0);
	cr_assert_eq(s2.tdisp_state, 2);
	cr_assert(s2.accepted);
	cr_assert_eq(s2.generation, 77);
	cr_assert_eq(s2.requested, GUEST_REQUESTED_NOTHING);

	s = (GuestTdiStatus){ .tdisp_state = 1, .requested = GUEST_REQUESTED_START };
	guest_tdi_status_write(&s, b);
	cr_assert_eq(b[2], 2);
	cr_assert_eq(guest_tdi_status_parse(&s2, b, GUEST_TDI_STATUS_SIZE), 0);
	cr_assert_eq(s2.requested, GUEST_REQUESTED_START);

	guest_tdi_lock_write(&(GuestTdiLock){ .rid = 0x01020304, .generation = 9 }, b);
	cr_assert_arr_eq(b, ((uint8_t[]){ 4, 3, 2, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0 }), 16);
	cr_assert_eq(guest_tdi_lock_parse(&l2, b, GUEST_TDI_LOCK_SIZE), 0);
	cr_assert(l2.rid == 0x01020304 && l2.generation == 9);
}

Test(guest_payload, responses)
{
	uint8_t b[GUEST_RESPONSE_MAX_SIZE], large[GUEST_RESPONSE_MAX_BODY + 1] = { 1 };
	const uint8_t *body;
	GuestStatus status;
	size_t size;

	size = guest_response_write(GUEST_STATUS_OK, "body", 4, b);
	cr_assert_eq(size, 12);
	cr_assert_eq(guest_response_parse(&status, &body, &size, b, size), 0);
	cr_assert_eq(status, GUEST_STATUS_OK);
	cr_assert_eq(size, 4);
	cr_assert_arr_eq(body, "body", 4);

	size = guest_response_write(GUEST_STATUS_STALE, "body", 4, b);
	cr_assert_eq(size, 8);
	cr_assert_eq(guest_response_parse(&status, &body, &size, b, size), 0);
	cr_assert_eq(status, GUEST_STATUS_STALE);
	cr_assert_eq(size, 0);

	cr_assert_eq(guest_response_write(GUEST_STATUS_OK, large, GUEST_RESPONSE_MAX_BODY, b),
		     GUEST_RESPONSE_MAX_SIZE);
	cr_assert_eq(guest_response_write(GUEST_STATUS_OK, large, GUEST_RESPONSE_MAX_BODY + 1, b),
		     0);
	for (int i = 0; i < _GUEST_STATUS_MAX; i++) {
		cr_assert_not_null(guest_status_name(i));
		cr_assert_not_null(guest_status_sentence(i));
	}
	cr_assert_str_eq(guest_status_name(_GUEST_STATUS_MAX), "unknown");
}
