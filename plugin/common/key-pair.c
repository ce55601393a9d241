/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/key-pair.h"

#include "common/state-file.h"
#include "core/cleanup.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define PEM_MAX (64u * 1024)

static inline BIO *bio_free(BIO *bio)
{
	BIO_free(bio);
	return NULL;
}

DEFINE_CLEANUP(BIO, bio_free);

void key_pair_done(KeyPair *pair)
{
	EVP_PKEY_free(pair->key);
	X509_free(pair->cert);
	*pair = (KeyPair){};
}

KeyPair key_pair_steal(KeyPair *pair)
{
	KeyPair stolen = *pair;

	*pair = (KeyPair){};
	return stolen;
}

int key_pair_load(KeyPair *ret, int directory, const char *name)
{
	_cleanup_key_pair_ KeyPair pair = {};
	_cleanup_(bio_freep) BIO *bio = NULL;
	_cleanup_blob_ Blob pem = {};
	int r;

	r = state_file_read(&pem, directory, name, PEM_MAX);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	if (!bio)
		return -ENOMEM;
	pair.key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	pair.cert = pair.key ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	OPENSSL_cleanse(pem.data, pem.size);
	if (!pair.cert || X509_check_private_key(pair.cert, pair.key) != 1)
		return -EBADMSG;
	*ret = key_pair_steal(&pair);
	return 0;
}

int key_pair_store(const KeyPair *pair, int directory, const char *name)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());
	char *pem;
	long size;

	if (!bio)
		return -ENOMEM;
	if (PEM_write_bio_PrivateKey(bio, pair->key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    PEM_write_bio_X509(bio, pair->cert) != 1)
		return -EIO;
	size = BIO_get_mem_data(bio, &pem);
	return state_file_write(directory, name, 0600, STATE_FILE_NO_GROUP, pem, (size_t)size);
}

bool key_pair_issued_by(const KeyPair *pair, const KeyPair *issuer)
{
	return X509_check_issued(issuer->cert, pair->cert) == X509_V_OK &&
	       X509_verify(pair->cert, issuer->key) == 1;
}
