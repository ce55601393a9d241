/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CLOSED -- open() --> OPENING -- opened() --> READY -- seal() --> ASKED -- unseal() --> READY
 *
 * open() leads to OPENING from anywhere. In ASKED the sealed request is kept and may be sent again,
 * byte for byte; its sequence seals nothing else. It is left by the authentic answer, or by giving
 * the session up.
 */
#include "core/guest-message-tvm.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

typedef enum State {
	STATE_CLOSED,
	STATE_OPENING,
	STATE_READY,
	STATE_ASKED,
} State;

struct GuestMessageTvm {
	uint8_t key[GUEST_MESSAGE_KEY_SIZE];
	uint8_t uuid[GUEST_MESSAGE_UUID_SIZE];
	State state;
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE]; /* of the OPEN */
	uint64_t open_id;
	GuestMessageKeys keys;
	uint8_t session[GUEST_MESSAGE_SESSION_SIZE];
	uint64_t sequence;		   /* of the last request */
	GuestMessageHeader request_header; /* of the request in flight */
	size_t request_size;
	uint8_t request[GUEST_MESSAGE_MAX_SIZE];
};

int guest_message_tvm_new(GuestMessageTvm **ret, const uint8_t *tvm_key, const uint8_t *tvm_uuid)
{
	GuestMessageTvm *tvm = calloc(1, sizeof(*tvm));

	if (!tvm)
		return -ENOMEM;
	memcpy(tvm->key, tvm_key, GUEST_MESSAGE_KEY_SIZE);
	memcpy(tvm->uuid, tvm_uuid, GUEST_MESSAGE_UUID_SIZE);
	*ret = tvm;
	return 0;
}

GuestMessageTvm *guest_message_tvm_free(GuestMessageTvm *tvm)
{
	if (tvm)
		OPENSSL_cleanse(tvm, sizeof(*tvm));
	free(tvm);
	return NULL;
}

void guest_message_tvm_open(GuestMessageTvm *tvm, const uint8_t *nonce, uint64_t request_id,
			    uint8_t ret[static GUEST_MESSAGE_OPEN_SIZE])
{
	GuestMessageHeader h = { .direction = GUEST_MESSAGE_TO_TSM,
				 .type = GUEST_MESSAGE_OPEN,
				 .payload_size = GUEST_MESSAGE_NONCE_SIZE,
				 .request_id = request_id };

	guest_message_keys_wipe(&tvm->keys);
	OPENSSL_cleanse(tvm->request, sizeof(tvm->request));
	tvm->request_size = 0;
	tvm->open_id = request_id;
	memcpy(tvm->nonce, nonce, sizeof(tvm->nonce));
	tvm->state = STATE_OPENING;
	guest_message_header_write(&h, ret);
	memcpy(ret + GUEST_MESSAGE_HEADER_SIZE, nonce, GUEST_MESSAGE_NONCE_SIZE);
}

int guest_message_tvm_opened(GuestMessageTvm *tvm, const void *message, size_t size)
{
	const uint8_t *tsm_nonce = (const uint8_t *)message + GUEST_MESSAGE_HEADER_SIZE;
	GuestMessageHeader h;
	int r;

	if (tvm->state != STATE_OPENING)
		return GUEST_MESSAGE_UNEXPECTED;
	if (guest_message_header_parse(&h, message, size) < 0)
		return GUEST_MESSAGE_MALFORMED;
	if (h.type != (GUEST_MESSAGE_OPEN | GUEST_MESSAGE_RESPONSE) || h.request_id != tvm->open_id)
		return GUEST_MESSAGE_UNRELATED;
	r = guest_message_keys_derive(&tvm->keys, tvm->key, tvm->nonce, tsm_nonce, h.session,
				      tvm->uuid);
	if (r < 0)
		return r;
	memcpy(tvm->session, h.session, sizeof(tvm->session));
	tvm->sequence = 0;
	tvm->state = STATE_READY;
	return GUEST_MESSAGE_OK;
}

bool guest_message_tvm_ready(const GuestMessageTvm *tvm)
{
	return tvm->state == STATE_READY;
}

int guest_message_tvm_seal(GuestMessageTvm *tvm, GuestMessageType type, uint64_t request_id,
			   const void *payload, size_t payload_size, const uint8_t **ret,
			   size_t *ret_size)
{
	GuestMessageHeader h = { .direction = GUEST_MESSAGE_TO_TSM,
				 .type = (uint8_t)type,
				 .payload_size = (uint32_t)payload_size,
				 .request_id = request_id };
	int r;

	if (tvm->state == STATE_ASKED)
		return -EBUSY;
	if (tvm->state != STATE_READY)
		return -ENOTCONN;
	if (type == GUEST_MESSAGE_OPEN || type <= 0 || type >= GUEST_MESSAGE_RESPONSE ||
	    payload_size > GUEST_MESSAGE_MAX_PAYLOAD)
		return -EINVAL;
	memcpy(h.session, tvm->session, sizeof(h.session));
	/* Taken before it is used: should sealing fail, this sequence has been spent all the same.
	 */
	h.sequence = ++tvm->sequence;
	r = guest_message_seal(&tvm->keys, &h, payload, tvm->request);
	if (r < 0) {
		/* The TSM expects the sequence that is lost now. */
		tvm->state = STATE_CLOSED;
		return r;
	}
	tvm->request_header = h;
	tvm->request_size = GUEST_MESSAGE_HEADER_SIZE + payload_size + GUEST_MESSAGE_TAG_SIZE;
	tvm->state = STATE_ASKED;
	*ret = tvm->request;
	*ret_size = tvm->request_size;
	return 0;
}

int guest_message_tvm_unseal(GuestMessageTvm *tvm, const void *message, size_t size,
			     uint8_t payload[static GUEST_MESSAGE_MAX_PAYLOAD],
			     size_t *ret_payload_size)
{
	const GuestMessageHeader *q = &tvm->request_header;
	GuestMessageHeader h;
	int r;

	if (tvm->state != STATE_ASKED)
		return GUEST_MESSAGE_UNEXPECTED;
	if (guest_message_header_parse(&h, message, size) < 0)
		return GUEST_MESSAGE_MALFORMED;
	if (memcmp(h.session, tvm->session, sizeof(h.session)) != 0)
		return GUEST_MESSAGE_UNKNOWN_SESSION;
	if (h.sequence != q->sequence)
		return GUEST_MESSAGE_OUT_OF_SEQUENCE;
	if (h.type != (q->type | GUEST_MESSAGE_RESPONSE) || h.request_id != q->request_id)
		return GUEST_MESSAGE_UNRELATED;
	r = guest_message_unseal(&tvm->keys, &h, message, payload);
	if (r < 0)
		return r == -EKEYREJECTED ? GUEST_MESSAGE_FORGED : r;
	*ret_payload_size = h.payload_size;
	tvm->state = STATE_READY;
	return GUEST_MESSAGE_OK;
}
