/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What follows the attestation key in a quote (certification data) is the same in every quote: it
 * is made once. For a quote there is one signature to make.
 */
#include "enclave.h"

#include "core/bytes.h"

#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#define QUOTE_VERSION		 4u
#define QUOTE_KEY_ECDSA_P256	 2u
#define QUOTE_HEADER_SIZE	 48u
#define QUOTE_BODY_SIZE		 584u
#define QUOTE_SIGNED_SIZE	 (QUOTE_HEADER_SIZE + QUOTE_BODY_SIZE)
#define CERTIFICATION_QE_REPORT	 6u
#define CERTIFICATION_PCK_CHAIN	 5u
#define CERTIFICATION_HEADER	 6u
#define P256_NUMBER_SIZE	 32u
#define P256_PAIR_SIZE		 (2 * P256_NUMBER_SIZE) /* a signature's numbers, or a point's */
#define SHA256_SIZE		 32u
#define QE_REPORT_SIZE		 384u
#define QE_REPORT_DATA_SIZE	 64u
#define QE_PRODUCT_ID		 2u /* as Intel's TD quoting enclave */
#define AUTHENTICATION_DATA_SIZE 32u

static_assert(sizeof(ENCLAVE_ID) - 1 == ENCLAVE_ID_SIZE, "fills the header's field");

/* Intel's: verifiers take no other. */
static const uint8_t qe_vendor[16] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
				       0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };

struct Enclave {
	uint8_t platform_key[TDREPORT_KEY_SIZE];
	EVP_PKEY *attestation_key;
	uint8_t attestation_point[P256_PAIR_SIZE];
	Blob certification; /* from its outer header on */
};

static int point_of(uint8_t ret[static P256_PAIR_SIZE], EVP_PKEY *key)
{
	uint8_t point[1 + P256_PAIR_SIZE]; /* 4: uncompressed, then x and y */
	size_t size = 0;

	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
					    &size) != 1 ||
	    size != sizeof(point) || point[0] != POINT_CONVERSION_UNCOMPRESSED)
		return -EIO;
	memcpy(ret, point + 1, P256_PAIR_SIZE);
	return 0;
}

/* ECDSA over SHA-256; r || s. */
static int sign(uint8_t ret[static P256_PAIR_SIZE], EVP_PKEY *key, const uint8_t *data, size_t size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	ECDSA_SIG *signature = NULL;
	uint8_t der[80]; /* at most 72: two integers of 33 bytes */
	const uint8_t *p = der;
	size_t der_size = sizeof(der);
	bool ok;

	ok = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
	     EVP_DigestSign(context, der, &der_size, data, size) == 1 &&
	     (signature = d2i_ECDSA_SIG(NULL, &p, (long)der_size)) &&
	     BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret, P256_NUMBER_SIZE) > 0 &&
	     BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret + P256_NUMBER_SIZE, P256_NUMBER_SIZE) >
		     0;
	ECDSA_SIG_free(signature);
	EVP_MD_CTX_free(context);
	return ok ? 0 : -EIO;
}

static int sha256(uint8_t ret[static SHA256_SIZE], const void *data, size_t size)
{
	return EVP_Digest(data, size, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

/* REPORT_BODY of Intel's SDM volume 3D, section 38.16. */
static int put_qe_report(ByteWriter *w, const uint8_t report_data[static SHA256_SIZE])
{
	static const char measured[] = "quoting enclave, " PCK_CHAIN_ORGANIZATION;
	uint8_t hash[SHA256_SIZE];
	int r;

	r = sha256(hash, measured, sizeof(measured) - 1);
	if (r < 0)
		return r;
	bytes_put_zero(w, 16); /* CPUSVN */
	bytes_put_zero(w, 4);  /* MISCSELECT */
	bytes_put_zero(w, 28);
	bytes_put_zero(w, 16);		  /* ATTRIBUTES */
	bytes_put(w, hash, sizeof(hash)); /* MRENCLAVE */
	bytes_put_zero(w, 32);
	bytes_put(w, hash, sizeof(hash)); /* MRSIGNER */
	bytes_put_zero(w, 96);
	bytes_put_u16(w, QE_PRODUCT_ID);
	bytes_put_u16(w, ENCLAVE_SVN);
	bytes_put_zero(w, 60);
	bytes_put(w, report_data, SHA256_SIZE);
	bytes_put_zero(w, QE_REPORT_DATA_SIZE - SHA256_SIZE);
	return 0;
}

static int put_certification(ByteWriter *w, const Enclave *enclave, const PckChain *chain)
{
	uint8_t bound[P256_PAIR_SIZE + AUTHENTICATION_DATA_SIZE], hash[SHA256_SIZE];
	uint8_t *authentication = bound + P256_PAIR_SIZE;
	const char *pem = pck_chain_pem(chain);
	uint8_t signature[P256_PAIR_SIZE];
	size_t report_at;
	int r;

	memcpy(bound, enclave->attestation_point, P256_PAIR_SIZE);
	for (uint8_t i = 0; i < AUTHENTICATION_DATA_SIZE; i++)
		authentication[i] = i;
	r = sha256(hash, bound, sizeof(bound));
	if (r < 0)
		return r;

	bytes_put_u16(w, CERTIFICATION_QE_REPORT);
	bytes_put_u32(w, (uint32_t)(w->capacity - CERTIFICATION_HEADER));
	report_at = w->used;
	r = put_qe_report(w, hash);
	if (r == 0)
		r = sign(signature, pck_chain_key(chain), w->start + report_at, QE_REPORT_SIZE);
	if (r < 0)
		return r;
	bytes_put(w, signature, sizeof(signature));
	bytes_put_u16(w, AUTHENTICATION_DATA_SIZE);
	bytes_put(w, authentication, AUTHENTICATION_DATA_SIZE);
	bytes_put_u16(w, CERTIFICATION_PCK_CHAIN);
	bytes_put_u32(w, (uint32_t)strlen(pem));
	bytes_put(w, pem, strlen(pem));
	return w->failed || w->used != w->capacity ? -EIO : 0;
}

static int certify(Enclave *enclave, const PckChain *chain)
{
	size_t size = CERTIFICATION_HEADER + QE_REPORT_SIZE + P256_PAIR_SIZE + 2 +
		      AUTHENTICATION_DATA_SIZE + CERTIFICATION_HEADER +
		      strlen(pck_chain_pem(chain));
	ByteWriter w;

	enclave->certification.data = malloc(size);
	if (!enclave->certification.data)
		return -ENOMEM;
	enclave->certification.size = size;
	w = byte_writer(enclave->certification.data, size);
	return put_certification(&w, enclave, chain);
}

int enclave_new(Enclave **ret, const uint8_t key[static TDREPORT_KEY_SIZE], const PckChain *chain)
{
	_cleanup_(enclave_freep) Enclave *enclave = calloc(1, sizeof(*enclave));
	int r;

	if (!enclave)
		return -ENOMEM;
	memcpy(enclave->platform_key, key, TDREPORT_KEY_SIZE);
	enclave->attestation_key = EVP_EC_gen("P-256");
	if (!enclave->attestation_key)
		return -EIO;
	r = point_of(enclave->attestation_point, enclave->attestation_key);
	if (r == 0)
		r = certify(enclave, chain);
	if (r < 0)
		return r;
	*ret = steal_ptr(enclave);
	return 0;
}

Enclave *enclave_free(Enclave *enclave)
{
	if (!enclave)
		return NULL;
	EVP_PKEY_free(enclave->attestation_key);
	OPENSSL_cleanse(enclave->platform_key, sizeof(enclave->platform_key));
	blob_done(&enclave->certification);
	free(enclave);
	return NULL;
}

static void put_header(ByteWriter *w)
{
	bytes_put_u16(w, QUOTE_VERSION);
	bytes_put_u16(w, QUOTE_KEY_ECDSA_P256);
	bytes_put_u32(w, TDREPORT_TYPE);
	bytes_put_zero(w, 4);
	bytes_put(w, qe_vendor, sizeof(qe_vendor));
	bytes_put(w, ENCLAVE_ID, ENCLAVE_ID_SIZE);
	bytes_put_zero(w, 4);
}

static void put_body(ByteWriter *w, const Tdreport *report)
{
	/* TEE_TCB_INFO: VALID 8, TEE_TCB_SVN 16, MRSEAM 48, MRSIGNERSEAM 48, ATTRIBUTES 8, ... */
	bytes_put(w, report->tcb_info + 8, 16 + 48 + 48 + 8);
	bytes_put(w, report->attributes, 8);
	bytes_put(w, report->xfam, 8);
	bytes_put(w, report->mr_td, DIGEST_SIZE);
	bytes_put(w, report->mr_config_id, DIGEST_SIZE);
	bytes_put(w, report->mr_owner, DIGEST_SIZE);
	bytes_put(w, report->mr_owner_config, DIGEST_SIZE);
	for (size_t i = 0; i < TDREPORT_RTMRS; i++)
		bytes_put(w, report->rt_mr[i], DIGEST_SIZE);
	bytes_put(w, report->report_data, TDREPORT_DATA_SIZE);
}

static int check_report(const Enclave *enclave, Tdreport *ret, const void *data, size_t size,
			const char **ret_why)
{
	int r;

	r = tdreport_parse(ret, data, size, ret_why);
	if (r == 0)
		r = tdreport_verify(ret, enclave->platform_key, ret_why);
	if (r < 0)
		return r;
	if (ret->version != 0) {
		*ret_why = "its REPORTTYPE's version is not 0, which alone gives a version 4 quote";
		return -EOPNOTSUPP;
	}
	return 0;
}

int enclave_quote(const Enclave *enclave, const void *report, size_t size, Blob *ret,
		  const char **ret_why)
{
	size_t rest = 2 * P256_PAIR_SIZE + enclave->certification.size;
	uint8_t signature[P256_PAIR_SIZE];
	_cleanup_blob_ Blob quote = {};
	Tdreport parsed;
	ByteWriter w;
	int r;

	r = check_report(enclave, &parsed, report, size, ret_why);
	if (r < 0)
		return r;
	quote.size = QUOTE_SIGNED_SIZE + 4 + rest;
	quote.data = malloc(quote.size);
	if (!quote.data)
		return -ENOMEM;
	w = byte_writer(quote.data, quote.size);
	put_header(&w);
	put_body(&w, &parsed);
	if (w.used != QUOTE_SIGNED_SIZE)
		return -EIO;
	r = sign(signature, enclave->attestation_key, quote.data, QUOTE_SIGNED_SIZE);
	if (r < 0)
		return r;
	bytes_put_u32(&w, (uint32_t)rest);
	bytes_put(&w, signature, sizeof(signature));
	bytes_put(&w, enclave->attestation_point, P256_PAIR_SIZE);
	bytes_put(&w, enclave->certification.data, enclave->certification.size);
	if (w.failed || w.used != quote.size)
		return -EIO;
	*ret = blob_steal(&quote);
	return 0;
}
