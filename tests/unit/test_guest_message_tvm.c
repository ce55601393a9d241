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

TestSuite(guest_message_tvm, .init = setup, .fini = teardown);

Test(guest_message_tvm, out_of_state)
{
	const uint8_t *sealed;
	size_t size;

	cr_assert_not(guest_message_tvm_ready(g.tvm));
	cr_assert_eq(
		guest_message_tvm_seal(g.tvm, GUEST_MESSAGE_TDI_INFO, 1, "", 0, &sealed, &size),
		-ENOTCONN);
	cr_assert_eq(testing_guest_return(&g, g.tvm), GUEST_MESSAGE_UNEXPECTED);
	cr_assert_eq(guest_message_tvm_opened(g.tvm, g.response, GUEST_MESSAGE_OPEN_SIZE),
		     GUEST_MESSAGE_UNEXPECTED);
	testing_guest_open(&g, g.tvm);
	cr_assert(guest_message_tvm_ready(g.tvm));
	cr_assert_eq(guest_message_tvm_opened(g.tvm, g.response, g.response_size),
		     GUEST_MESSAGE_UNEXPECTED, "the same answer once more");
	cr_assert_eq(testing_guest_return(&g, g.tvm), GUEST_MESSAGE_UNEXPECTED);
}

Test(guest_message_tvm, broken_opened)
{
	uint8_t open[GUEST_MESSAGE_OPEN_SIZE], nonce[GUEST_MESSAGE_NONCE_SIZE] = { 1 };
	uint8_t id[GUEST_MESSAGE_SESSION_SIZE] = { 2 }, response[GUEST_MESSAGE_OPEN_SIZE];

	guest_message_tvm_open(g.tvm, nonce, 5, open);
	cr_assert_eq(guest_message_tvm_opened(g.tvm, open, sizeof(open)), GUEST_MESSAGE_UNRELATED,
		     "the OPEN itself");
	cr_assert_eq(guest_message_tsm_open(g.tsm, open, sizeof(open), id, nonce, response), 0);
	for (size_t n = 0; n < sizeof(response); n++)
		cr_assert_eq(guest_message_tvm_opened(g.tvm, response, n), GUEST_MESSAGE_MALFORMED);
	response[40] ^= 1;
	cr_assert_eq(guest_message_tvm_opened(g.tvm, response, sizeof(response)),
		     GUEST_MESSAGE_UNRELATED, "request id");
	response[40] ^= 1;
	cr_assert_eq(guest_message_tvm_opened(g.tvm, response, sizeof(response)), GUEST_MESSAGE_OK);
}

Test(guest_message_tvm, seal_refuses)
{
	static const uint8_t big[GUEST_MESSAGE_MAX_PAYLOAD + 1];
	const uint8_t *sealed;
	size_t size;

	testing_guest_open(&g, g.tvm);
	cr_assert_eq(guest_message_tvm_seal(g.tvm, GUEST_MESSAGE_OPEN, 1, "", 0, &sealed, &size),
		     -EINVAL);
	cr_assert_eq(guest_message_tvm_seal(g.tvm, 0, 1, "", 0, &sealed, &size), -EINVAL);
	cr_assert_eq(guest_message_tvm_seal(g.tvm, 0x82, 1, "", 0, &sealed, &size), -EINVAL);
	cr_assert_eq(guest_message_tvm_seal(g.tvm, GUEST_MESSAGE_TDI_INFO, 1, big, sizeof(big),
					    &sealed, &size),
		     -EINVAL);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_INFO, "first");
	cr_assert_eq(
		guest_message_tvm_seal(g.tvm, GUEST_MESSAGE_TDI_INFO, 1, "", 0, &sealed, &size),
		-EBUSY);
}

Test(guest_message_tvm, request_is_sent_again)
{
	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_VALIDATE, "accept");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	testing_guest_answer(&g, "accepted");
	/* The answer is lost. */
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_DUPLICATE);
	cr_assert_eq(guest_message_tvm_unseal(g.tvm, g.cached, g.cached_size, g.payload,
					      &g.payload_size),
		     GUEST_MESSAGE_OK);
	cr_assert_eq(g.payload_size, 8);
	cr_assert_arr_eq(g.payload, "accepted", 8);
}

Test(guest_message_tvm, bit_flips)
{
	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_INFO, "ask");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	testing_guest_answer(&g, "answer");
	for (size_t bit = 0; bit < 8 * g.response_size; bit++) {
		int outcome;

		g.response[bit / 8] ^= (uint8_t)(1 << bit % 8);
		outcome = testing_guest_return(&g, g.tvm);
		if (bit / 8 < 16 && bit / 8 != 6)
			cr_assert_eq(outcome, GUEST_MESSAGE_MALFORMED, "bit %zu", bit);
		else if (bit / 8 >= 16 && bit / 8 < 32)
			cr_assert_eq(outcome, GUEST_MESSAGE_UNKNOWN_SESSION, "bit %zu", bit);
		else if (bit / 8 >= 32 && bit / 8 < 40)
			cr_assert_eq(outcome, GUEST_MESSAGE_OUT_OF_SEQUENCE, "bit %zu", bit);
		else if (bit / 8 >= 40 && bit / 8 < 48)
			cr_assert_eq(outcome, GUEST_MESSAGE_UNRELATED, "bit %zu", bit);
		else if (bit / 8 >= 48)
			cr_assert_eq(outcome, GUEST_MESSAGE_FORGED, "bit %zu", bit);
		else
			cr_assert(outcome == GUEST_MESSAGE_UNRELATED ||
					  outcome == GUEST_MESSAGE_MALFORMED,
				  "bit %zu", bit);
		g.response[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	cr_assert_eq(testing_guest_return(&g, g.tvm), GUEST_MESSAGE_OK);
}

/* The answer to one request must not pass for the answer to another. */
Test(guest_message_tvm, answer_of_another_request)
{
	uint8_t old[GUEST_MESSAGE_MAX_SIZE];
	size_t old_size;

	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
	old_size = g.response_size;
	memcpy(old, g.response, old_size);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_STATE, "ask");
	cr_assert_eq(guest_message_tvm_unseal(g.tvm, old, old_size, g.payload, &g.payload_size),
		     GUEST_MESSAGE_OUT_OF_SEQUENCE);
	cr_assert_eq(guest_message_tvm_unseal(g.tvm, g.request, g.request_size, g.payload,
					      &g.payload_size),
		     GUEST_MESSAGE_UNRELATED, "its own request, reflected");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	testing_guest_answer(&g, "answer");
	cr_assert_eq(testing_guest_return(&g, g.tvm), GUEST_MESSAGE_OK);
}

/* Same sequence, same type and id, but of a session given up. */
Test(guest_message_tvm, answer_of_another_session)
{
	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_STATE, "ask");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_OK);
	testing_guest_answer(&g, "old");
	{
		uint8_t old[GUEST_MESSAGE_MAX_SIZE];
		size_t old_size = g.response_size;

		memcpy(old, g.response, old_size);
		testing_guest_open(&g, g.tvm);
		testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_STATE, "ask");
		cr_assert_eq(
			guest_message_tvm_unseal(g.tvm, old, old_size, g.payload, &g.payload_size),
			GUEST_MESSAGE_UNKNOWN_SESSION);
		/* Made to look like the new session's. */
		memcpy(old + 16, g.request + 16, GUEST_MESSAGE_SESSION_SIZE);
		memcpy(old + 40, g.request + 40, 8);
		cr_assert_eq(
			guest_message_tvm_unseal(g.tvm, old, old_size, g.payload, &g.payload_size),
			GUEST_MESSAGE_FORGED);
	}
}

/* A host that answers OPEN itself gets a session that leads nowhere. */
Test(guest_message_tvm, host_plays_tsm)
{
	GuestMessageTsm *true_tsm = g.tsm;

	cr_assert_eq(guest_message_tsm_new(&g.tsm, (const uint8_t[32]){ 9 }, testing_tvm_uuid), 0);
	testing_guest_open(&g, g.tvm);
	testing_guest_seal(&g, g.tvm, GUEST_MESSAGE_TDI_INFO, "ask");
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_FORGED);
	guest_message_tsm_free(g.tsm);
	g.tsm = true_tsm;
	cr_assert_eq(testing_guest_deliver(&g), GUEST_MESSAGE_UNKNOWN_SESSION);
	testing_guest_open(&g, g.tvm);
	testing_guest_exchange(&g, g.tvm);
}

Test(guest_message_tvm, many)
{
	testing_guest_open(&g, g.tvm);
	for (int i = 0; i < 1000; i++)
		testing_guest_exchange(&g, g.tvm);
	cr_assert_eq(g.got.sequence, 1000);
}
