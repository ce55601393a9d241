/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The quoting enclave: tells reports of this platform from others, and signs quotes with a key that
 * the platform's PCK certificate vouches for.
 *
 * A quote, version 4 (Intel's TDX DCAP quoting library API, appendix A.3), all little-endian:
 *
 *	offset  size
 *	  0      48   header: version 4 (2), key type 2 = ECDSA P-256 (2), TEE 0x81 (4), 0 (4),
 *	              QE vendor 16, user data 20 (the QE's id, 16, and 0)
 *	 48     584   body: TEE_TCB_SVN 16, MRSEAM 48, MRSIGNERSEAM 48, SEAMATTRIBUTES 8,
 *	              ATTRIBUTES 8, XFAM 8, MRTD 48, MRCONFIGID 48, MROWNER 48, MROWNERCONFIG 48,
 *	              RTMR0..3 4 x 48, REPORTDATA 64
 *	632       4   size of all that follows
 *	636      64   signature of header and body by the attestation key, r || s big-endian
 *	700      64   the attestation key, x || y big-endian
 *	764       6   certification data: type 6 (2), size (4)
 *	770     384   QE's report: its REPORTDATA is SHA-256(attestation key || authentication data)
 *	1154     64   signature of the QE's report by the PCK key
 *	1218   2+32   authentication data: size (2), data
 *	1252      6   certification data: type 5 (2), size (4)
 *	1258      .   PCK certificate, platform CA and root in PEM
 */
#pragma once

#include "common/blob.h"
#include "core/cleanup.h"
#include "core/tdreport.h"
#include "pck-chain.h"

#include <stddef.h>
#include <stdint.h>

#define ENCLAVE_ID	"emulated by tdid" /* also the platform's */
#define ENCLAVE_ID_SIZE 16u
#define ENCLAVE_SVN	1u
#define ENCLAVE_PCE_SVN 0u

typedef struct Enclave Enclave;

/* With an attestation key of its own. `key`: the platform's; `chain` is borrowed. -EIO, -ENOMEM. */
int enclave_new(Enclave **ret, const uint8_t key[static TDREPORT_KEY_SIZE], const PckChain *chain);
Enclave *enclave_free(Enclave *enclave);
DEFINE_CLEANUP(Enclave, enclave_free);

/*
 * Returns 0; -EBADMSG when the report is none, was altered or is of another platform, and
 * -EOPNOTSUPP when a version 4 quote cannot hold it, *ret_why (static) saying so; -EIO, -ENOMEM.
 */
int enclave_quote(const Enclave *enclave, const void *report, size_t size, Blob *ret,
		  const char **ret_why);
