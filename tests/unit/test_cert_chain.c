/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/cert-chain.h"
#include "data/spdm-capture.h"
#include "testing-ca.h"

#include <errno.h>

static void not_parsed(const uint8_t *data, size_t size, const char *about)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(cert_chain_parse(&chain, data, size, &error), -EBADMSG, "%s", about);
	cr_assert_null(chain);
	cr_assert_not_null(error);
	cr_assert(strstr(error, about), "\"%s\" says nothing of \"%s\"", error, about);
}

static void not_verified(TestingChain *t, const CertChainTrust *trust, const char *about)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	_cleanup_free_ char *error = NULL;
	CertChainTrust own = { .roots = &t->root, .n_roots = 1, .now = TESTING_NOW };

	cr_assert_eq(cert_chain_parse(&chain, t->data, t->size, NULL), 0);
	cr_assert_eq(cert_chain_verify(chain, trust ? trust : &own, &error), -EKEYREJECTED, "%s",
		     about);
	cr_assert_not_null(error);
	cr_assert(strstr(error, about), "\"%s\" says nothing of \"%s\"", error, about);
}

static void verified(TestingChain *t, const CertChainTrust *trust)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	_cleanup_free_ char *error = NULL;
	CertChainTrust own = { .roots = &t->root, .n_roots = 1, .now = TESTING_NOW };

	cr_assert_eq(cert_chain_parse(&chain, t->data, t->size, NULL), 0);
	cr_assert_eq(cert_chain_verify(chain, trust ? trust : &own, &error), 0, "%s", error);
}

/* A key that libcrypto cannot read: the point of the leaf's is not on the curve. */
Test(cert_chain, leaf_key_that_is_none)
{
	TestingChain t = testing_chain_init();
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	uint8_t *spki = NULL, *at;
	int size;

	testing_chain_make(&t);
	size = i2d_PUBKEY(t.keys[TESTING_LEAF], &spki);
	at = memmem(t.data, t.size, spki, (size_t)size);
	cr_assert_not_null(at);
	at[size - 1] ^= 1;
	cr_assert_eq(cert_chain_parse(&chain, t.data, t.size, NULL), 0);
	cr_assert_null(cert_chain_leaf_key(chain));
	not_verified(&t, NULL, "its key");
	OPENSSL_free(spki);
	testing_chain_done(&t);
}

Test(cert_chain, broken_structure)
{
	uint8_t copy[sizeof(capture_chain) + 1] = {};

	for (size_t n = 0; n < sizeof(capture_chain); n += n < 60 ? 1 : 13)
		cr_assert_eq(cert_chain_parse(&(CertChain *){ NULL }, capture_chain, n, NULL),
			     -EBADMSG, "%zu bytes", n);
	not_parsed(NULL, 0, "too short");
	memcpy(copy, capture_chain, sizeof(capture_chain));
	not_parsed(copy, sizeof(copy), "says that it has 1591");
	copy[0]++;
	not_parsed(copy, sizeof(copy), "no DER certificate at byte 1591");
	copy[0]--;
	copy[2] = 1;
	not_parsed(copy, sizeof(capture_chain), "says");
	copy[2] = 0;
	copy[10] ^= 1;
	not_parsed(copy, sizeof(capture_chain), "root hash");
	copy[10] ^= 1;
	copy[52] = 0;
	not_parsed(copy, sizeof(capture_chain), "no DER certificate at byte 52");
	memcpy(copy, capture_chain, 52);
	copy[0] = 52;
	copy[1] = 0;
	not_parsed(copy, 52, "no certificate");
}

Test(cert_chain, too_many)
{
	TestingChain t = testing_chain_init();
	static const size_t seven[] = { 0, 1, 1, 1, 1, 1, 2 };
	_cleanup_free_ uint8_t *data = NULL;
	struct iovec der = { (void *)capture_chain, CERT_CHAIN_MAX_SIZE };
	size_t size;

	testing_chain_make(&t);
	testing_chain_build(&t, seven, 6);
	data = malloc(t.size + 2048);
	memcpy(data, t.data, t.size);
	size = t.size;
	/* Once more the last certificate. */
	testing_chain_build(&t, seven + 5, 1);
	memcpy(data + size, t.data + 52, t.size - 52);
	size += t.size - 52;
	data[0] = (uint8_t)size;
	data[1] = (uint8_t)(size >> 8);
	not_parsed(data, size, "more than 6");
	cr_assert_eq(cert_chain_build(&t.data, &t.size, &der, 0), -EINVAL);
	cr_assert_eq(cert_chain_build(&t.data, &t.size, &der, 7), -EINVAL);
	cr_assert_eq(cert_chain_build(&t.data, &t.size, &der, 1), -EINVAL, "over 64 KiB");
	testing_chain_done(&t);
}

/* The made chain with one certificate's specification changed. */
#define REFUSED_CHAIN(which, change, about)                                                        \
	do {                                                                                       \
		TestingChain t = testing_chain_init();                                             \
                                                                                                   \
		t.specs[which].change;                                                             \
		testing_chain_make(&t);                                                            \
		not_verified(&t, NULL, about);                                                     \
		testing_chain_done(&t);                                                            \
	} while (0)

Test(cert_chain, broken_certificates)
{
	REFUSED_CHAIN(0, to = TESTING_NOW - 5, "root certificate has expired");
	REFUSED_CHAIN(1, to = TESTING_NOW - 5, "certificate 2 of 3 has expired");
	REFUSED_CHAIN(2, to = TESTING_NOW, "leaf certificate has expired");
	REFUSED_CHAIN(2, from = TESTING_NOW + 5, "leaf certificate is not valid yet");
	REFUSED_CHAIN(1, ca = false, "certificate 2 of 3 is not one of a certificate authority");
	REFUSED_CHAIN(2, ca = true, "leaf certificate is one of a certificate authority");
	REFUSED_CHAIN(1, key_usage = "critical,digitalSignature",
		      "certificate 2 of 3: its key may not be used to sign certificates");
	REFUSED_CHAIN(2, key_usage = "critical,keyAgreement",
		      "leaf certificate: its key may not be used to sign");
	REFUSED_CHAIN(0, path_length = 0, "path length");
	REFUSED_CHAIN(2, curve = "P-521", "leaf certificate: its key is neither");
	REFUSED_CHAIN(1, curve = "P-521", "certificate 2 of 3: its key is neither");
	REFUSED_CHAIN(2, curve = "RSA", "leaf certificate: its key is neither");
	REFUSED_CHAIN(2, md = EVP_sha1(), "leaf certificate: not signed with");
	REFUSED_CHAIN(2, critical_oid = "1.2.3.4.5", "leaf certificate: unhandled critical");
}

Test(cert_chain, wrong_path)
{
	TestingChain t = testing_chain_init(), other = testing_chain_init();
	X509 *swapped;

	testing_chain_make(&t);
	testing_chain_make(&other);

	/* The same names, another authority's key. */
	swapped = t.certs[2];
	t.certs[2] = other.certs[2];
	testing_chain_build(&t, (const size_t[]){ 0, 1, 2 }, 3);
	not_verified(&t, NULL, "leaf certificate is not signed by");
	t.certs[2] = swapped;

	testing_chain_build(&t, (const size_t[]){ 0, 2, 1 }, 3);
	not_verified(&t, NULL, "certificate 2 of 3 is not one of a certificate authority");
	testing_chain_build(&t, (const size_t[]){ 0, 2 }, 2);
	not_verified(&t, NULL, "leaf certificate is not signed by");
	testing_chain_build(&t, (const size_t[]){ 0, 1, 1, 2 }, 4);
	not_verified(&t, NULL, "certificate 3 of 4 is not signed by");
	testing_chain_build(&t, (const size_t[]){ 1, 2 }, 2);
	not_verified(&t, NULL, "root certificate is not signed by itself");
	testing_chain_build(&t, (const size_t[]){ 0 }, 1);
	not_verified(&t, NULL, "there is no leaf");
	testing_chain_done(&t);
	testing_chain_done(&other);
}

Test(cert_chain, untrusted_root)
{
	TestingChain t = testing_chain_init();
	CertChainTrust trust = { .now = TESTING_NOW };
	Digest wrong[2] = {};

	testing_chain_make(&t);
	not_verified(&t, &trust, "none of the 0");
	wrong[0] = t.root;
	wrong[0].bytes[0] ^= 1;
	trust.roots = wrong;
	trust.n_roots = 2;
	not_verified(&t, &trust, "none of the 2");
	wrong[1] = t.root;
	verified(&t, &trust);
	testing_chain_done(&t);
}

Test(cert_chain, revocation)
{
	const int64_t from = TESTING_NOW - 10, to = TESTING_NOW + 10;
	TestingChain t = testing_chain_init();
	struct iovec crls[2], leaf, clean, stale, root, forged, partial;
	CertChainTrust trust = { .n_roots = 1, .crls = crls, .n_crls = 1, .now = TESTING_NOW };

	testing_chain_make(&t);
	trust.roots = &t.root;
	leaf = testing_crl(t.certs[1], t.keys[1], t.certs[2], from, to, false);
	clean = testing_crl(t.certs[1], t.keys[1], NULL, from, to, false);
	stale = testing_crl(t.certs[1], t.keys[1], NULL, from, TESTING_NOW - 1, false);
	partial = testing_crl(t.certs[1], t.keys[1], NULL, from, to, true);
	forged = testing_crl(t.certs[1], t.keys[0], NULL, from, to, false);
	root = testing_crl(t.certs[0], t.keys[0], t.certs[1], from, to, false);

	crls[0] = leaf;
	not_verified(&t, &trust, "leaf certificate has been revoked");
	crls[0] = stale;
	not_verified(&t, &trust, "not valid at this time");
	crls[0] = partial;
	not_verified(&t, &trust, "critical extension");
	crls[0] = forged;
	not_verified(&t, &trust, "no revocation list");
	crls[0] = (struct iovec){ (void *)"\x30\x03", 2 };
	not_verified(&t, &trust, "revocation list 1 of the policy is not DER");
	crls[0] = (struct iovec){ clean.iov_base, clean.iov_len - 1 };
	not_verified(&t, &trust, "is not DER");
	crls[0] = clean;
	crls[1] = root;
	verified(&t, &trust);
	trust.n_crls = 2;
	not_verified(&t, &trust, "certificate 2 of 3 has been revoked");

	OPENSSL_free(leaf.iov_base);
	OPENSSL_free(clean.iov_base);
	OPENSSL_free(stale.iov_base);
	OPENSSL_free(partial.iov_base);
	OPENSSL_free(forged.iov_base);
	OPENSSL_free(root.iov_base);
	testing_chain_done(&t);
}

#define REFUSED_IDENTITY(change, code, about)                                                      \
	do {                                                                                       \
		_cleanup_(cert_chain_freep) CertChain *chain = NULL;                               \
		_cleanup_free_ char *error = NULL;                                                 \
		TestingChain t = testing_chain_init();                                             \
		DeviceIdentity d;                                                                  \
                                                                                                   \
		t.specs[TESTING_LEAF].change;                                                      \
		testing_chain_make(&t);                                                            \
		cr_assert_eq(cert_chain_parse(&chain, t.data, t.size, NULL), 0);                   \
		cr_assert_eq(cert_chain_identity(chain, &d, &error), code);                        \
		cr_assert(strstr(error, about), "%s", error);                                      \
		testing_chain_done(&t);                                                            \
	} while (0)

Test(cert_chain, broken_identity)
{
	REFUSED_IDENTITY(identity = NULL, -ENODATA, "has no subjectAltName");
	REFUSED_IDENTITY(identity = "Vendor=1b36", -EBADMSG, "not of the form");
	REFUSED_IDENTITY(identity = "", -EBADMSG, "not of the form");
	REFUSED_IDENTITY(identity_type = V_ASN1_IA5STRING, -EBADMSG, "not of the form");
	REFUSED_IDENTITY(n_identities = 2, -EBADMSG, "several");
}

Test(cert_chain, good)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	char text[DEVICE_IDENTITY_STRING_SIZE];
	TestingChain t = testing_chain_init();
	DeviceIdentity d;
	Digest key;

	t.specs[TESTING_ROOT].curve = "P-256";
	t.specs[TESTING_LEAF].curve = "P-256";
	testing_chain_make(&t);
	verified(&t, NULL);
	cr_assert_eq(cert_chain_parse(&chain, t.data, t.size, NULL), 0);
	cr_assert_eq(cert_chain_depth(chain), 3);
	cr_assert(digest_equal(cert_chain_root_digest(chain), &t.root));
	cr_assert_eq(cert_chain_key_digest(&key, t.keys[2]), 0);
	cr_assert(digest_equal(cert_chain_leaf_key_digest(chain), &key));
	cr_assert_eq(EVP_PKEY_eq(cert_chain_leaf_key(chain), t.keys[2]), 1);
	cr_assert_eq(cert_chain_identity(chain, &d, NULL), 0);
	cr_assert_str_eq(device_identity_format(&d, text), TESTING_IDENTITY);
	testing_chain_done(&t);
}

Test(cert_chain, capture)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	CertChainTrust trust = { .n_roots = 1, .now = CAPTURE_TIME };
	DeviceIdentity d;

	cr_assert_eq(cert_chain_parse(&chain, capture_chain, sizeof(capture_chain), NULL), 0);
	cr_assert_eq(cert_chain_depth(chain), 3);
	trust.roots = cert_chain_root_digest(chain);
	cr_assert_eq(cert_chain_verify(chain, &trust, NULL), 0);
	/* DMTF's sample carries DMTF's own name, not PCI-SIG's. */
	cr_assert_eq(cert_chain_identity(chain, &d, NULL), -ENODATA);
}
