/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/guest-message.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const uint8_t key[GUEST_MESSAGE_KEY_SIZE] = { 1 };
static const uint8_t uuid[GUEST_MESSAGE_UUID_SIZE] = { 2 };
static const uint8_t session[GUEST_MESSAGE_SESSION_SIZE] = { 3 };
static const uint8_t agent_nonce[GUEST_MESSAGE_NONCE_SIZE] = { 4 };
static const uint8_t tsm_nonce[GUEST_MESSAGE_NONCE_SIZE] = { 5 };

#define PAYLOAD "what the TVM says"
#define SIZE	(GUEST_MESSAGE_HEADER_SIZE + sizeof(PAYLOAD) + GUEST_MESSAGE_TAG_SIZE)

static GuestMessageKeys keys_of(const uint8_t *k, const uint8_t *an, const uint8_t *tn,
				const uint8_t *s, const uint8_t *u)
{
	GuestMessageKeys keys;

	cr_assert_eq(guest_message_keys_derive(&keys, k, an, tn, s, u), 0);
	return keys;
}

static GuestMessageKeys good_keys(void)
{
	return keys_of(key, agent_nonce, tsm_nonce, session, uuid);
}

static void good_message(uint8_t ret[static SIZE])
{
	GuestMessageKeys keys = good_keys();
	GuestMessageHeader h = { .type = GUEST_MESSAGE_TDI_INFO,
				 .payload_size = sizeof(PAYLOAD),
				 .sequence = 1,
				 .request_id = 0x1122334455667788 };

	memcpy(h.session, session, sizeof(h.session));
	cr_assert_eq(guest_message_seal(&keys, &h, PAYLOAD, ret), 0);
}

Test(guest_message, broken_header)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *about;
	} lies[] = {
		{ 0, 'X', "magic" },
		{ 4, 2, "version" },
		{ 4, 0, "version" },
		{ 5, 1, "a response's direction, a request's type" },
		{ 5, 2, "direction" },
		{ 6, GUEST_MESSAGE_TDI_INFO | GUEST_MESSAGE_RESPONSE, "a response's type" },
		{ 6, GUEST_MESSAGE_OPEN, "OPEN with a tag" },
		{ 7, 1, "not zero" },
		{ 8, sizeof(PAYLOAD) + 1, "size" },
		{ 8, sizeof(PAYLOAD) - 1, "size" },
		{ 9, 0x11, "above the maximum" },
		{ 11, 0xff, "far above" },
		{ 12, 1, "not zero" },
		{ 15, 1, "not zero" },
	};
	uint8_t message[SIZE + 1] = {}, copy[SIZE];
	GuestMessageHeader h;

	good_message(message);
	for (size_t n = 0; n < SIZE; n++)
		cr_assert_eq(guest_message_header_parse(&h, message, n), -EBADMSG, "%zu", n);
	cr_assert_eq(guest_message_header_parse(&h, message, SIZE + 1), -EBADMSG);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		memcpy(copy, message, SIZE);
		copy[lies[i].at] = lies[i].value;
		cr_assert_eq(guest_message_header_parse(&h, copy, SIZE), -EBADMSG, "%s",
			     lies[i].about);
	}
}

Test(guest_message, broken_open)
{
	GuestMessageHeader h = { .type = GUEST_MESSAGE_OPEN, .payload_size = 32 }, out;
	uint8_t message[GUEST_MESSAGE_OPEN_SIZE + GUEST_MESSAGE_TAG_SIZE] = {};

	guest_message_header_write(&h, message);
	cr_assert_eq(guest_message_header_parse(&out, message, GUEST_MESSAGE_OPEN_SIZE), 0);
	cr_assert_eq(guest_message_header_parse(&out, message, sizeof(message)), -EBADMSG, "tag");
	h.sequence = 1;
	guest_message_header_write(&h, message);
	cr_assert_eq(guest_message_header_parse(&out, message, GUEST_MESSAGE_OPEN_SIZE), -EBADMSG);
	h.sequence = 0;
	h.payload_size = 31;
	guest_message_header_write(&h, message);
	cr_assert_eq(guest_message_header_parse(&out, message, GUEST_MESSAGE_OPEN_SIZE - 1),
		     -EBADMSG);
}

/* One bit anywhere: either the header says so or the tag. */
Test(guest_message, every_bit_counts)
{
	GuestMessageKeys keys = good_keys();
	uint8_t message[SIZE], payload[sizeof(PAYLOAD)];

	good_message(message);
	for (size_t bit = 0; bit < 8 * SIZE; bit++) {
		GuestMessageHeader h;

		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (guest_message_header_parse(&h, message, SIZE) == 0) {
			memset(payload, 0xaa, sizeof(payload));
			cr_assert_eq(guest_message_unseal(&keys, &h, message, payload),
				     -EKEYREJECTED, "bit %zu", bit);
			cr_assert_eq(memcmp(payload, (uint8_t[sizeof(payload)]){}, sizeof(payload)),
				     0, "plaintext left behind");
		}
		message[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* All that goes into the derivation matters. */
Test(guest_message, other_keys)
{
	static const uint8_t other[32] = { 9 };
	GuestMessageKeys keys[] = {
		keys_of(other, agent_nonce, tsm_nonce, session, uuid),
		keys_of(key, other, tsm_nonce, session, uuid),
		keys_of(key, agent_nonce, other, session, uuid),
		keys_of(key, agent_nonce, tsm_nonce, other, uuid),
		keys_of(key, agent_nonce, tsm_nonce, session, other),
		keys_of(key, tsm_nonce, agent_nonce, session, uuid),
		good_keys(),
	};
	uint8_t message[SIZE], payload[sizeof(PAYLOAD)];
	GuestMessageHeader h;

	/* The response's key in the request's place. */
	memcpy(keys[6].key[0], keys[6].key[1], GUEST_MESSAGE_KEY_SIZE);
	good_message(message);
	cr_assert_eq(guest_message_header_parse(&h, message, SIZE), 0);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		cr_assert_eq(guest_message_unseal(&keys[i], &h, message, payload), -EKEYREJECTED,
			     "keys %zu", i);
}

Test(guest_message, round_trip)
{
	GuestMessageKeys keys = good_keys();
	uint8_t message[SIZE], payload[sizeof(PAYLOAD)];
	GuestMessageHeader h;

	good_message(message);
	cr_assert_arr_eq(message, "TGM1\x01\x00\x02\x00\x12\0\0\0\0\0\0\0\x03", 17);
	cr_assert_arr_eq(message + 32, "\x01\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11", 16);
	cr_assert_neq(memcmp(message + 48, PAYLOAD, sizeof(PAYLOAD)), 0);
	cr_assert_eq(guest_message_header_parse(&h, message, SIZE), 0);
	cr_assert_eq(guest_message_unseal(&keys, &h, message, payload), 0);
	cr_assert_arr_eq(payload, PAYLOAD, sizeof(PAYLOAD));
	guest_message_keys_wipe(&keys);
	cr_assert_eq(memcmp(&keys, &(GuestMessageKeys){}, sizeof(keys)), 0);
}

Test(guest_message, limits)
{
	static uint8_t message[GUEST_MESSAGE_MAX_SIZE], payload[GUEST_MESSAGE_MAX_PAYLOAD];
	GuestMessageKeys keys = good_keys();
	GuestMessageHeader h = { .type = GUEST_MESSAGE_TDI_STATE, .sequence = 7 };

	cr_assert_eq(guest_message_seal(&keys, &h, NULL, message), 0);
	cr_assert_eq(guest_message_header_parse(&h, message, 64), 0);
	cr_assert_eq(guest_message_unseal(&keys, &h, message, payload), 0);
	h.payload_size = GUEST_MESSAGE_MAX_PAYLOAD;
	cr_assert_eq(guest_message_seal(&keys, &h, payload, message), 0);
	cr_assert_eq(guest_message_header_parse(&h, message, sizeof(message)), 0);
	cr_assert_eq(guest_message_unseal(&keys, &h, message, payload), 0);
}

/*
 * Computed apart from this code, with HMAC-SHA384 as RFC 5869 writes it: salt 04 00.. 05 00..,
 * info "tdid guest message v1" || 03 00.. || 02 00.. || direction.
 */
#define KNOWN_TO_TSM                                                                               \
	"\x7c\x8e\x57\x65\x99\x22\xfe\x72\xed\xec\xec\x93\x1a\x1e\xb3\xe8"                         \
	"\x64\x24\x92\x49\x70\x92\x28\xbe\x4b\x4e\x0e\x0f\xaf\x3d\x4e\xfd"
#define KNOWN_TO_TVM                                                                               \
	"\x99\x3a\xc4\x06\x88\x59\x8c\x0b\xc3\xfa\xd9\xa5\x1c\xa8\xf3\x6d"                         \
	"\x30\xd7\xb9\x06\xb0\xdc\x29\xcb\x82\x94\x2c\xf6\xc4\xfc\xdf\xf1"

Test(guest_message, known_keys)
{
	GuestMessageKeys keys = good_keys();

	cr_assert_arr_eq(keys.key[GUEST_MESSAGE_TO_TSM], KNOWN_TO_TSM, 32);
	cr_assert_arr_eq(keys.key[GUEST_MESSAGE_TO_TVM], KNOWN_TO_TVM, 32);
}

Test(guest_message, words)
{
	for (int i = 0; i < _GUEST_MESSAGE_OUTCOME_MAX; i++)
		cr_assert_not_null(guest_message_outcome_sentence(i));
	cr_assert_str_eq(guest_message_type_name(0x83), "tdi_validate");
	cr_assert_str_eq(guest_message_type_name(0x7f), "unknown");
}
