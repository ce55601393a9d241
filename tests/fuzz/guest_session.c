/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Both ends of a TVM's sealed messages with a hostile host between them, who delays, repeats,
 * alters and makes up what he carries. Input: his moves, one byte each, with operands behind some.
 */
#include "core/bytes.h"
#include "core/guest-message-tsm.h"
#include "core/guest-message-tvm.h"
#include "fuzz.h"

#include <errno.h>

#define KEPT_MAX  8
#define MOVES_MAX 48

typedef struct Message {
	size_t size;
	uint8_t bytes[GUEST_MESSAGE_MAX_SIZE];
} Message;

typedef struct Host {
	ByteReader moves;
	GuestMessageTsm *tsm;
	GuestMessageTvm *tvm;
	uint8_t counter;
	uint64_t asked;		  /* request id of the request in flight */
	const uint8_t *in_flight; /* its bytes, borrowed, or NULL */
	size_t in_flight_size;
	uint64_t answered; /* the newest one that the TSM took */
	bool in_hand;	   /* the TSM has to answer */
	Message kept[KEPT_MAX];
	size_t n_kept;
} Host;

static void keep(Host *h, const uint8_t *bytes, size_t size)
{
	Message *m = &h->kept[h->n_kept++ % KEPT_MAX];

	CHECK(size <= sizeof(m->bytes));
	memcpy(m->bytes, bytes, size);
	m->size = size;
}

/* One that was kept, altered or not; or bytes of the host's own. */
static Message pick(Host *h)
{
	uint8_t which = bytes_take_u8(&h->moves);
	Message m = h->kept[which % KEPT_MAX];

	if (which & 0x40 && m.size)
		m.bytes[bytes_take_u16(&h->moves) % m.size] ^= (uint8_t)(which | 1);
	if (which & 0x80) {
		m.size = bytes_take_u8(&h->moves) % (sizeof(m.bytes) + 1);
		bytes_take_copy(&h->moves, m.bytes, m.size);
	}
	return m;
}

static void tvm_opens(Host *h)
{
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE] = { ++h->counter };
	uint8_t open[GUEST_MESSAGE_OPEN_SIZE];

	guest_message_tvm_open(h->tvm, nonce, h->counter, open);
	CHECK(!guest_message_tvm_ready(h->tvm));
	h->in_flight = NULL;
	keep(h, open, sizeof(open));
}

static void tsm_opens(Host *h)
{
	uint8_t session[GUEST_MESSAGE_SESSION_SIZE] = { ++h->counter };
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE] = { h->counter, 1 };
	uint8_t response[GUEST_MESSAGE_OPEN_SIZE];
	Message m = pick(h);
	int r = guest_message_tsm_open(h->tsm, m.bytes, m.size, session, nonce, response);

	CHECK(r == GUEST_MESSAGE_OK || r == GUEST_MESSAGE_MALFORMED);
	if (r == GUEST_MESSAGE_OK)
		keep(h, response, sizeof(response));
}

static void tvm_asks(Host *h)
{
	uint64_t id = h->asked + 1;
	const uint8_t *sealed;
	size_t size;
	bool ready = guest_message_tvm_ready(h->tvm);
	int r = guest_message_tvm_seal(h->tvm, GUEST_MESSAGE_TDI_STATE, id, &id, sizeof(id),
				       &sealed, &size);

	CHECK(ready == (r == 0));
	if (r == 0) {
		h->asked = id;
		h->in_flight = sealed;
		h->in_flight_size = size;
		keep(h, sealed, size);
	}
}

/* What the TSM takes the TVM has sealed, and it takes it once and in order. */
static void tsm_gets(Host *h)
{
	static GuestMessageRequest request;
	const uint8_t *cached = NULL;
	Message m = pick(h);
	size_t cached_size = 0;
	int r = guest_message_tsm_unseal(h->tsm, m.bytes, m.size, &request, &cached, &cached_size);

	CHECK(r >= 0 && r < _GUEST_MESSAGE_OUTCOME_MAX);
	if (r == GUEST_MESSAGE_DUPLICATE)
		keep(h, cached, cached_size);
	if (r != GUEST_MESSAGE_OK)
		return;
	CHECK(!h->in_hand);
	CHECK(request.request_id > h->answered && request.request_id <= h->asked);
	CHECK(request.payload_size == sizeof(uint64_t) &&
	      memcmp(request.payload, &request.request_id, sizeof(uint64_t)) == 0);
	h->answered = request.request_id;
	h->in_hand = true;
}

static void tsm_answers(Host *h)
{
	const uint8_t *sealed;
	size_t size;
	int r = guest_message_tsm_seal(h->tsm, &h->answered, sizeof(h->answered), &sealed, &size);

	CHECK(h->in_hand == (r == 0) && (r == 0 || r == -EINVAL));
	h->in_hand = false;
	if (r == 0)
		keep(h, sealed, size);
}

static void tvm_gets(Host *h)
{
	static uint8_t payload[GUEST_MESSAGE_MAX_PAYLOAD];
	Message m = pick(h);
	size_t size;
	int r = guest_message_tvm_unseal(h->tvm, m.bytes, m.size, payload, &size);

	CHECK(r >= 0 && r < _GUEST_MESSAGE_OUTCOME_MAX);
	if (r != GUEST_MESSAGE_OK)
		return;
	CHECK(size == sizeof(uint64_t) && memcmp(payload, &h->asked, size) == 0);
	CHECK(guest_message_tvm_ready(h->tvm));
	h->in_flight = NULL;
}

static void tvm_opened(Host *h)
{
	Message m = pick(h);
	int r = guest_message_tvm_opened(h->tvm, m.bytes, m.size);

	CHECK(r >= 0 && r < _GUEST_MESSAGE_OUTCOME_MAX);
}

static void tvm_resends(Host *h)
{
	if (h->in_flight)
		keep(h, h->in_flight, h->in_flight_size);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static void (*const moves[])(Host *) = { tvm_opens, tsm_opens,	 tvm_opened, tvm_asks,
						 tsm_gets,  tsm_answers, tvm_gets,   tvm_resends };
	static const uint8_t key[GUEST_MESSAGE_KEY_SIZE] = { 7 };
	static const uint8_t uuid[GUEST_MESSAGE_UUID_SIZE] = { 8 };
	static Host h;

	h = (Host){ .moves = byte_reader(data, size) };
	CHECK(guest_message_tsm_new(&h.tsm, key, uuid) == 0);
	CHECK(guest_message_tvm_new(&h.tvm, key, uuid) == 0);
	for (unsigned int i = 0; i < MOVES_MAX && h.moves.left; i++)
		moves[bytes_take_u8(&h.moves) % 8](&h);
	h.tsm = guest_message_tsm_free(h.tsm);
	h.tvm = guest_message_tvm_free(h.tvm);
	return h.answered > 0;
}
