/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two processes may open the same directory (the service, and `root` on the command line):
 * whatever looks for a file and makes it if it is not there does so under a lock on the directory.
 */
#include "pck-chain.h"

#include "common/key-pair.h"
#include "common/random.h"
#include "common/state-file.h"
#include "core/refusal.h"

#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>

#define SERIAL_SIZE 16
#define CHAIN	    3

/* The clock of a guest that was thawed from an image may lag far behind the host's. */
#define NOT_BEFORE "20200101000000Z"
#define NOT_AFTER  "99991231235959Z"

struct PckChain {
	int directory;
	KeyPair pairs[CHAIN]; /* root, platform CA, PCK */
	char *pem, *root_pem;
};

/* The extensions, in OpenSSL's configuration language (x509v3_config(5)). */
static const char root_extensions[] = "basicConstraints = critical,CA:TRUE,pathlen:1\n"
				      "keyUsage = critical,keyCertSign,cRLSign\n"
				      "subjectKeyIdentifier = hash\n"
				      "authorityKeyIdentifier = keyid:always\n";

static const char platform_ca_extensions[] = "basicConstraints = critical,CA:TRUE,pathlen:0\n"
					     "keyUsage = critical,keyCertSign,cRLSign\n"
					     "subjectKeyIdentifier = hash\n"
					     "authorityKeyIdentifier = keyid:always\n";

/*
 * A PCK certificate has these six and no other. Inside Intel's own (SGX PCK Certificate and
 * Certificate Revocation List Profile Specification, section 1.3.5): PPID; TCB, which holds the
 * SVNs of 16 components, PCESVN and CPUSVN; PCEID; FMSPC; SGX type, here standard. No list of
 * revoked certificates lies at that address, and none ever will.
 */
#define SGX "1.2.840.113741.1.13.1"

/* clang-format off */
#define EACH_COMPONENT(f) \
	f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15) f(16)
#define COMPONENT_MEMBER(i)  "c" #i " = SEQUENCE:component" #i "\n"
#define COMPONENT_SECTION(i) "[component" #i "]\noid = OID:" SGX ".2." #i "\nsvn = INTEGER:0\n"

static const char pck_extensions[] =
	"authorityKeyIdentifier = keyid:always\n"
	"crlDistributionPoints = URI:https://emulated.tdid.invalid/pck.crl\n"
	"subjectKeyIdentifier = hash\n"
	"keyUsage = critical,digitalSignature,nonRepudiation\n"
	"basicConstraints = critical,CA:FALSE\n"
	SGX " = ASN1:SEQUENCE:sgx\n"
	"[sgx]\n"
	"ppid = SEQUENCE:ppid\n"
	"tcb = SEQUENCE:tcb\n"
	"pceid = SEQUENCE:pceid\n"
	"fmspc = SEQUENCE:fmspc\n"
	"type = SEQUENCE:type\n"
	"[ppid]\n"
	"oid = OID:" SGX ".1\n"
	"value = FORMAT:ASCII,OCTETSTRING:emulated by tdid\n"
	"[tcb]\n"
	"oid = OID:" SGX ".2\n"
	"value = SEQUENCE:svns\n"
	"[pceid]\n"
	"oid = OID:" SGX ".3\n"
	"value = FORMAT:HEX,OCTETSTRING:0000\n"
	"[fmspc]\n"
	"oid = OID:" SGX ".4\n"
	"value = FORMAT:ASCII,OCTETSTRING:tdidqe\n"
	"[type]\n"
	"oid = OID:" SGX ".5\n"
	"value = ENUMERATED:0\n"
	"[svns]\n"
	EACH_COMPONENT(COMPONENT_MEMBER)
	"pcesvn = SEQUENCE:pcesvn\n"
	"cpusvn = SEQUENCE:cpusvn\n"
	EACH_COMPONENT(COMPONENT_SECTION)
	"[pcesvn]\n"
	"oid = OID:" SGX ".2.17\n"
	"value = INTEGER:0\n"
	"[cpusvn]\n"
	"oid = OID:" SGX ".2.18\n"
	"value = FORMAT:HEX,OCTETSTRING:00000000000000000000000000000000\n";
/* clang-format on */

/* In the order of `pairs`; each is issued by the one before it, the first by itself. */
static const struct {
	const char *file, *common_name, *extensions;
} links[CHAIN] = {
	{ "root.pem", "Intel SGX Root CA", root_extensions },
	{ "platform-ca.pem", "Intel SGX PCK Platform CA", platform_ca_extensions },
	{ "pck.pem", "Intel SGX PCK Certificate", pck_extensions },
};

static inline BIO *bio_free(BIO *bio)
{
	BIO_free(bio);
	return NULL;
}

DEFINE_CLEANUP(BIO, bio_free);

static inline CONF *conf_free(CONF *conf)
{
	NCONF_free(conf);
	return NULL;
}

DEFINE_CLEANUP(CONF, conf_free);

static bool set_name(X509_NAME *name, const char *common_name)
{
	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
					  (const uint8_t *)common_name, -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
					  (const uint8_t *)PCK_CHAIN_ORGANIZATION, -1, -1, 0) == 1;
}

static bool set_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_SIZE];
	BIGNUM *number;
	bool ok;

	if (random_public(bytes, sizeof(bytes)) < 0)
		return false;
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always of that length */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok;
}

static bool add_extensions(X509 *cert, X509 *issuer, const char *text)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(text, -1);
	_cleanup_(conf_freep) CONF *conf = NCONF_new(NULL);
	X509V3_CTX context;
	long line;

	if (!bio || !conf || NCONF_load_bio(conf, bio, &line) != 1)
		return false;
	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	X509V3_set_nconf(&context, conf);
	return X509V3_EXT_add_nconf(conf, &context, "default", cert) == 1;
}

static int pair_make(KeyPair *ret, size_t link, const KeyPair *issued_by)
{
	_cleanup_key_pair_ KeyPair pair = { .key = EVP_EC_gen("P-256"), .cert = X509_new() };
	const KeyPair *issuer = issued_by ?: &pair;

	if (!pair.key || !pair.cert || X509_set_version(pair.cert, X509_VERSION_3) != 1 ||
	    !set_serial(pair.cert) ||
	    !set_name(X509_get_subject_name(pair.cert), links[link].common_name) ||
	    X509_set_issuer_name(pair.cert, X509_get_subject_name(issuer->cert)) != 1 ||
	    ASN1_TIME_set_string_X509(X509_getm_notBefore(pair.cert), NOT_BEFORE) != 1 ||
	    ASN1_TIME_set_string_X509(X509_getm_notAfter(pair.cert), NOT_AFTER) != 1 ||
	    X509_set_pubkey(pair.cert, pair.key) != 1 ||
	    !add_extensions(pair.cert, issuer->cert, links[link].extensions) ||
	    X509_sign(pair.cert, issuer->key, EVP_sha256()) <= 0)
		return -EIO;
	*ret = key_pair_steal(&pair);
	return 0;
}

static int pair_open(PckChain *chain, size_t link, char **ret_error)
{
	const KeyPair *issuer = link > 0 ? &chain->pairs[link - 1] : NULL;
	KeyPair *pair = &chain->pairs[link];
	const char *name = links[link].file;
	int r;

	r = key_pair_load(pair, chain->directory, name);
	if (r == -ENOENT) {
		r = pair_make(pair, link, issuer);
		if (r < 0)
			return refuse(ret_error, r, "%s: libcrypto could not make the certificate",
				      name);
		r = key_pair_store(pair, chain->directory, name);
	}
	if (r == -EBADMSG)
		return refuse(ret_error, r,
			      "%s: holds no private key with its certificate (remove it to have a "
			      "new one made)",
			      name);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", name, strerror(-r));
	if (issuer && !key_pair_issued_by(pair, issuer))
		return refuse(ret_error, -EBADMSG, "%s: not issued by %s beside it", name,
			      links[link - 1].file);
	return 0;
}

/* The certificates from pairs[first] down to the root. */
static int chain_format(const PckChain *chain, size_t first, char **ret)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	long size;

	if (!bio)
		return -ENOMEM;
	for (size_t i = first + 1; i-- > 0;)
		if (PEM_write_bio_X509(bio, chain->pairs[i].cert) != 1)
			return -EIO;
	size = BIO_get_mem_data(bio, &pem);
	*ret = strndup(pem, (size_t)size);
	return *ret ? 0 : -ENOMEM;
}

static int chain_fill(PckChain *chain, char **ret_error)
{
	int r = 0;

	while (flock(chain->directory, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	for (size_t i = 0; i < CHAIN && r == 0; i++)
		r = pair_open(chain, i, ret_error);
	flock(chain->directory, LOCK_UN);
	if (r == 0)
		r = chain_format(chain, CHAIN - 1, &chain->pem);
	if (r == 0)
		r = chain_format(chain, 0, &chain->root_pem);
	return r;
}

int pck_chain_open(PckChain **ret, const char *directory, char **ret_error)
{
	_cleanup_(pck_chain_freep) PckChain *chain = calloc(1, sizeof(*chain));
	_cleanup_free_ char *error = NULL;
	int r;

	if (!chain)
		return -ENOMEM;
	chain->directory = state_directory_open(directory, 0700, ret_error);
	if (chain->directory < 0)
		return chain->directory;
	r = chain_fill(chain, &error);
	if (r < 0)
		return refuse(ret_error, r, "%s: %s", directory, error ?: strerror(-r));
	*ret = steal_ptr(chain);
	return 0;
}

PckChain *pck_chain_free(PckChain *chain)
{
	if (!chain)
		return NULL;
	for (size_t i = 0; i < CHAIN; i++)
		key_pair_done(&chain->pairs[i]);
	if (chain->directory >= 0)
		close(chain->directory);
	free(chain->pem);
	free(chain->root_pem);
	free(chain);
	return NULL;
}

EVP_PKEY *pck_chain_key(const PckChain *chain)
{
	return chain->pairs[CHAIN - 1].key;
}

const char *pck_chain_pem(const PckChain *chain)
{
	return chain->pem;
}

const char *pck_chain_root_pem(const PckChain *chain)
{
	return chain->root_pem;
}
