/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions of one TVM:
 *
 *   OPEN  -> pending: keys derived, nothing proved; anybody who can reach the port can get here
 *   first sealed request that authenticates (sequence 1) -> in force; it replaces the session that
 *            was in force, and drops it and every pending one that was opened earlier: otherwise
 * the host could bring an older session to life later on by a message it held back
 *
 * A session in force expects one sequence, next. An authenticated request takes it and is "in hand"
 * until its answer is sealed; only then may the next one be taken. So each sequence seals exactly
 * one answer, and there is always exactly one to repeat when the same bytes come again.
 */
#include "core/guest-message-tsm.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

typedef struct Session {
	bool used;
	uint64_t opened; /* ordinal, counts OPENs */
	uint8_t id[GUEST_MESSAGE_SESSION_SIZE];
	GuestMessageKeys keys;
} Session;

struct GuestMessageTsm {
	uint8_t key[GUEST_MESSAGE_KEY_SIZE];
	uint8_t uuid[GUEST_MESSAGE_UUID_SIZE];
	uint64_t n_opened;
	Session pending[GUEST_MESSAGE_TSM_MAX_PENDING];

	Session current;
	uint64_t next;
	bool in_hand;
	GuestMessageHeader request_header; /* of the last request */
	size_t request_size;		   /* 0: none yet */
	size_t response_size;
	uint8_t request[GUEST_MESSAGE_MAX_SIZE];
	uint8_t response[GUEST_MESSAGE_MAX_SIZE];
};

int guest_message_tsm_new(GuestMessageTsm **ret, const uint8_t *tvm_key, const uint8_t *tvm_uuid)
{
	GuestMessageTsm *tsm = calloc(1, sizeof(*tsm));

	if (!tsm)
		return -ENOMEM;
	memcpy(tsm->key, tvm_key, GUEST_MESSAGE_KEY_SIZE);
	memcpy(tsm->uuid, tvm_uuid, GUEST_MESSAGE_UUID_SIZE);
	*ret = tsm;
	return 0;
}

GuestMessageTsm *guest_message_tsm_free(GuestMessageTsm *tsm)
{
	if (tsm)
		OPENSSL_cleanse(tsm, sizeof(*tsm));
	free(tsm);
	return NULL;
}

static void session_drop(Session *session)
{
	OPENSSL_cleanse(session, sizeof(*session));
}

/* A free place, or the oldest one's. */
static Session *pending_place(GuestMessageTsm *tsm)
{
	Session *oldest = &tsm->pending[0];

	for (size_t i = 0; i < GUEST_MESSAGE_TSM_MAX_PENDING; i++) {
		Session *s = &tsm->pending[i];

		if (!s->used)
			return s;
		if (s->opened < oldest->opened)
			oldest = s;
	}
	session_drop(oldest);
	return oldest;
}

int guest_message_tsm_open(GuestMessageTsm *tsm, const void *message, size_t size,
			   const uint8_t *session, const uint8_t *nonce,
			   uint8_t response[static GUEST_MESSAGE_OPEN_SIZE])
{
	static const uint8_t zero[GUEST_MESSAGE_SESSION_SIZE];
	const uint8_t *agent_nonce = (const uint8_t *)message + GUEST_MESSAGE_HEADER_SIZE;
	GuestMessageHeader h;
	Session *place;
	int r;

	if (guest_message_header_parse(&h, message, size) < 0 || h.type != GUEST_MESSAGE_OPEN ||
	    memcmp(h.session, zero, sizeof(zero)) != 0)
		return GUEST_MESSAGE_MALFORMED;
	place = pending_place(tsm);
	r = guest_message_keys_derive(&place->keys, tsm->key, agent_nonce, nonce, session,
				      tsm->uuid);
	if (r < 0)
		return r;
	place->used = true;
	place->opened = ++tsm->n_opened;
	memcpy(place->id, session, sizeof(place->id));

	h.direction = GUEST_MESSAGE_TO_TVM;
	h.type = GUEST_MESSAGE_OPEN | GUEST_MESSAGE_RESPONSE;
	memcpy(h.session, session, sizeof(h.session));
	guest_message_header_write(&h, response);
	memcpy(response + GUEST_MESSAGE_HEADER_SIZE, nonce, GUEST_MESSAGE_NONCE_SIZE);
	return GUEST_MESSAGE_OK;
}

static bool session_is(const Session *session, const GuestMessageHeader *h)
{
	return session->used && memcmp(session->id, h->session, sizeof(h->session)) == 0;
}

static Session *pending_find(GuestMessageTsm *tsm, const GuestMessageHeader *h)
{
	for (size_t i = 0; i < GUEST_MESSAGE_TSM_MAX_PENDING; i++)
		if (session_is(&tsm->pending[i], h))
			return &tsm->pending[i];
	return NULL;
}

static void take_effect(GuestMessageTsm *tsm, Session *session)
{
	uint64_t opened = session->opened;

	session_drop(&tsm->current);
	tsm->current = *session;
	tsm->next = 1;
	for (size_t i = 0; i < GUEST_MESSAGE_TSM_MAX_PENDING; i++)
		if (tsm->pending[i].used && tsm->pending[i].opened <= opened)
			session_drop(&tsm->pending[i]);
	OPENSSL_cleanse(tsm->request, sizeof(tsm->request));
	OPENSSL_cleanse(tsm->response, sizeof(tsm->response));
	tsm->request_size = tsm->response_size = 0;
	tsm->in_hand = false;
}

static bool is_last_request(const GuestMessageTsm *tsm, const void *message, size_t size)
{
	return tsm->request_size && tsm->request_size == size &&
	       CRYPTO_memcmp(tsm->request, message, size) == 0;
}

int guest_message_tsm_unseal(GuestMessageTsm *tsm, const void *message, size_t size,
			     GuestMessageRequest *ret, const uint8_t **ret_cached,
			     size_t *ret_cached_size)
{
	uint8_t payload[GUEST_MESSAGE_MAX_PAYLOAD];
	Session *session = NULL;
	GuestMessageHeader h;
	bool is_new;
	int r;

	if (guest_message_header_parse(&h, message, size) < 0 ||
	    h.direction != GUEST_MESSAGE_TO_TSM || h.type == GUEST_MESSAGE_OPEN)
		return GUEST_MESSAGE_MALFORMED;
	is_new = !session_is(&tsm->current, &h);
	session = is_new ? pending_find(tsm, &h) : &tsm->current;
	if (!session)
		return GUEST_MESSAGE_UNKNOWN_SESSION;
	if (!is_new && is_last_request(tsm, message, size)) {
		if (tsm->in_hand)
			return GUEST_MESSAGE_UNANSWERED;
		*ret_cached = tsm->response;
		*ret_cached_size = tsm->response_size;
		return GUEST_MESSAGE_DUPLICATE;
	}
	/* Also for a new session: the answer that is being made must not end up in its hands. */
	if (tsm->in_hand)
		return GUEST_MESSAGE_UNANSWERED;
	if (h.sequence != (is_new ? 1 : tsm->next) || h.sequence == UINT64_MAX)
		return GUEST_MESSAGE_OUT_OF_SEQUENCE;
	r = guest_message_unseal(&session->keys, &h, message, payload);
	if (r < 0)
		return r == -EKEYREJECTED ? GUEST_MESSAGE_FORGED : r;

	if (is_new)
		take_effect(tsm, session);
	tsm->next = h.sequence + 1;
	tsm->in_hand = true;
	tsm->request_header = h;
	tsm->request_size = size;
	tsm->response_size = 0;
	memcpy(tsm->request, message, size);

	ret->type = h.type;
	ret->request_id = h.request_id;
	ret->sequence = h.sequence;
	ret->payload_size = h.payload_size;
	memcpy(ret->payload, payload, h.payload_size);
	ret->new_session = is_new;
	return GUEST_MESSAGE_OK;
}

int guest_message_tsm_seal(GuestMessageTsm *tsm, const void *payload, size_t payload_size,
			   const uint8_t **ret, size_t *ret_size)
{
	GuestMessageHeader h = tsm->request_header;
	int r;

	if (!tsm->in_hand || payload_size > GUEST_MESSAGE_MAX_PAYLOAD)
		return -EINVAL;
	h.direction = GUEST_MESSAGE_TO_TVM;
	h.type |= GUEST_MESSAGE_RESPONSE;
	h.payload_size = (uint32_t)payload_size;
	r = guest_message_seal(&tsm->current.keys, &h, payload, tsm->response);
	if (r < 0)
		return r;
	tsm->response_size = GUEST_MESSAGE_HEADER_SIZE + payload_size + GUEST_MESSAGE_TAG_SIZE;
	tsm->in_hand = false;
	*ret = tsm->response;
	*ret_size = tsm->response_size;
	return 0;
}
