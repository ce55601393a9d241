/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates for tests: made on the spot, so that a test can break exactly one thing in them. */
#pragma once

#include "core/cert-chain.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#define TESTING_NOW	 1780000000 /* 2026-05-28 */
#define TESTING_DAY	 86400
#define TESTING_IDENTITY "Vendor=1b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100"

typedef struct TestingCert {
	const char *name;
	const char *curve; /* NULL: P-384 */
	bool ca;
	int path_length; /* below 0: none given */
	const char *key_usage;
	const char *identity; /* otherName 2.23.147 */
	int n_identities;     /* how many times; 0 counts as 1 if there is an identity */
	int identity_type;    /* 0: UTF8String */
	int64_t from, to;     /* 0: a year around TESTING_NOW */
	const EVP_MD *md;     /* NULL: SHA-384 */
	const char *critical_oid;
} TestingCert;

static inline EVP_PKEY *testing_key(const char *curve)
{
	EVP_PKEY *key = curve && strcmp(curve, "RSA") == 0
				? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
				: EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve ? curve : "P-384");

	cr_assert_not_null(key);
	return key;
}

static inline void testing_add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *e;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, NULL, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	cr_assert_not_null(e, "%s", value);
	cr_assert(X509_add_ext(cert, e, -1));
	X509_EXTENSION_free(e);
}

static inline void testing_add_identity(X509 *cert, const TestingCert *t)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

	for (int i = 0; i < (t->n_identities ? t->n_identities : 1); i++) {
		GENERAL_NAME *name = GENERAL_NAME_new();
		ASN1_TYPE *value = ASN1_TYPE_new();
		int type = t->identity_type ? t->identity_type : V_ASN1_UTF8STRING;
		ASN1_STRING *text = ASN1_STRING_type_new(type);

		ASN1_STRING_set(text, t->identity, -1);
		ASN1_TYPE_set(value, type, text);
		GENERAL_NAME_set0_othername(name, OBJ_txt2obj(DEVICE_IDENTITY_OID, 1), value);
		sk_GENERAL_NAME_push(names, name);
	}
	cr_assert(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT));
	GENERAL_NAMES_free(names);
}

static inline void testing_add_critical(X509 *cert, const char *oid)
{
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e;

	ASN1_OCTET_STRING_set(data, (const uint8_t *)"\x05\x00", 2);
	e = X509_EXTENSION_create_by_OBJ(NULL, object, 1, data);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(data);
	ASN1_OBJECT_free(object);
}

/* issuer NULL: self-signed. */
static inline X509 *testing_cert(const TestingCert *t, EVP_PKEY *key, X509 *issuer,
				 EVP_PKEY *issuer_key)
{
	static long serial;
	X509 *cert = X509_new();
	X509_NAME *name = X509_NAME_new();
	char constraints[64];

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)t->name, -1, -1, 0);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	ASN1_TIME_set(X509_getm_notBefore(cert), t->from ? t->from : TESTING_NOW - TESTING_DAY);
	ASN1_TIME_set(X509_getm_notAfter(cert), t->to ? t->to : TESTING_NOW + TESTING_DAY);
	X509_set_subject_name(cert, name);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name);
	X509_set_pubkey(cert, key);
	X509_NAME_free(name);
	if (t->ca && t->path_length >= 0)
		snprintf(constraints, sizeof(constraints), "critical,CA:TRUE,pathlen:%d",
			 t->path_length);
	else
		snprintf(constraints, sizeof(constraints), "critical,CA:%s",
			 t->ca ? "TRUE" : "FALSE");
	testing_add_extension(cert, NID_basic_constraints, constraints);
	if (t->key_usage)
		testing_add_extension(cert, NID_key_usage, t->key_usage);
	if (t->identity)
		testing_add_identity(cert, t);
	if (t->critical_oid)
		testing_add_critical(cert, t->critical_oid);
	cr_assert(X509_sign(cert, issuer ? issuer_key : key, t->md ? t->md : EVP_sha384()));
	return cert;
}

#define TESTING_ROOT	     0
#define TESTING_INTERMEDIATE 1
#define TESTING_LEAF	     2

/* Root, intermediate, leaf. Change `specs` between testing_chain_init() and _make(). */
typedef struct TestingChain {
	TestingCert specs[3];
	EVP_PKEY *keys[3];
	X509 *certs[3];
	uint8_t *data;
	size_t size;
	Digest root;
} TestingChain;

static inline TestingChain testing_chain_init(void)
{
	return (TestingChain){ .specs = {
				       { .name = "root",
					 .ca = true,
					 .path_length = -1,
					 .key_usage = "critical,keyCertSign,cRLSign" },
				       { .name = "intermediate",
					 .ca = true,
					 .path_length = 0,
					 .key_usage = "critical,keyCertSign,cRLSign" },
				       { .name = "leaf",
					 .path_length = -1,
					 .key_usage = "critical,digitalSignature",
					 .identity = TESTING_IDENTITY },
			       } };
}

static inline void testing_chain_build(TestingChain *chain, const size_t *order, size_t n)
{
	struct iovec der[8];

	for (size_t i = 0; i < n; i++) {
		uint8_t *data = NULL;
		int size = i2d_X509(chain->certs[order[i]], &data);

		cr_assert_gt(size, 0);
		der[i] = (struct iovec){ data, (size_t)size };
	}
	free(chain->data);
	cr_assert_eq(cert_chain_build(&chain->data, &chain->size, der, n), 0);
	cr_assert_eq(digest_of(&chain->root, der[0].iov_base, der[0].iov_len), 0);
	for (size_t i = 0; i < n; i++)
		OPENSSL_free(der[i].iov_base);
}

static inline void testing_chain_make(TestingChain *chain)
{
	for (size_t i = 0; i < 3; i++) {
		chain->keys[i] = testing_key(chain->specs[i].curve);
		chain->certs[i] =
			testing_cert(&chain->specs[i], chain->keys[i],
				     i ? chain->certs[i - 1] : NULL, i ? chain->keys[i - 1] : NULL);
	}
	testing_chain_build(chain, (const size_t[]){ 0, 1, 2 }, 3);
}

static inline void testing_chain_done(TestingChain *chain)
{
	for (size_t i = 0; i < 3; i++) {
		X509_free(chain->certs[i]);
		EVP_PKEY_free(chain->keys[i]);
	}
	free(chain->data);
}

/* A revocation list of `issuer` in DER, with `revoked` on it if not NULL. */
static inline struct iovec testing_crl(X509 *issuer, EVP_PKEY *key, X509 *revoked, int64_t from,
				       int64_t to, bool critical)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *time = ASN1_TIME_new();
	uint8_t *data = NULL;
	int size;

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
	X509_CRL_set1_lastUpdate(crl, ASN1_TIME_set(time, from));
	X509_CRL_set1_nextUpdate(crl, ASN1_TIME_set(time, to));
	if (revoked) {
		X509_REVOKED *entry = X509_REVOKED_new();

		X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked));
		X509_REVOKED_set_revocationDate(entry, ASN1_TIME_set(time, from));
		X509_CRL_add0_revoked(crl, entry);
	}
	if (critical) {
		ISSUING_DIST_POINT *point = ISSUING_DIST_POINT_new();

		point->onlyCA = 0xff;
		X509_CRL_add1_ext_i2d(crl, NID_issuing_distribution_point, point, 1,
				      X509V3_ADD_DEFAULT);
		ISSUING_DIST_POINT_free(point);
	}
	cr_assert(X509_CRL_sign(crl, key, EVP_sha384()));
	size = i2d_X509_CRL(crl, &data);
	cr_assert_gt(size, 0);
	ASN1_TIME_free(time);
	X509_CRL_free(crl);
	return (struct iovec){ data, (size_t)size };
}
