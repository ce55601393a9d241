/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A TDX quote's form: what it says and how long it is. Whether it is true only its signature and
 * Intel's collateral tell, which is a verifier's work and not done here.
 *
 *	offset	size
 *	  0	  48	header: version 2, attestation key's type 2, TEE type 4 (0x81), the rest
 *	 48	   6	version 5 only: the body's type 2 (2: 584 bytes, 3: 648), the body's size 4
 *	 ..	 584	body: TEE_TCB_SVN 16, MRSEAM 48, MRSIGNERSEAM 48, SEAMATTRIBUTES 8,
 *			ATTRIBUTES 8, XFAM 8, MRTD 48, MRCONFIGID 48, MROWNER 48, MROWNERCONFIG 48,
 *			RTMR0..3 4 x 48, REPORTDATA 64; with type 3 64 bytes more
 *	 ..	   4	size of the signature data, which follows it
 *
 * All little-endian. From Intel's TDX DCAP Quoting Library API, appendix "Quote Format" versions 4
 * and 5. What follows the signature data is padding: some services pad to the size they announced.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TDX_QUOTE_MAX		  (128u * 1024) /* Linux's limit for a quote, and QEMU's */
#define TDX_QUOTE_HEADER_SIZE	  48u
#define TDX_QUOTE_BODY_SIZE	  584u /* of TDX 1.0 */
#define TDX_QUOTE_BODY_1_5_SIZE	  648u
#define TDX_QUOTE_DATA_SIZE	  64u
#define TDX_QUOTE_MR_SIZE	  48u
#define TDX_QUOTE_MIN_SIZE	  (TDX_QUOTE_HEADER_SIZE + TDX_QUOTE_BODY_SIZE + 4)
#define TDX_QUOTE_ATTRIBUTE_DEBUG UINT64_C(1)

typedef struct TdxQuote {
	uint16_t version;	     /* 4 or 5 */
	uint64_t attributes;	     /* of the TD: TDX_QUOTE_ATTRIBUTE_DEBUG ... */
	const uint8_t *mr_td;	     /* TDX_QUOTE_MR_SIZE bytes */
	const uint8_t *mr_config_id; /* the same */
	const uint8_t *report_data;  /* TDX_QUOTE_DATA_SIZE bytes */
	size_t size;		     /* without padding */
} TdxQuote;

/*
 * *ret points into `data`. Returns 0; -EBADMSG with *ret_why (static, may be NULL);
 * -EPROTONOSUPPORT with it for another version, such as the CBOR form of platforms that attest by
 * DICE.
 */
int tdx_quote_parse(TdxQuote *ret, const void *data, size_t size, const char **ret_why);
