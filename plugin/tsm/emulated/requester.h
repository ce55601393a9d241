/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the TSM says to a DSM: SPDM 1.2 as far as evidence needs it, and TDISP in VENDOR_DEFINED
 * messages. The device is hostile until parsed: every answer is checked against its request, every
 * length and every count of repetitions is bounded.
 *
 * Each function returns 0; -EREMOTEIO if the device refused (SPDM ERROR, TDISP_ERROR); -EBADMSG for
 * an answer that makes no sense; the exchange's own error; all with a sentence.
 */
#pragma once

#include "common/blob.h"
#include "core/digest.h"
#include "core/spdm.h"
#include "core/tdisp.h"

#include <openssl/types.h>

/* As device_exchange(). */
typedef int (*RequesterExchange)(void *userdata, const void *request, size_t request_size,
				 void *response, size_t capacity, size_t *ret_size);

typedef struct Requester {
	RequesterExchange exchange;
	void *userdata;
	Blob vca; /* GET_VERSION to ALGORITHMS once negotiated */
} Requester;

void requester_done(Requester *requester);

int requester_negotiate(Requester *requester, char **ret_error);

/* DIGESTS, then the slot's whole chain structure, which has that digest. */
int requester_certificates(Requester *requester, uint8_t slot, Blob *ret, Digest *ret_digest,
			   char **ret_error);

/*
 * All measurements, signed, in one exchange: request and response, as a verifier takes them. The
 * signature is verified with `key`.
 */
int requester_measure(Requester *requester, uint8_t slot,
		      const uint8_t nonce[static SPDM_NONCE_SIZE], EVP_PKEY *key, Blob *ret,
		      char **ret_error);

/* TDISP version and capabilities; refuses a device that cannot do what LOCK will ask for. */
int requester_tdisp_check(Requester *requester, uint32_t function_id, uint16_t lock_flags,
			  char **ret_error);

int requester_lock(Requester *requester, uint32_t function_id, const TdispLock *lock,
		   uint8_t ret_nonce[static TDISP_NONCE_SIZE], char **ret_error);
int requester_report(Requester *requester, uint32_t function_id, Blob *ret, char **ret_error);
int requester_state(Requester *requester, uint32_t function_id, TdispState *ret, char **ret_error);
int requester_start(Requester *requester, uint32_t function_id,
		    const uint8_t nonce[static TDISP_NONCE_SIZE], char **ret_error);
int requester_stop(Requester *requester, uint32_t function_id, char **ret_error);
