/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hostile device's answers to the TSM. Input: which verb, then answers, each behind its size (2
 * bytes); when they are used up the device says nothing more.
 */
#include "core/bytes.h"
#include "fuzz.h"
#include "tsm/emulated/requester.h"

#include <errno.h>
#include <openssl/evp.h>

#define FUNCTION 0x0110

static int exchange(void *userdata, const void *request, size_t request_size, void *response,
		    size_t capacity, size_t *ret_size)
{
	ByteReader *answers = userdata;
	uint16_t size = bytes_take_u16(answers);
	const uint8_t *answer;

	CHECK(request_size > 0);
	if (size > capacity)
		return -ENOSPC;
	answer = bytes_take(answers, size);
	if (!answer)
		return -ENOTCONN;
	memcpy(response, answer, size);
	*ret_size = size;
	return 0;
}

static int measure(Requester *q, char **ret_error)
{
	static const uint8_t nonce[SPDM_NONCE_SIZE] = { 1 };
	static EVP_PKEY *key;
	_cleanup_blob_ Blob transcript = {};

	if (!key)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	return requester_measure(q, 0, nonce, key, &transcript, ret_error);
}

static int run(Requester *q, uint8_t verb, char **ret_error)
{
	static const TdispLock lock = { .flags = TDISP_LOCK_NO_FW_UPDATE };
	_cleanup_blob_ Blob blob = {};
	uint8_t nonce[TDISP_NONCE_SIZE] = {};
	TdispState state;
	Digest digest;
	int r;

	switch (verb % 9) {
	case 0: return requester_negotiate(q, ret_error);
	case 1: return requester_certificates(q, 0, &blob, &digest, ret_error);
	case 2: return measure(q, ret_error);
	case 3: return requester_tdisp_check(q, FUNCTION, lock.flags, ret_error);
	case 4: return requester_lock(q, FUNCTION, &lock, nonce, ret_error);
	case 5: return requester_report(q, FUNCTION, &blob, ret_error);
	case 6:
		r = requester_state(q, FUNCTION, &state, ret_error);
		CHECK(r < 0 || state < TDISP_N_STATES);
		return r;
	case 7: return requester_start(q, FUNCTION, nonce, ret_error);
	default: return requester_stop(q, FUNCTION, ret_error);
	}
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	ByteReader answers = byte_reader(data, size);
	Requester q = { .exchange = exchange, .userdata = &answers };
	uint8_t verb = bytes_take_u8(&answers);
	char *error = NULL;
	bool good;

	good = fuzz_good(run(&q, verb, &error), error);
	requester_done(&q);
	return good;
}
