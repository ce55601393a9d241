/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TSM's end of the sealed messages of one TVM (guest-message.h). Make one per key: a new QEMU
 * incarnation or a guest reset means a new key and a new object.
 */
#pragma once

#include "core/cleanup.h"
#include "core/guest-message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* OPENs that wait for their first authenticated message; one more displaces the oldest. */
#define GUEST_MESSAGE_TSM_MAX_PENDING 8

typedef struct GuestMessageTsm GuestMessageTsm;

/* A request that has been authenticated. */
typedef struct GuestMessageRequest {
	uint8_t type; /* GuestMessageType */
	uint64_t request_id;
	uint64_t sequence;
	size_t payload_size;
	uint8_t payload[GUEST_MESSAGE_MAX_PAYLOAD];
	/*
	 * This was the first message of its session, which took effect with it: whatever was handed
	 * out to the former session as a one-time challenge is void.
	 */
	bool new_session;
} GuestMessageRequest;

/* tvm_key: 32 bytes, tvm_uuid: 16; both are copied. -ENOMEM. */
int guest_message_tsm_new(GuestMessageTsm **ret, const uint8_t *tvm_key, const uint8_t *tvm_uuid);
GuestMessageTsm *guest_message_tsm_free(GuestMessageTsm *tsm); /* wipes */
DEFINE_CLEANUP(GuestMessageTsm, guest_message_tsm_free);

/*
 * Answers an OPEN. session and nonce: fresh random bytes, 16 and 32. `response` gets
 * GUEST_MESSAGE_OPEN_SIZE bytes. The session in force, if any, stays in force until the new one has
 * proved itself. GuestMessageOutcome OK or MALFORMED; -EIO.
 */
int guest_message_tsm_open(GuestMessageTsm *tsm, const void *message, size_t size,
			   const uint8_t *session, const uint8_t *nonce,
			   uint8_t response[static GUEST_MESSAGE_OPEN_SIZE]);

/*
 * Authenticates and decrypts a request into *ret. On DUPLICATE, *ret_cached and *ret_cached_size
 * are the sealed response that went out for it (borrowed until the next call): send it again. Other
 * outcomes but OK: *ret is left alone; -EIO. Each OK has to be followed by
 * guest_message_tsm_seal(): until then all other requests are UNANSWERED, a new session's too.
 */
int guest_message_tsm_unseal(GuestMessageTsm *tsm, const void *message, size_t size,
			     GuestMessageRequest *ret, const uint8_t **ret_cached,
			     size_t *ret_cached_size);

/*
 * Seals the response to the request in hand. *ret is borrowed until the next call. -EINVAL: no
 * request in hand, or payload too large; -EIO.
 */
int guest_message_tsm_seal(GuestMessageTsm *tsm, const void *payload, size_t payload_size,
			   const uint8_t **ret, size_t *ret_size);
