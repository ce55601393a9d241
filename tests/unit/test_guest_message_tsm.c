/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "testing-guest.h"

#include <errno.h>

static TestingGuest g;

static void setup(void)
{
	testing_guest_init(&g);
}

static void teardown(void)
{
	testing_guest_done(&g);
}

TestSuite(guest_message_tsm, .init = setup, .fini = teardown);

Test(guest_message_tsm, broken_open)
{
	uint8_t open[GUEST_MESSAGE_OPEN_SIZE], out[GUEST_MESSAGE_OPEN_SIZE];
	uint8_t id[GUEST_MESSAGE_SESSION_SIZE] = { 1 }, nonce[GUEST_MESSAGE_NONCE_SIZE] = { 2 };

	guest_message_tvm_open(g.tvm, nonce, 1, open);
	for (size_t n = 0; n < sizeof(open); n++)
		cr_assert_eq(guest_message_tsm_open(g.tsm, open, n, id, nonce, out),
			     GUEST_MESSAGE_MALFORMED);
	open[20] = 1;
	cr_assert_eq(guest_message_tsm_open(g.tsm, open, sizeof(open), id, nonce, out),
		     GUEST_MESSAGE_MALFORMED, "with a session");
	testing_guest_open(&g, g.tvm);
	cr_assert_eq(guest_message_tsm_open(g.tsm, g.response, g.response_size, id, nonce, out),
		     GUEST_MESSAGE_MALFORMED, "a response");
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_INFO, "x");
	cr_assert_eq(guest_message_tsm_open(g.tsm, g.request, g.request_size, id, nonce, out),
		     GUEST_MESSAGE_MALFORMED, "another type");
}

Test(guest_message_tsm, malformed)
{
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE] = { 1 };

	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_MALFORMED, "nothing");
	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_INFO, "ask");
	for (size_t n = g.request_size; n-- > 0;)
		cr_assert_eq(guest_message_tsm_unseal(g.tsm, g.request, n, &g.got, &g.cached,
						      &g.cached_size),
			     GUEST_MESSAGE_MALFORMED);
	/* No plaintext: an OPEN is no request, a response neither. */
	guest_message_tvm_open(g.tvm, nonce, 1, g.request);
	g.request_size = GUEST_MESSAGE_OPEN_SIZE;
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_MALFORMED);
	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
	memcpy(g.request, g.response, g.response_size);
	g.request_size = g.response_size;
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_MALFORMED);
}

/* Whatever bit the host flips, the message is refused and the true one still works after it. */
Test(guest_message_tsm, bit_flips)
{
	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_INFO, "ask");
	for (size_t bit = 0; bit < 8 * g.request_size; bit++) {
		int outcome;

		g.request[bit / 8] ^= (uint8_t)(1 << bit % 8);
		outcome = testing_guest_deliver(&g);
		if (bit / 8 < 16 && bit / 8 != 6)
			cr_assert_eq(outcome, GUEST_MESSAGE_MALFORMED, "bit %zu", bit);
		else if (bit / 8 >= 16 && bit / 8 < 32)
			cr_assert_eq(outcome, GUEST_MESSAGE_UNKNOWN_SESSION, "bit %zu", bit);
		else if (bit / 8 >= 32 && bit / 8 < 40)
			cr_assert_eq(outcome, GUEST_MESSAGE_OUT_OF_SEQUENCE, "bit %zu", bit);
		else if (bit / 8 >= 40)
			cr_assert_eq(outcome, GUEST_MESSAGE_FORGED, "bit %zu", bit);
		else
			cr_assert(outcome == GUEST_MESSAGE_FORGED ||
					  outcome == GUEST_MESSAGE_MALFORMED,
				  "bit %zu", bit);
		g.request[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	cr_assert_eq(g.got.type, GUEST_MESSAGE_TDI_INFO);
	cr_assert_eq(g.got.sequence, 2);
	cr_assert_eq(g.got.payload_size, 3);
	cr_assert_arr_eq(g.got.payload, "ask", 3);
	cr_assert_not(g.got.new_session);
}

Test(guest_message_tsm, other_key)
{
	GuestMessageTvm *stranger = testing_guest_agent((const uint8_t[32]){ 9 });

	testing_guest_open(&g, stranger);
	testing_guest_seal(&g, stranger, GUEST_MESSAGE_TDI_VALIDATE, "accept");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_FORGED);
	cr_assert_eq(guest_message_tsm_seal(g.tsm, "", 0, &g.cached, &g.cached_size), -EINVAL);
	guest_message_tvm_free(stranger);
}

Test(guest_message_tsm, replay)
{
	uint8_t first[GUEST_MESSAGE_MAX_SIZE];
	size_t first_size;

	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
	first_size = g.request_size;
	memcpy(first, g.request, first_size);
	testing_guest_exchange(&g, g.tvm);
	memcpy(g.request, first, first_size);
	g.request_size = first_size;
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OUT_OF_SEQUENCE);
	testing_guest_exchange(&g, g.tvm);
}

/* A second agent with the same session would be needed for a gap: the sequence in force is exact.
 */
Test(guest_message_tsm, reorder)
{
	GuestMessageTvm *twin = testing_guest_agent(testing_tvm_key);
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE];
	uint8_t open[GUEST_MESSAGE_OPEN_SIZE], second[GUEST_MESSAGE_MAX_SIZE];
	size_t second_size;

	testing_guest_open(&g, g.tvm);
	/* The twin takes part in the same session, and has gone one message further. */
	memset(nonce, 0, sizeof(nonce));
	nonce[0] = g.counter;
	nonce[1] = 1;
	guest_message_tvm_open(twin, nonce, g.counter, open);
	cr_assert_eq(guest_message_tvm_opened(twin, g.response, g.response_size), GUEST_MESSAGE_OK);
	testing_guest_exchange(&g, twin);
	testing_guest_seal(&g, twin, GUEST_MESSAGE_TDI_STATE, "second");
	second_size = g.request_size;
	memcpy(second, g.request, second_size);

	testing_guest_done(&g);
	testing_guest_init(&g);
	/* The TSM again at the session's start: the second message must not come first. */
	testing_guest_open(&g, g.tvm);
	memcpy(g.request, second, second_size);
	g.request_size = second_size;
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OUT_OF_SEQUENCE);
	testing_guest_exchange(&g, g.tvm);
	/* Now it is its turn: same keys, so it is authentic. */
	memcpy(g.request, second, second_size);
	g.request_size = second_size;
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	guest_message_tvm_free(twin);
}

Test(guest_message_tsm, duplicate)
{
	uint8_t answer[GUEST_MESSAGE_MAX_SIZE];

	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_VALIDATE, "accept");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	cr_assert(g.got.new_session);
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_UNANSWERED);
	testing_guest_answer(&g, "accepted");
	memcpy(answer, g.response, g.response_size);
	for (int i = 0; i < 3; i++) {
		memset(&g.got, 0xee, sizeof(g.got));
		cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_DUPLICATE);
		cr_assert_eq(g.got.type, 0xee, "not executed again");
		cr_assert_eq(g.cached_size, g.response_size);
		cr_assert_arr_eq(g.cached, answer, g.response_size);
	}
	cr_assert_eq(guest_message_tsm_seal(g.tsm, "rejected", 8, &g.cached, &g.cached_size),
		     -EINVAL, "another plaintext under a used sequence");
	cr_assert_eq(testing_guest_return(&g, g.tvm), GUEST_MESSAGE_OK);
	testing_guest_exchange(&g, g.tvm);
}

/* The answer that is being made must not end up in a new session's hands. */
Test(guest_message_tsm, takeover_waits_for_the_answer)
{
	GuestMessageTvm *restarted = testing_guest_agent(testing_tvm_key);
	uint8_t first[GUEST_MESSAGE_MAX_SIZE];

	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_VALIDATE, "accept");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	testing_guest_open(&g, restarted);
	testing_guest_seal(&g, restarted, GUEST_MESSAGE_TDI_STATE, "here");
	memcpy(first, g.request, g.request_size);
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_UNANSWERED);
	testing_guest_answer(&g, "accepted");
	cr_assert_eq(testing_guest_return(&g, restarted), GUEST_MESSAGE_UNKNOWN_SESSION);
	cr_assert_eq(testing_guest_return(&g, g.tvm), GUEST_MESSAGE_OK);
	cr_assert_arr_eq(g.request, first, g.request_size);
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	cr_assert(g.got.new_session);
	guest_message_tvm_free(restarted);
}

/* A second question before the first one is answered, which our own agent never asks. */
Test(guest_message_tsm, next_before_answer)
{
	GuestMessageHeader h;
	GuestMessageKeys keys;
	uint8_t agent_nonce[GUEST_MESSAGE_NONCE_SIZE] = { 1, 1 };

	testing_guest_open(&g, g.tvm);
	cr_assert_eq(guest_message_keys_derive(&keys, testing_tvm_key, agent_nonce,
					       g.response + GUEST_MESSAGE_HEADER_SIZE,
					       g.response + 16, testing_tvm_uuid),
		     0);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_STATE, "first");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	cr_assert_eq(guest_message_header_parse(&h, g.request, g.request_size), 0);
	h.sequence = 2;
	cr_assert_eq(guest_message_seal(&keys, &h, "other", g.request), 0);
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_UNANSWERED);
	testing_guest_answer(&g, "answer");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
}

Test(guest_message_tsm, limits)
{
	static const uint8_t big[GUEST_MESSAGE_MAX_PAYLOAD + 1];

	cr_assert_eq(guest_message_tsm_seal(g.tsm, "", 0, &g.cached, &g.cached_size), -EINVAL);
	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, 0x55, "");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK, "an unknown type is answered");
	cr_assert_eq(g.got.type, 0x55);
	cr_assert_eq(guest_message_tsm_seal(g.tsm, big, sizeof(big), &g.cached, &g.cached_size),
		     -EINVAL);
	cr_assert_eq(guest_message_tsm_seal(g.tsm, big, sizeof(big) - 1, &g.cached, &g.cached_size),
		     0);
	cr_assert_eq(g.cached_size, GUEST_MESSAGE_MAX_SIZE);
}

/* Opening proves nothing: the session in force lives on until the new one has shown its key. */
Test(guest_message_tsm, takeover)
{
	GuestMessageTvm *stranger = testing_guest_agent((const uint8_t[32]){ 9 });
	GuestMessageTvm *restarted = testing_guest_agent(testing_tvm_key);

	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);

	testing_guest_open(&g, stranger);
	testing_guest_seal(&g, stranger, GUEST_MESSAGE_TDI_STATE, "forged");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_FORGED);
	testing_guest_exchange(&g, g.tvm);

	testing_guest_open(&g, restarted);
	testing_guest_exchange(&g, g.tvm);
	testing_guest_seal(&g, restarted, GUEST_MESSAGE_TDI_STATE, "here");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	cr_assert(g.got.new_session);
	cr_assert_eq(g.got.sequence, 1);
	testing_guest_answer(&g, "welcome");
	cr_assert_eq(testing_guest_return(&g, restarted), GUEST_MESSAGE_OK);

	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_STATE, "late");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_UNKNOWN_SESSION);
	testing_guest_exchange(&g, restarted);
	guest_message_tvm_free(stranger);
	guest_message_tvm_free(restarted);
}

/* A first message that the host held back must not bring an older session to life. */
Test(guest_message_tsm, held_back)
{
	uint8_t held[GUEST_MESSAGE_MAX_SIZE];
	size_t held_size;

	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_VALIDATE, "accept");
	held_size = g.request_size;
	memcpy(held, g.request, held_size);
	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
	memcpy(g.request, held, held_size);
	g.request_size = held_size;
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_UNKNOWN_SESSION);
	testing_guest_exchange(&g, g.tvm);
}

/* A flood of OPENs displaces pending ones, never the session in force. */
Test(guest_message_tsm, flood)
{
	GuestMessageTvm *waiting = testing_guest_agent(testing_tvm_key);
	GuestMessageTvm *other = testing_guest_agent(testing_tvm_key);

	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
	testing_guest_open(&g, waiting);
	for (int i = 0; i < GUEST_MESSAGE_TSM_MAX_PENDING - 1; i++)
		testing_guest_open(&g, other);
	testing_guest_exchange(&g, g.tvm);
	testing_guest_exchange(&g, waiting);

	testing_guest_open(&g, waiting);
	for (int i = 0; i < GUEST_MESSAGE_TSM_MAX_PENDING; i++)
		testing_guest_open(&g, other);
	testing_guest_seal(&g, waiting, GUEST_MESSAGE_TDI_STATE, "displaced");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_UNKNOWN_SESSION);
	testing_guest_exchange(&g, other);
	guest_message_tvm_free(waiting);
	guest_message_tvm_free(other);
}
