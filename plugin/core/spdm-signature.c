/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/spdm-signature.h"
#include "core/spdm.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#define PREFIX_VERSION	    "dmtf-spdm-v1.2.*"
#define PREFIX_VERSION_SIZE 16
#define PREFIX_CONTEXT_SIZE (SPDM_SIGNATURE_PREFIX_SIZE - 4 * PREFIX_VERSION_SIZE)

/* Longest DER of an ECDSA signature: two INTEGERs of up to 49 bytes and their headers. */
#define DER_MAX_SIZE 128

_Static_assert(PREFIX_CONTEXT_SIZE == 36, "DSP0274: the context field has 36 bytes");

int spdm_signature_prefix(uint8_t ret[static SPDM_SIGNATURE_PREFIX_SIZE], const char *context)
{
	size_t size = strlen(context);

	if (size > PREFIX_CONTEXT_SIZE)
		return -EINVAL;
	memset(ret, 0, SPDM_SIGNATURE_PREFIX_SIZE);
	for (size_t i = 0; i < 4; i++)
		memcpy(ret + i * PREFIX_VERSION_SIZE, PREFIX_VERSION, PREFIX_VERSION_SIZE);
	memcpy(ret + SPDM_SIGNATURE_PREFIX_SIZE - size, context, size);
	return 0;
}

size_t spdm_signature_size(EVP_PKEY *key)
{
	char group[32];

	if (!key || !EVP_PKEY_is_a(key, "EC") ||
	    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
		return 0;
	if (strcmp(group, "secp384r1") == 0)
		return 96;
	if (strcmp(group, "prime256v1") == 0)
		return 64;
	return 0;
}

uint32_t spdm_signature_algorithm(EVP_PKEY *key)
{
	switch (spdm_signature_size(key)) {
	case 96: return SPDM_ASYM_ECDSA_P384;
	case 64: return SPDM_ASYM_ECDSA_P256;
	default: return 0;
	}
}

static int signed_octets(uint8_t ret[static SPDM_SIGNATURE_PREFIX_SIZE + DIGEST_SIZE],
			 const char *context, const Digest *transcript)
{
	memcpy(ret + SPDM_SIGNATURE_PREFIX_SIZE, transcript->bytes, DIGEST_SIZE);
	return spdm_signature_prefix(ret, context);
}

static int raw_from_der(uint8_t *ret, size_t size, const uint8_t *der, size_t der_size)
{
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)der_size);
	int half = (int)size / 2;
	bool ok;

	ok = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret, half) == half &&
	     BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret + half, half) == half;
	ECDSA_SIG_free(signature);
	return ok ? 0 : -EIO;
}

static int der_from_raw(uint8_t ret[static DER_MAX_SIZE], size_t *ret_size, const uint8_t *raw,
			size_t size)
{
	ECDSA_SIG *signature = ECDSA_SIG_new();
	int half = (int)size / 2;
	BIGNUM *r = BN_bin2bn(raw, half, NULL);
	BIGNUM *s = BN_bin2bn(raw + half, half, NULL);
	int n = -1;

	if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
		uint8_t *at = ret;

		r = s = NULL;
		n = i2d_ECDSA_SIG(signature, NULL);
		if (n > 0 && n <= DER_MAX_SIZE)
			n = i2d_ECDSA_SIG(signature, &at);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(signature);
	if (n <= 0 || n > DER_MAX_SIZE)
		return -EIO;
	*ret_size = (size_t)n;
	return 0;
}

int spdm_signature_make(uint8_t ret[static SPDM_SIGNATURE_MAX_SIZE], EVP_PKEY *key,
			const char *context, const Digest *transcript)
{
	uint8_t octets[SPDM_SIGNATURE_PREFIX_SIZE + DIGEST_SIZE], der[DER_MAX_SIZE];
	size_t size = spdm_signature_size(key), der_size = sizeof(der);
	EVP_MD_CTX *md;
	bool ok;

	if (size == 0 || signed_octets(octets, context, transcript) < 0)
		return -EINVAL;
	md = EVP_MD_CTX_new();
	ok = md && EVP_DigestSignInit(md, NULL, EVP_sha384(), NULL, key) == 1 &&
	     EVP_DigestSign(md, der, &der_size, octets, sizeof(octets)) == 1;
	EVP_MD_CTX_free(md);
	return ok ? raw_from_der(ret, size, der, der_size) : -EIO;
}

int spdm_signature_verify(const uint8_t *signature, size_t signature_size, EVP_PKEY *key,
			  const char *context, const Digest *transcript)
{
	uint8_t octets[SPDM_SIGNATURE_PREFIX_SIZE + DIGEST_SIZE], der[DER_MAX_SIZE];
	size_t size = spdm_signature_size(key), der_size;
	EVP_MD_CTX *md;
	int r;

	if (size == 0 || signature_size != size || signed_octets(octets, context, transcript) < 0)
		return -EINVAL;
	r = der_from_raw(der, &der_size, signature, size);
	if (r < 0)
		return r;
	md = EVP_MD_CTX_new();
	if (!md || EVP_DigestVerifyInit(md, NULL, EVP_sha384(), NULL, key) != 1)
		r = -EIO;
	else if (EVP_DigestVerify(md, der, der_size, octets, sizeof(octets)) != 1)
		r = -EKEYREJECTED;
	EVP_MD_CTX_free(md);
	return r;
}
