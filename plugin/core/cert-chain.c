/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Path validation is X509_verify_cert()'s, under the one root that the structure itself begins with
 * and that the policy has to list. What it would leave open is checked here first: that the order
 * of the certificates is the path, what algorithms they use, revocation by issuer.
 */
#include "core/cert-chain.h"
#include "core/bytes.h"
#include "core/refusal.h"
#include "core/spdm-signature.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <time.h>

struct CertChain {
	size_t n_certs;
	X509 *certs[CERT_CHAIN_MAX_DEPTH]; /* root first */
	Digest root;
	Digest leaf_key;
};

static X509 *leaf_of(const CertChain *chain)
{
	return chain->certs[chain->n_certs - 1];
}

/* "root certificate", "certificate 2 of 4", "leaf certificate" */
static const char *cert_name(const CertChain *chain, size_t i, char buffer[static 48])
{
	if (i == 0)
		return "root certificate";
	if (i == chain->n_certs - 1)
		return "leaf certificate";
	snprintf(buffer, 48, "certificate %zu of %zu", i + 1, chain->n_certs);
	return buffer;
}

static int spki_digest(Digest *ret, uint8_t *der, int size)
{
	int r = size > 0 ? digest_of(ret, der, (size_t)size) : -EIO;

	OPENSSL_free(der);
	return r;
}

int cert_chain_key_digest(Digest *ret, EVP_PKEY *key)
{
	uint8_t *der = NULL;
	int size = i2d_PUBKEY(key, &der);

	return spki_digest(ret, der, size);
}

static int take_certs(CertChain *chain, ByteReader *r, char **ret_error)
{
	const size_t end_of_all = CERT_CHAIN_HEADER_SIZE + r->left;

	while (r->left) {
		const uint8_t *end = r->at;
		X509 *cert;

		if (chain->n_certs == CERT_CHAIN_MAX_DEPTH)
			return refuse(ret_error, -EBADMSG,
				      "certificate chain has more than %d certificates",
				      CERT_CHAIN_MAX_DEPTH);
		cert = d2i_X509(NULL, &end, (long)r->left);
		if (!cert)
			return refuse(ret_error, -EBADMSG,
				      "certificate chain: no DER certificate at byte %zu",
				      end_of_all - r->left);
		chain->certs[chain->n_certs++] = cert;
		if (chain->n_certs == 1 &&
		    digest_of(&chain->root, r->at, (size_t)(end - r->at)) < 0)
			return -EIO;
		bytes_take(r, (size_t)(end - r->at));
	}
	if (chain->n_certs == 0)
		return refuse(ret_error, -EBADMSG, "certificate chain holds no certificate");
	return 0;
}

int cert_chain_parse(CertChain **ret, const void *data, size_t size, char **ret_error)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	ByteReader r = byte_reader(data, size);
	uint16_t length = bytes_take_u16(&r), reserved = bytes_take_u16(&r);
	uint8_t *der = NULL;
	Digest root;
	int k, n;

	bytes_take_copy(&r, root.bytes, DIGEST_SIZE);
	if (r.failed)
		return refuse(ret_error, -EBADMSG, "certificate chain of %zu bytes is too short",
			      size);
	if (length != size || reserved)
		return refuse(ret_error, -EBADMSG,
			      "certificate chain of %zu bytes says that it has %u", size, length);
	chain = calloc(1, sizeof(*chain));
	if (!chain)
		return -ENOMEM;
	k = take_certs(chain, &r, ret_error);
	if (k < 0)
		return k;
	if (!digest_equal(&root, &chain->root))
		return refuse(ret_error, -EBADMSG,
			      "certificate chain: the root hash is not that of the first "
			      "certificate");
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf_of(chain)), &der);
	k = spki_digest(&chain->leaf_key, der, n);
	if (k < 0)
		return k;
	*ret = steal_ptr(chain);
	return 0;
}

CertChain *cert_chain_free(CertChain *chain)
{
	if (!chain)
		return NULL;
	for (size_t i = 0; i < chain->n_certs; i++)
		X509_free(chain->certs[i]);
	free(chain);
	return NULL;
}

int cert_chain_build(uint8_t **ret, size_t *ret_size, const struct iovec *certs, size_t n_certs)
{
	_cleanup_free_ uint8_t *buffer = NULL;
	size_t size = CERT_CHAIN_HEADER_SIZE;
	ByteWriter w;
	Digest root;
	int r;

	if (n_certs == 0 || n_certs > CERT_CHAIN_MAX_DEPTH)
		return -EINVAL;
	for (size_t i = 0; i < n_certs; i++) {
		if (certs[i].iov_len > CERT_CHAIN_MAX_SIZE - size)
			return -EINVAL;
		size += certs[i].iov_len;
	}
	r = digest_of(&root, certs[0].iov_base, certs[0].iov_len);
	if (r < 0)
		return r;
	buffer = malloc(size);
	if (!buffer)
		return -ENOMEM;
	w = byte_writer(buffer, size);
	bytes_put_u16(&w, (uint16_t)size);
	bytes_put_zero(&w, 2);
	bytes_put(&w, root.bytes, DIGEST_SIZE);
	for (size_t i = 0; i < n_certs; i++)
		bytes_put(&w, certs[i].iov_base, certs[i].iov_len);
	*ret = steal_ptr(buffer);
	*ret_size = size;
	return 0;
}

static bool hash_allowed(X509 *cert)
{
	int hash = NID_undef, key = NID_undef;

	if (X509_get_signature_info(cert, &hash, &key, NULL, NULL) != 1)
		return false;
	return key == NID_X9_62_id_ecPublicKey &&
	       (hash == NID_sha256 || hash == NID_sha384 || hash == NID_sha512);
}

/* What concerns one certificate by itself. */
static int check_cert(const CertChain *chain, size_t i, int64_t now, char **ret_error)
{
	bool is_leaf = i == chain->n_certs - 1;
	X509 *cert = chain->certs[i];
	uint32_t flags = X509_get_extension_flags(cert);
	time_t at = (time_t)now;
	char buffer[48];
	const char *name = cert_name(chain, i, buffer);

	if (spdm_signature_size(X509_get0_pubkey(cert)) == 0)
		return refuse(ret_error, -EKEYREJECTED,
			      "%s: its key is neither of P-384 nor of P-256", name);
	if (!hash_allowed(cert))
		return refuse(ret_error, -EKEYREJECTED,
			      "%s: not signed with ECDSA and SHA-256, SHA-384 or SHA-512", name);
	if (X509_cmp_time(X509_get0_notBefore(cert), &at) >= 0)
		return refuse(ret_error, -EKEYREJECTED, "%s is not valid yet (is the clock right?)",
			      name);
	if (X509_cmp_time(X509_get0_notAfter(cert), &at) <= 0)
		return refuse(ret_error, -EKEYREJECTED, "%s has expired (is the clock right?)",
			      name);
	if (flags & EXFLAG_INVALID)
		return refuse(ret_error, -EKEYREJECTED, "%s has malformed extensions", name);
	if (is_leaf && (flags & EXFLAG_CA))
		return refuse(ret_error, -EKEYREJECTED, "%s is one of a certificate authority",
			      name);
	if (is_leaf && !(X509_get_key_usage(cert) & KU_DIGITAL_SIGNATURE))
		return refuse(ret_error, -EKEYREJECTED, "%s: its key may not be used to sign",
			      name);
	if (!is_leaf && !(flags & EXFLAG_CA))
		return refuse(ret_error, -EKEYREJECTED, "%s is not one of a certificate authority",
			      name);
	if (!is_leaf && !(X509_get_key_usage(cert) & KU_KEY_CERT_SIGN))
		return refuse(ret_error, -EKEYREJECTED,
			      "%s: its key may not be used to sign certificates", name);
	return 0;
}

static int check_issuer(const CertChain *chain, size_t i, char **ret_error)
{
	X509 *issuer = chain->certs[i ? i - 1 : 0];
	char buffer[48];

	if (X509_check_issued(issuer, chain->certs[i]) == X509_V_OK &&
	    X509_verify(chain->certs[i], X509_get0_pubkey(issuer)) == 1)
		return 0;
	return refuse(ret_error, -EKEYREJECTED, "%s is not signed by %s",
		      cert_name(chain, i, buffer), i ? "the certificate before it" : "itself");
}

static int check_path(const CertChain *chain, int64_t now, char **ret_error)
{
	STACK_OF(X509) *others = sk_X509_new_null();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	X509_STORE *store = X509_STORE_new();
	bool ready = others && context && store && X509_STORE_add_cert(store, chain->certs[0]) == 1;
	char buffer[48];
	int r = 0;

	for (size_t i = 1; ready && i + 1 < chain->n_certs; i++)
		ready = sk_X509_push(others, chain->certs[i]) > 0;
	if (!ready || X509_STORE_CTX_init(context, store, leaf_of(chain), others) != 1) {
		r = -ENOMEM;
	} else {
		X509_VERIFY_PARAM *parameters = X509_STORE_CTX_get0_param(context);

		X509_VERIFY_PARAM_set_time(parameters, (time_t)now);
		X509_VERIFY_PARAM_set_depth(parameters, CERT_CHAIN_MAX_DEPTH);
		X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_CHECK_SS_SIGNATURE);
		if (X509_verify_cert(context) != 1) {
			size_t depth = (size_t)X509_STORE_CTX_get_error_depth(context);
			size_t i = depth < chain->n_certs ? chain->n_certs - 1 - depth : 0;

			r = refuse(
				ret_error, -EKEYREJECTED, "%s: %s", cert_name(chain, i, buffer),
				X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
		}
	}
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	sk_X509_free(others);
	return r;
}

static bool crl_has_critical_extension(X509_CRL *crl)
{
	for (int i = 0; i < X509_CRL_get_ext_count(crl); i++)
		if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)))
			return true;
	return false;
}

/*
 * Whether certificate i + 1 is on the list, which must be its issuer's, certificate i's. 1: it is
 * covered and not revoked; 0: the list is another's.
 */
static int crl_covers(const CertChain *chain, size_t i, X509_CRL *crl, int64_t now,
		      char **ret_error)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
	X509 *issuer = chain->certs[i];
	time_t at = (time_t)now;
	X509_REVOKED *revoked;
	char buffer[48];
	const char *name = cert_name(chain, i, buffer);

	if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) != 0 ||
	    !(X509_get_key_usage(issuer) & KU_CRL_SIGN) ||
	    X509_CRL_verify(crl, X509_get0_pubkey(issuer)) != 1)
		return 0;
	if (crl_has_critical_extension(crl))
		return refuse(ret_error, -EKEYREJECTED,
			      "%s: its revocation list has a critical extension (a partial list?)",
			      name);
	if (X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &at) >= 0 || !next ||
	    X509_cmp_time(next, &at) <= 0)
		return refuse(ret_error, -EKEYREJECTED,
			      "%s: its revocation list is not valid at this time", name);
	if (X509_CRL_get0_by_cert(crl, &revoked, chain->certs[i + 1]) != 0)
		return refuse(ret_error, -EKEYREJECTED, "%s has been revoked",
			      cert_name(chain, i + 1, buffer));
	return 1;
}

static int check_revocation(const CertChain *chain, const CertChainTrust *trust, char **ret_error)
{
	bool leaf_covered = false;
	int r = 0;

	for (size_t n = 0; n < trust->n_crls && r >= 0; n++) {
		const uint8_t *start = trust->crls[n].iov_base, *end = start;
		X509_CRL *crl = d2i_X509_CRL(NULL, &end, (long)trust->crls[n].iov_len);

		if (!crl || end != start + trust->crls[n].iov_len)
			r = refuse(ret_error, -EKEYREJECTED,
				   "revocation list %zu of the policy is not DER", n + 1);
		for (size_t i = 0; r >= 0 && i + 1 < chain->n_certs; i++) {
			r = crl_covers(chain, i, crl, trust->now, ret_error);
			if (r > 0 && i + 2 == chain->n_certs)
				leaf_covered = true;
		}
		X509_CRL_free(crl);
	}
	if (r < 0)
		return r;
	if (trust->n_crls && !leaf_covered)
		return refuse(ret_error, -EKEYREJECTED,
			      "no revocation list of the policy is one of the leaf certificate's "
			      "issuer");
	return 0;
}

static bool root_trusted(const CertChain *chain, const CertChainTrust *trust)
{
	for (size_t i = 0; i < trust->n_roots; i++)
		if (digest_equal(&chain->root, &trust->roots[i]))
			return true;
	return false;
}

int cert_chain_verify(const CertChain *chain, const CertChainTrust *trust, char **ret_error)
{
	char text[DIGEST_STRING_SIZE];
	int r = 0;

	if (!root_trusted(chain, trust))
		return refuse(ret_error, -EKEYREJECTED,
			      "root certificate with SHA-384 %s is none of the %zu that the policy "
			      "trusts",
			      digest_format(&chain->root, text), trust->n_roots);
	if (chain->n_certs < 2)
		return refuse(ret_error, -EKEYREJECTED,
			      "the certificate chain ends with the root, there is no leaf");
	for (size_t i = 0; r == 0 && i < chain->n_certs; i++) {
		r = check_cert(chain, i, trust->now, ret_error);
		if (r == 0)
			r = check_issuer(chain, i, ret_error);
	}
	if (r == 0)
		r = check_path(chain, trust->now, ret_error);
	if (r == 0)
		r = check_revocation(chain, trust, ret_error);
	return r;
}

size_t cert_chain_depth(const CertChain *chain)
{
	return chain->n_certs;
}

EVP_PKEY *cert_chain_leaf_key(const CertChain *chain)
{
	return X509_get0_pubkey(leaf_of(chain));
}

const Digest *cert_chain_root_digest(const CertChain *chain)
{
	return &chain->root;
}

const Digest *cert_chain_leaf_key_digest(const CertChain *chain)
{
	return &chain->leaf_key;
}

/* The one otherName with PCI-SIG's OID. NULL: none or, with *ret_many, several. */
static const ASN1_TYPE *identity_value(const GENERAL_NAMES *names, bool *ret_many)
{
	ASN1_OBJECT *oid = OBJ_txt2obj(DEVICE_IDENTITY_OID, 1);
	const ASN1_TYPE *found = NULL;

	*ret_many = false;
	for (int i = 0; oid && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_OTHERNAME || OBJ_cmp(name->d.otherName->type_id, oid) != 0)
			continue;
		*ret_many = *ret_many || found;
		found = name->d.otherName->value;
	}
	ASN1_OBJECT_free(oid);
	return *ret_many ? NULL : found;
}

int cert_chain_identity(const CertChain *chain, DeviceIdentity *ret, char **ret_error)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf_of(chain), NID_subject_alt_name, NULL, NULL);
	const ASN1_TYPE *value;
	bool many;
	int r = 0;

	value = identity_value(names, &many);
	if (many)
		r = refuse(ret_error, -EBADMSG,
			   "leaf certificate has several names of PCI-SIG's form");
	else if (!value)
		r = refuse(ret_error, -ENODATA,
			   "leaf certificate has no subjectAltName of PCI-SIG's form "
			   "(otherName " DEVICE_IDENTITY_OID ")");
	else if (value->type != V_ASN1_UTF8STRING ||
		 device_identity_parse(ret,
				       (const char *)ASN1_STRING_get0_data(value->value.utf8string),
				       (size_t)ASN1_STRING_length(value->value.utf8string)) < 0)
		r = refuse(ret_error, -EBADMSG,
			   "leaf certificate's PCI-SIG name is not of the form "
			   "Vendor=:Device=:CC=:REV=:SSVID=:SSID=");
	GENERAL_NAMES_free(names);
	return r;
}
