/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A slot's certificate chain. Input: size of a revocation list (2 bytes), the list, the chain. */
#include "core/cert-chain.h"
#include "core/bytes.h"
#include "fuzz.h"

#include <errno.h>

#define NOW 1780000000 /* as in tests/unit/testing-ca.h */

/* Trusts the chain's own root, so that all there is to check is reached. */
static bool verify(const CertChain *chain, const struct iovec *crl)
{
	CertChainTrust trust = { .roots = cert_chain_root_digest(chain),
				 .n_roots = 1,
				 .crls = crl,
				 .n_crls = crl->iov_len ? 1 : 0,
				 .now = NOW };
	char *error = NULL;
	int r = cert_chain_verify(chain, &trust, &error);

	CHECK(r == 0 || r == -EKEYREJECTED);
	if (!fuzz_good(r, error))
		return false;
	CHECK(cert_chain_leaf_key(chain));
	trust.n_roots = 0;
	CHECK(cert_chain_verify(chain, &trust, NULL) == -EKEYREJECTED);
	return true;
}

static void check_identity(const CertChain *chain)
{
	DeviceIdentity identity, again;
	char text[DEVICE_IDENTITY_STRING_SIZE], *error = NULL;
	int r = cert_chain_identity(chain, &identity, &error);

	CHECK(r == 0 || r == -ENODATA || r == -EBADMSG);
	if (r == -ENODATA ? !fuzz_good_or_silent(r, error) : !fuzz_good(r, error))
		return;
	device_identity_format(&identity, text);
	CHECK(device_identity_parse(&again, text, strlen(text)) == 0);
	CHECK(device_identity_equal(&identity, &again));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	ByteReader r = byte_reader(data, size);
	uint16_t crl_size = bytes_take_u16(&r);
	const uint8_t *crl = bytes_take(&r, crl_size);
	char *error = NULL;

	if (!crl)
		return false;
	if (!fuzz_good(cert_chain_parse(&chain, r.at, r.left, &error), error))
		return false;
	CHECK(cert_chain_depth(chain) >= 1 && cert_chain_depth(chain) <= CERT_CHAIN_MAX_DEPTH);
	CHECK(memcmp(cert_chain_root_digest(chain), r.at + 4, DIGEST_SIZE) == 0);
	check_identity(chain);
	return verify(chain, &(struct iovec){ (void *)crl, crl_size });
}
