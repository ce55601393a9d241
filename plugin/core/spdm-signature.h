/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SPDM 1.2 signatures: ECDSA with SHA-384 over a 100-byte prefix that names the context, followed
 * by the hash of the transcript (DSP0274, "Signature generation"). Raw r || s, big-endian, not DER.
 */
#pragma once

#include "core/digest.h"

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#define SPDM_SIGNATURE_PREFIX_SIZE 100
#define SPDM_SIGNATURE_MAX_SIZE	   96

#define SPDM_CONTEXT_MEASUREMENTS "responder-measurements signing"
#define SPDM_CONTEXT_CHALLENGE	  "responder-challenge_auth signing"
#define SPDM_CONTEXT_KEY_EXCHANGE "responder-key_exchange_rsp signing"

/* Four times "dmtf-spdm-v1.2.*", then the context, right-aligned in 36 bytes. -EINVAL if longer. */
int spdm_signature_prefix(uint8_t ret[static SPDM_SIGNATURE_PREFIX_SIZE], const char *context);

/* 96 for a P-384 key, 64 for P-256, 0 for any other: such a key cannot be used here. */
size_t spdm_signature_size(EVP_PKEY *key);

/* The SPDM_ASYM_* bit that such a key answers to, or 0. */
uint32_t spdm_signature_algorithm(EVP_PKEY *key);

/* Writes spdm_signature_size(key) bytes. -EINVAL: key or context; -EIO: libcrypto. */
int spdm_signature_make(uint8_t ret[static SPDM_SIGNATURE_MAX_SIZE], EVP_PKEY *key,
			const char *context, const Digest *transcript);

/* 0: valid; -EKEYREJECTED: not; -EINVAL: key, context or size; -EIO: libcrypto. */
int spdm_signature_verify(const uint8_t *signature, size_t signature_size, EVP_PKEY *key,
			  const char *context, const Digest *transcript);
