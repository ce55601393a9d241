/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/cert-chain.h"
#include "core/spdm-signature.h"
#include "core/spdm.h"
#include "data/spdm-capture.h"
#include "testing-ca.h"

#include <errno.h>

#define SIGNATURE_AT (sizeof(capture_measurements) - 96)

static EVP_PKEY *captured_key(CertChain **ret)
{
	cr_assert_eq(cert_chain_parse(ret, capture_chain, sizeof(capture_chain), NULL), 0);
	return cert_chain_leaf_key(*ret);
}

static Digest captured_transcript(void)
{
	Digest digest;

	memcpy(digest.bytes, capture_l1l2, DIGEST_SIZE);
	return digest;
}

Test(spdm_signature, broken)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	const uint8_t *good = capture_measurements + SIGNATURE_AT;
	EVP_PKEY *key = captured_key(&chain), *other = testing_key("P-384");
	EVP_PKEY *rsa = testing_key("RSA"), *p521 = testing_key("P-521");
	Digest transcript = captured_transcript(), changed = transcript;
	uint8_t bad[96], zero[96] = {};

	changed.bytes[47] ^= 1;
	cr_assert_eq(spdm_signature_verify(good, 96, key, SPDM_CONTEXT_MEASUREMENTS, &changed),
		     -EKEYREJECTED);
	cr_assert_eq(spdm_signature_verify(good, 96, key, SPDM_CONTEXT_CHALLENGE, &transcript),
		     -EKEYREJECTED);
	cr_assert_eq(spdm_signature_verify(good, 96, other, SPDM_CONTEXT_MEASUREMENTS, &transcript),
		     -EKEYREJECTED);
	cr_assert_eq(spdm_signature_verify(zero, 96, key, SPDM_CONTEXT_MEASUREMENTS, &transcript),
		     -EKEYREJECTED);
	for (size_t i = 0; i < 96; i += 5) {
		memcpy(bad, good, 96);
		bad[i] ^= 0x10;
		cr_assert_eq(
			spdm_signature_verify(bad, 96, key, SPDM_CONTEXT_MEASUREMENTS, &transcript),
			-EKEYREJECTED);
	}
	cr_assert_eq(spdm_signature_verify(good, 95, key, SPDM_CONTEXT_MEASUREMENTS, &transcript),
		     -EINVAL);
	cr_assert_eq(spdm_signature_verify(good, 64, key, SPDM_CONTEXT_MEASUREMENTS, &transcript),
		     -EINVAL);
	cr_assert_eq(spdm_signature_size(rsa), 0);
	cr_assert_eq(spdm_signature_size(p521), 0);
	cr_assert_eq(spdm_signature_size(NULL), 0);
	cr_assert_eq(spdm_signature_make(bad, rsa, SPDM_CONTEXT_MEASUREMENTS, &transcript),
		     -EINVAL);
	cr_assert_eq(spdm_signature_make(bad, other, "a context that is longer than 36 bytes",
					 &transcript),
		     -EINVAL);
	EVP_PKEY_free(other);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(p521);
}

Test(spdm_signature, prefix)
{
	uint8_t prefix[SPDM_SIGNATURE_PREFIX_SIZE];

	cr_assert_eq(spdm_signature_prefix(prefix, SPDM_CONTEXT_MEASUREMENTS), 0);
	cr_assert_arr_eq(prefix, "dmtf-spdm-v1.2.*dmtf-spdm-v1.2.*", 32);
	cr_assert_arr_eq(prefix + 48, "dmtf-spdm-v1.2.*\0\0\0\0\0\0responder-measurements signing",
			 52);
}

Test(spdm_signature, capture)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	EVP_PKEY *key = captured_key(&chain);
	Digest transcript = captured_transcript();

	cr_assert_eq(spdm_signature_algorithm(key), SPDM_ASYM_ECDSA_P384);
	cr_assert_eq(spdm_signature_verify(capture_measurements + SIGNATURE_AT, 96, key,
					   SPDM_CONTEXT_MEASUREMENTS, &transcript),
		     0);
}

Test(spdm_signature, round_trip)
{
	static const struct {
		const char *curve;
		size_t size;
	} curves[] = { { "P-384", 96 }, { "P-256", 64 } };
	Digest transcript = captured_transcript();

	for (size_t i = 0; i < 2; i++) {
		EVP_PKEY *key = testing_key(curves[i].curve);

		/* Often enough to meet an r or s with leading zeros. */
		for (int n = 0; n < 300; n++) {
			uint8_t signature[SPDM_SIGNATURE_MAX_SIZE];

			transcript.bytes[0] = (uint8_t)n;
			cr_assert_eq(spdm_signature_size(key), curves[i].size);
			cr_assert_eq(spdm_signature_make(signature, key, SPDM_CONTEXT_KEY_EXCHANGE,
							 &transcript),
				     0);
			cr_assert_eq(spdm_signature_verify(signature, curves[i].size, key,
							   SPDM_CONTEXT_KEY_EXCHANGE, &transcript),
				     0);
		}
		EVP_PKEY_free(key);
	}
}
