/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The certificates behind an emulated platform's quotes: a root, a platform CA, and the PCK
 * certificate with the key that certifies the quoting enclave; all ECDSA P-256. Made when first
 * needed and kept in the state directory, one file each with private key and certificate in PEM:
 * root.pem, platform-ca.pem, pck.pem.
 *
 * The common names are Intel's, since verifiers compare them; the organization says whose they are.
 */
#pragma once

#include "core/cleanup.h"

#include <openssl/types.h>
#include <stddef.h>

/* In every name, so that nobody takes them for Intel's. */
#define PCK_CHAIN_ORGANIZATION "emulated by tdid, no protection"

typedef struct PckChain PckChain;

/* A file that is there but cannot be used is refused, with a sentence, and left alone. */
int pck_chain_open(PckChain **ret, const char *directory, char **ret_error);
PckChain *pck_chain_free(PckChain *chain);
DEFINE_CLEANUP(PckChain, pck_chain_free);

/* Of the PCK certificate; borrowed. */
EVP_PKEY *pck_chain_key(const PckChain *chain);

/* PCK certificate, platform CA and root in PEM, NUL-terminated, borrowed. */
const char *pck_chain_pem(const PckChain *chain);

/* The root certificate alone, likewise: what a verifier is to trust. */
const char *pck_chain_root_pem(const PckChain *chain);
