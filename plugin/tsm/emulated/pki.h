/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The certificate authority of the emulated devices: a root, an intermediate, and one leaf per
 * device, all ECDSA P-384. Made when first needed and kept in the state directory, one file each
 * with private key and certificate in PEM: root.pem, intermediate.pem, device-BDF.pem.
 */
#pragma once

#include "common/blob.h"
#include "core/bdf.h"
#include "core/device-identity.h"

#include <openssl/types.h>

/* In every name, so that nobody takes them for a vendor's. */
#define PKI_ORGANIZATION "emulated by tdid, no protection"

typedef struct Pki Pki;

/* A file that is there but cannot be used is refused and left alone. */
int pki_open(Pki **ret, const char *directory, char **ret_error);
Pki *pki_free(Pki *pki);
DEFINE_CLEANUP(Pki, pki_free);

/*
 * The key of the device at this address (the caller's to free) and its SPDM certificate chain
 * structure. A new key and leaf are made if there is none yet, or if the one that is there names
 * another identity: then another device sits at that address now.
 */
int pki_device(Pki *pki, Bdf bdf, const DeviceIdentity *identity, EVP_PKEY **ret_key,
	       Blob *ret_chain, char **ret_error);

/* The root certificate in PEM, NUL-terminated. */
int pki_root_pem(Pki *pki, char **ret);
