/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both ends of one TVM's sealed messages, with the host between them. */
#pragma once

#include "core/guest-message-tsm.h"
#include "core/guest-message-tvm.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct TestingGuest {
	GuestMessageTsm *tsm;
	GuestMessageTvm *tvm;
	uint8_t counter; /* each nonce and session id differs */
	uint8_t request[GUEST_MESSAGE_MAX_SIZE];
	size_t request_size;
	uint8_t response[GUEST_MESSAGE_MAX_SIZE];
	size_t response_size;
	GuestMessageRequest got;
	const uint8_t *cached;
	size_t cached_size;
	uint8_t payload[GUEST_MESSAGE_MAX_PAYLOAD];
	size_t payload_size;
} TestingGuest;

static const uint8_t testing_tvm_key[GUEST_MESSAGE_KEY_SIZE] = { 1, 2, 3 };
static const uint8_t testing_tvm_uuid[GUEST_MESSAGE_UUID_SIZE] = { 4, 5, 6 };

static inline GuestMessageTvm *testing_guest_agent(const uint8_t *key)
{
	GuestMessageTvm *tvm;

	cr_assert_eq(guest_message_tvm_new(&tvm, key, testing_tvm_uuid), 0);
	return tvm;
}

static inline void testing_guest_init(TestingGuest *g)
{
	memset(g, 0, sizeof(*g));
	cr_assert_eq(guest_message_tsm_new(&g->tsm, testing_tvm_key, testing_tvm_uuid), 0);
	g->tvm = testing_guest_agent(testing_tvm_key);
}

static inline void testing_guest_done(TestingGuest *g)
{
	guest_message_tsm_free(g->tsm);
	guest_message_tvm_free(g->tvm);
}

/* An OPEN there and its answer back; the answer stays in `response`. */
static inline void testing_guest_open(TestingGuest *g, GuestMessageTvm *tvm)
{
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE] = { ++g->counter, 1 };
	uint8_t session[GUEST_MESSAGE_SESSION_SIZE] = { g->counter, 2 };
	uint8_t open[GUEST_MESSAGE_OPEN_SIZE];

	guest_message_tvm_open(tvm, nonce, g->counter, open);
	nonce[1] = 3;
	cr_assert_eq(
		guest_message_tsm_open(g->tsm, open, sizeof(open), session, nonce, g->response),
		GUEST_MESSAGE_OK);
	g->response_size = GUEST_MESSAGE_OPEN_SIZE;
	cr_assert_eq(guest_message_tvm_opened(tvm, g->response, g->response_size),
		     GUEST_MESSAGE_OK);
}

/* The agent seals; the bytes are copied, as the host would hold them. */
static inline void testing_guest_seal(TestingGuest *g, GuestMessageTvm *tvm, uint8_t type,
				      const char *text)
{
	const uint8_t *sealed;

	cr_assert_eq(guest_message_tvm_seal(tvm, type, 100U + g->counter, text, strlen(text),
					    &sealed, &g->request_size),
		     0);
	memcpy(g->request, sealed, g->request_size);
}

static inline int testing_guest_deliver(TestingGuest *g)
{
	return guest_message_tsm_unseal(g->tsm, g->request, g->request_size, &g->got, &g->cached,
					&g->cached_size);
}

static inline void testing_guest_answer(TestingGuest *g, const char *text)
{
	const uint8_t *sealed;

	cr_assert_eq(guest_message_tsm_seal(g->tsm, text, strlen(text), &sealed, &g->response_size),
		     0);
	memcpy(g->response, sealed, g->response_size);
}

static inline int testing_guest_return(TestingGuest *g, GuestMessageTvm *tvm)
{
	return guest_message_tvm_unseal(tvm, g->response, g->response_size, g->payload,
					&g->payload_size);
}

/* One whole exchange. */
static inline void testing_guest_exchange(TestingGuest *g, GuestMessageTvm *tvm)
{
	testing_guest_seal(g, tvm, GUEST_MESSAGE_TDI_STATE, "ask");
	cr_assert_eq(testing_guest_deliver(g), GUEST_MESSAGE_OK);
	testing_guest_answer(g, "answer");
	cr_assert_eq(testing_guest_return(g, tvm), GUEST_MESSAGE_OK);
}
