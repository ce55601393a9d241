/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A private key and its certificate, in one PEM file: of what emulates a manufacturer. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

/* Both owned; NULL: none. */
typedef struct KeyPair {
	EVP_PKEY *key;
	X509 *cert;
} KeyPair;

/* Frees what is in it. */
void key_pair_done(KeyPair *pair);
/* Hands it on and leaves `pair` empty. */
KeyPair key_pair_steal(KeyPair *pair);

#define _cleanup_key_pair_ _cleanup_(key_pair_done)

/* state_file_read()'s errors; -EBADMSG when the file has no such pair. */
int key_pair_load(KeyPair *ret, int directory, const char *name);
/* With mode 0600. state_file_write()'s errors, -EIO, -ENOMEM. */
int key_pair_store(const KeyPair *pair, int directory, const char *name);

/* Whether it bears the issuer's name and signature. */
bool key_pair_issued_by(const KeyPair *pair, const KeyPair *issuer);
