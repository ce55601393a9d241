/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sealed messages say. Input: which of them, its bytes. */
#include "core/guest-payload.h"
#include "fuzz.h"

#include <string.h>

/* Parsed, and written again: only the same bytes say the same. */
#define TRY(Type, noun, room)                                                                      \
	({                                                                                         \
		Type value;                                                                        \
		uint8_t written[room];                                                             \
		bool parsed = noun##_parse(&value, data, size) == 0;                               \
                                                                                                   \
		if (parsed) {                                                                      \
			CHECK(size == sizeof(written));                                            \
			noun##_write(&value, written);                                             \
			CHECK(memcmp(written, data, size) == 0);                                   \
		}                                                                                  \
		parsed;                                                                            \
	})

static bool try_response(const uint8_t *data, size_t size)
{
	uint8_t written[GUEST_RESPONSE_MAX_SIZE];
	const uint8_t *body;
	size_t body_size, n;
	GuestStatus status;

	if (guest_response_parse(&status, &body, &body_size, data, size) < 0)
		return false;
	CHECK(status < _GUEST_STATUS_MAX && guest_status_name(status));
	CHECK(body_size == 0 || status == GUEST_STATUS_OK);
	CHECK(body_size == 0 || body + body_size == data + size);
	n = guest_response_write(status, body, body_size, written);
	if (body_size > GUEST_RESPONSE_MAX_BODY)
		CHECK(n == 0);
	else
		CHECK(n == size && memcmp(written, data, n) == 0);
	return true;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	unsigned int kind;

	if (size == 0)
		return false;
	kind = *data++ % 8;
	size--;
	switch (kind) {
	case 0: return TRY(GuestTdiInfo, guest_tdi_info, GUEST_TDI_INFO_SIZE);
	case 1: return TRY(GuestTdiValidate, guest_tdi_validate, GUEST_TDI_VALIDATE_SIZE);
	case 2: return TRY(GuestMmioValidate, guest_mmio_validate, GUEST_MMIO_VALIDATE_SIZE);
	case 3: return TRY(GuestTdiState, guest_tdi_state, GUEST_TDI_STATE_SIZE);
	case 4: return TRY(GuestTdiStatus, guest_tdi_status, GUEST_TDI_STATUS_SIZE);
	case 5: return try_response(data, size);
	case 7: return TRY(GuestTdiLock, guest_tdi_lock, GUEST_TDI_LOCK_SIZE);
	default: return TRY(GuestTdreport, guest_tdreport, GUEST_TDREPORT_SIZE);
	}
}
