/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The TVM's end of its sealed messages with the TSM (guest-message.h): the agent's. */
#pragma once

#include "core/cleanup.h"
#include "core/guest-message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct GuestMessageTvm GuestMessageTvm;

/* tvm_key: 32 bytes, tvm_uuid: 16; both are copied. -ENOMEM. */
int guest_message_tvm_new(GuestMessageTvm **ret, const uint8_t *tvm_key, const uint8_t *tvm_uuid);
GuestMessageTvm *guest_message_tvm_free(GuestMessageTvm *tvm); /* wipes */
DEFINE_CLEANUP(GuestMessageTvm, guest_message_tvm_free);

/*
 * Makes an OPEN, forgetting the former session and the request in flight. nonce: 32 fresh random
 * bytes, new for each call.
 */
void guest_message_tvm_open(GuestMessageTvm *tvm, const uint8_t *nonce, uint64_t request_id,
			    uint8_t ret[static GUEST_MESSAGE_OPEN_SIZE]);

/*
 * Takes the answer to the OPEN. It cannot be authenticated: the first sealed answer shows whether
 * it came from the TSM. GuestMessageOutcome OK, MALFORMED, UNRELATED, UNEXPECTED; -EIO.
 */
int guest_message_tvm_opened(GuestMessageTvm *tvm, const void *message, size_t size);

/* A session's keys are there and no request is in flight. */
bool guest_message_tvm_ready(const GuestMessageTvm *tvm);

/*
 * Seals a request. *ret is borrowed until it is answered, and may be sent again until then.
 * -ENOTCONN: no session; -EBUSY: one is in flight (send that again, or OPEN anew); -EINVAL: type or
 * size; -EIO.
 */
int guest_message_tvm_seal(GuestMessageTvm *tvm, GuestMessageType type, uint64_t request_id,
			   const void *payload, size_t payload_size, const uint8_t **ret,
			   size_t *ret_size);

/*
 * Authenticates the response to the request in flight and decrypts it. Outcomes other than OK leave
 * the request in flight: the host may have sent anything, the true answer may still come. -EIO.
 */
int guest_message_tvm_unseal(GuestMessageTvm *tvm, const void *message, size_t size,
			     uint8_t payload[static GUEST_MESSAGE_MAX_PAYLOAD],
			     size_t *ret_payload_size);
