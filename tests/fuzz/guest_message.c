/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header of a sealed message; sealing and unsealing under fixed keys. */
#include "core/guest-message.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static const GuestMessageKeys keys = { .key = { { 1 }, { 2 } } };

/* What carries no authentic tag does not come out, and leaves nothing behind. */
static void check_foreign(const GuestMessageHeader *header, const uint8_t *data)
{
	static const uint8_t nothing[GUEST_MESSAGE_MAX_PAYLOAD];
	uint8_t payload[GUEST_MESSAGE_MAX_PAYLOAD] = {};

	CHECK(guest_message_unseal(&keys, header, data, payload) == -EKEYREJECTED);
	CHECK(memcmp(payload, nothing, header->payload_size) == 0);
}

static void check_sealed(const GuestMessageHeader *header, const uint8_t *payload)
{
	uint8_t message[GUEST_MESSAGE_MAX_SIZE], out[GUEST_MESSAGE_MAX_PAYLOAD];
	GuestMessageHeader again;

	CHECK(guest_message_seal(&keys, header, payload, message) == 0);
	CHECK(guest_message_header_parse(&again, message,
					 header->payload_size + GUEST_MESSAGE_HEADER_SIZE +
						 GUEST_MESSAGE_TAG_SIZE) == 0);
	CHECK(guest_message_unseal(&keys, &again, message, out) == 0);
	CHECK(memcmp(out, payload, header->payload_size) == 0);
	message[header->sequence % (GUEST_MESSAGE_HEADER_SIZE + header->payload_size)] ^= 1;
	CHECK(guest_message_unseal(&keys, &again, message, out) == -EKEYREJECTED);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	uint8_t written[GUEST_MESSAGE_HEADER_SIZE];
	GuestMessageHeader header;

	if (guest_message_header_parse(&header, data, size) < 0)
		return false;
	CHECK(header.payload_size <= GUEST_MESSAGE_MAX_PAYLOAD);
	guest_message_header_write(&header, written);
	CHECK(memcmp(written, data, sizeof(written)) == 0);
	CHECK(guest_message_type_name(header.type));
	if ((header.type & ~GUEST_MESSAGE_RESPONSE) == GUEST_MESSAGE_OPEN)
		return true;
	check_foreign(&header, data);
	check_sealed(&header, data + GUEST_MESSAGE_HEADER_SIZE);
	return true;
}
