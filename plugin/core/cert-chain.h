/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The certificate chain of an SPDM slot (DSP0274, "Certificates and certificate chains"):
 *
 *    0  u16       length of the whole structure
 *    2  u16       reserved, zero
 *    4  48 bytes  SHA-384 of the root certificate's DER
 *   52  ...       DER certificates, root first, leaf last
 *
 * The digest of the whole structure is what DIGESTS, session transcripts and TSM statements name.
 */
#pragma once

#include "core/cleanup.h"
#include "core/device-identity.h"
#include "core/digest.h"

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define CERT_CHAIN_HEADER_SIZE (4 + DIGEST_SIZE)
#define CERT_CHAIN_MAX_SIZE    UINT16_MAX
#define CERT_CHAIN_MAX_DEPTH   6

typedef struct CertChain CertChain;

/* Whom to believe. All borrowed. */
typedef struct CertChainTrust {
	const Digest *roots; /* SHA-384 of each trusted root certificate's DER */
	size_t n_roots;
	/* DER revocation lists. If there is any, the leaf's issuer has to be covered by one. */
	const struct iovec *crls;
	size_t n_crls;
	int64_t now; /* seconds since 1970, UTC */
} CertChainTrust;

/*
 * Takes the structure apart, trusting nothing: lengths, root hash, 1 to 6 certificates and not a
 * byte more. *ret copies what it needs. -EBADMSG with a sentence, -ENOMEM.
 */
int cert_chain_parse(CertChain **ret, const void *data, size_t size, char **ret_error);
CertChain *cert_chain_free(CertChain *chain);
DEFINE_CLEANUP(CertChain, cert_chain_free);

/* Puts the structure together. certs: DER, root first. *ret: malloc'ed. -EINVAL: none, too large.
 */
int cert_chain_build(uint8_t **ret, size_t *ret_size, const struct iovec *certs, size_t n_certs);

/*
 * Root trusted, each certificate signed by the one before it, validity, CA flag, path length, key
 * usage, P-384 or P-256 keys only, revocation. The leaf must not be a CA. 0, -EKEYREJECTED with a
 * sentence that names the certificate, or -ENOMEM/-EIO.
 */
int cert_chain_verify(const CertChain *chain, const CertChainTrust *trust, char **ret_error);

size_t cert_chain_depth(const CertChain *chain);

/* Borrowed. NULL: it cannot be read; such a chain does not verify. */
EVP_PKEY *cert_chain_leaf_key(const CertChain *chain);

/* SHA-384 of the root's DER, and of the leaf's SubjectPublicKeyInfo DER. */
const Digest *cert_chain_root_digest(const CertChain *chain);
const Digest *cert_chain_leaf_key_digest(const CertChain *chain);

/* From the leaf's subjectAltName. -ENODATA: it has none, -EBADMSG: malformed or more than one. */
int cert_chain_identity(const CertChain *chain, DeviceIdentity *ret, char **ret_error);

/* SHA-384 of a key's SubjectPublicKeyInfo DER. 0 or -EIO. */
int cert_chain_key_digest(Digest *ret, EVP_PKEY *key);
