/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two processes may open the same directory (the service, and `reference` on the command line):
 * whatever looks for a file and makes it if it is not there does so under a lock on the directory.
 */
#include "pki.h"

#include "common/key-pair.h"
#include "common/random.h"
#include "common/state-file.h"
#include "core/cert-chain.h"
#include "core/refusal.h"

#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/file.h>

#define SERIAL_SIZE 16

/*
 * A device's certificate does not expire (IEEE 802.1AR, RFC 5280 4.1.2.5), and the clock of a guest
 * that was thawed from an image may lag far behind the host's.
 */
#define NOT_BEFORE "20200101000000Z"
#define NOT_AFTER  "99991231235959Z"

struct Pki {
	int directory;
	KeyPair root;
	KeyPair intermediate;
};

typedef struct PkiRequest {
	const char *common_name;
	const KeyPair *issuer; /* NULL: self-signed */
	int path_length;       /* -1: a leaf */
	const DeviceIdentity *identity;
} PkiRequest;

static inline BIO *bio_free(BIO *bio)
{
	BIO_free(bio);
	return NULL;
}

DEFINE_CLEANUP(BIO, bio_free);

static bool set_name(X509_NAME *name, const char *common_name)
{
	return X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
					  (const uint8_t *)PKI_ORGANIZATION, -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
					  (const uint8_t *)common_name, -1, -1, 0) == 1;
}

static bool set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_SIZE];
	BIGNUM *number = NULL;
	bool ok;

	if (random_public(bytes, sizeof(bytes)) < 0)
		return false;
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always of that length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

/* basicConstraints, keyUsage and, for a device, PCI-SIG's subjectAltName. */
static bool add_extensions(X509 *cert, X509 *issuer, const PkiRequest *request)
{
	char value[sizeof("otherName:" DEVICE_IDENTITY_OID ";UTF8:") + DEVICE_IDENTITY_STRING_SIZE];
	char identity[DEVICE_IDENTITY_STRING_SIZE];
	bool is_ca = request->path_length >= 0;

	snprintf(value, sizeof(value), "critical,CA:TRUE,pathlen:%d", request->path_length);
	if (!add_extension(cert, issuer, NID_basic_constraints,
			   is_ca ? value : "critical,CA:FALSE") ||
	    !add_extension(cert, issuer, NID_key_usage,
			   is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") ||
	    !add_extension(cert, issuer, NID_subject_key_identifier, "hash") ||
	    !add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always"))
		return false;
	if (!request->identity)
		return true;
	snprintf(value, sizeof(value), "otherName:" DEVICE_IDENTITY_OID ";UTF8:%s",
		 device_identity_format(request->identity, identity));
	return add_extension(cert, issuer, NID_subject_alt_name, value);
}

static int pair_make(KeyPair *ret, const PkiRequest *request)
{
	_cleanup_key_pair_ KeyPair pair = { .key = EVP_EC_gen("P-384"), .cert = X509_new() };
	X509 *issuer = request->issuer ? request->issuer->cert : pair.cert;
	EVP_PKEY *signer = request->issuer ? request->issuer->key : pair.key;

	if (!pair.key || !pair.cert || X509_set_version(pair.cert, X509_VERSION_3) != 1 ||
	    !set_serial(pair.cert) ||
	    !set_name(X509_get_subject_name(pair.cert), request->common_name) ||
	    X509_set_issuer_name(pair.cert, X509_get_subject_name(issuer)) != 1 ||
	    ASN1_TIME_set_string_X509(X509_getm_notBefore(pair.cert), NOT_BEFORE) != 1 ||
	    ASN1_TIME_set_string_X509(X509_getm_notAfter(pair.cert), NOT_AFTER) != 1 ||
	    X509_set_pubkey(pair.cert, pair.key) != 1 ||
	    !add_extensions(pair.cert, issuer, request) ||
	    X509_sign(pair.cert, signer, EVP_sha384()) <= 0)
		return -EIO;
	*ret = key_pair_steal(&pair);
	return 0;
}

static int refuse_file(char **ret_error, int r, const char *name)
{
	if (r == -EBADMSG)
		return refuse(ret_error, r,
			      "%s: holds no private key with its certificate (remove it to have a "
			      "new one made)",
			      name);
	return refuse(ret_error, r, "%s: %s", name, strerror(-r));
}

static int pair_make_and_store(KeyPair *ret, int directory, const char *name,
			       const PkiRequest *request, char **ret_error)
{
	_cleanup_key_pair_ KeyPair pair = {};
	int r;

	r = pair_make(&pair, request);
	if (r < 0)
		return refuse(ret_error, r, "%s: libcrypto could not make the certificate", name);
	r = key_pair_store(&pair, directory, name);
	if (r < 0)
		return refuse_file(ret_error, r, name);
	*ret = key_pair_steal(&pair);
	return 0;
}

static int pair_open(KeyPair *ret, int directory, const char *name, const PkiRequest *request,
		     char **ret_error)
{
	int r;

	r = key_pair_load(ret, directory, name);
	if (r == -ENOENT)
		return pair_make_and_store(ret, directory, name, request, ret_error);
	if (r < 0)
		return refuse_file(ret_error, r, name);
	if (request->issuer && !key_pair_issued_by(ret, request->issuer)) {
		key_pair_done(ret);
		return refuse(ret_error, -EBADMSG, "%s: not issued by the root beside it", name);
	}
	return 0;
}

static int open_authorities(Pki *pki, char **ret_error)
{
	const PkiRequest root = {
		.common_name = "tdid emulated device root",
		.path_length = 1,
	};
	const PkiRequest intermediate = {
		.common_name = "tdid emulated device intermediate",
		.issuer = &pki->root,
		.path_length = 0,
	};
	int r;

	r = pair_open(&pki->root, pki->directory, "root.pem", &root, ret_error);
	if (r < 0)
		return r;
	return pair_open(&pki->intermediate, pki->directory, "intermediate.pem", &intermediate,
			 ret_error);
}

static int directory_lock(int directory)
{
	while (flock(directory, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int pki_open(Pki **ret, const char *directory, char **ret_error)
{
	_cleanup_(pki_freep) Pki *pki = calloc(1, sizeof(*pki));
	_cleanup_free_ char *error = NULL;
	int r;

	if (!pki)
		return -ENOMEM;
	pki->directory = state_directory_open(directory, 0700, ret_error);
	if (pki->directory < 0)
		return pki->directory;
	r = directory_lock(pki->directory);
	if (r == 0) {
		r = open_authorities(pki, &error);
		flock(pki->directory, LOCK_UN);
	}
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", directory, error ?: strerror(-r));
	*ret = steal_ptr(pki);
	return 0;
}

Pki *pki_free(Pki *pki)
{
	if (!pki)
		return NULL;
	key_pair_done(&pki->root);
	key_pair_done(&pki->intermediate);
	if (pki->directory >= 0)
		close(pki->directory);
	free(pki);
	return NULL;
}

/* Root, intermediate and leaf as SPDM has them in a slot. */
static int build_chain(const Pki *pki, X509 *leaf, Blob *ret)
{
	X509 *certs[] = { pki->root.cert, pki->intermediate.cert, leaf };
	struct iovec der[ELEMENTSOF(certs)] = {};
	_cleanup_blob_ Blob chain = {};
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(certs) && r == 0; i++) {
		uint8_t *bytes = NULL;
		int size = i2d_X509(certs[i], &bytes);

		if (size < 0)
			r = -EIO;
		else
			der[i] = (struct iovec){ bytes, (size_t)size };
	}
	if (r == 0)
		r = cert_chain_build(&chain.data, &chain.size, der, ELEMENTSOF(certs));
	for (size_t i = 0; i < ELEMENTSOF(certs); i++)
		OPENSSL_free(der[i].iov_base);
	if (r < 0)
		return r;
	blob_done(ret);
	*ret = blob_steal(&chain);
	return 0;
}

/* Whether the chain ends in a leaf of that identity. */
static bool chain_names(const Blob *chain, const DeviceIdentity *identity)
{
	_cleanup_(cert_chain_freep) CertChain *parsed = NULL;
	DeviceIdentity named;

	return cert_chain_parse(&parsed, chain->data, chain->size, NULL) == 0 &&
	       cert_chain_identity(parsed, &named, NULL) == 0 &&
	       device_identity_equal(&named, identity);
}

static int open_device(Pki *pki, Bdf bdf, const DeviceIdentity *identity, KeyPair *ret,
		       Blob *ret_chain, char **ret_error)
{
	const PkiRequest request = {
		.common_name = "tdid emulated device",
		.issuer = &pki->intermediate,
		.path_length = -1,
		.identity = identity,
	};
	char name[sizeof("device-.pem") + BDF_STRING_SIZE], address[BDF_STRING_SIZE];
	_cleanup_key_pair_ KeyPair pair = {};
	_cleanup_blob_ Blob chain = {};
	int r;

	snprintf(name, sizeof(name), "device-%s.pem", bdf_format(bdf, address));
	r = key_pair_load(&pair, pki->directory, name);
	if (r < 0 && r != -ENOENT)
		return refuse_file(ret_error, r, name);
	if (r == 0 && key_pair_issued_by(&pair, &pki->intermediate))
		r = build_chain(pki, pair.cert, &chain);
	if (r < 0 && r != -ENOENT)
		return r;
	if (!chain.size || !chain_names(&chain, identity)) {
		key_pair_done(&pair);
		r = pair_make_and_store(&pair, pki->directory, name, &request, ret_error);
		if (r == 0)
			r = build_chain(pki, pair.cert, &chain);
		if (r < 0)
			return r;
	}
	*ret = key_pair_steal(&pair);
	*ret_chain = blob_steal(&chain);
	return 0;
}

int pki_device(Pki *pki, Bdf bdf, const DeviceIdentity *identity, EVP_PKEY **ret_key,
	       Blob *ret_chain, char **ret_error)
{
	_cleanup_key_pair_ KeyPair pair = {};
	int r;

	r = directory_lock(pki->directory);
	if (r < 0)
		return r;
	r = open_device(pki, bdf, identity, &pair, ret_chain, ret_error);
	flock(pki->directory, LOCK_UN);
	if (r < 0)
		return r;
	*ret_key = steal_ptr(pair.key);
	return 0;
}

int pki_root_pem(Pki *pki, char **ret)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
	char *pem, *copy;
	long size;

	if (!bio)
		return -ENOMEM;
	if (PEM_write_bio_X509(bio, pki->root.cert) != 1)
		return -EIO;
	size = BIO_get_mem_data(bio, &pem);
	copy = strndup(pem, (size_t)size);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}
