/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TDREPORT_STRUCT of TDX 1.0 and 1.5: what a TD says of itself to its own machine.
 *
 *	offset  size
 *	  0     256   REPORTMACSTRUCT: REPORTTYPE (4: type 0x81, subtype, version, 0), 12 zero,
 *	              CPUSVN 16, SHA-384 of TEE_TCB_INFO 48, SHA-384 of TDINFO 48, REPORTDATA 64,
 *	              32 zero, MAC 32 over the 224 bytes before it
 *	256     239   TEE_TCB_INFO
 *	495      17   zero
 *	512     512   TDINFO: ATTRIBUTES 8, XFAM 8, MRTD 48, MRCONFIGID 48, MROWNER 48,
 *	              MROWNERCONFIG 48, RTMR0..3 4 x 48, reserved
 *
 * From Intel's TDX module ABI (348551), TDREPORT_STRUCT, as FACTS and go-tdx-guest have it.
 */
#pragma once

#include "core/digest.h"

#define TDREPORT_SIZE		 1024u
#define TDREPORT_TYPE		 0x81u /* first byte: a TD's report, not an SGX enclave's */
#define TDREPORT_CPUSVN_SIZE	 16u
#define TDREPORT_DATA_SIZE	 64u
#define TDREPORT_MAC_SIZE	 32u
#define TDREPORT_MACED_SIZE	 224u /* what the MAC covers, from the start */
#define TDREPORT_MAC_OFFSET	 224u
#define TDREPORT_TCB_INFO_OFFSET 256u
#define TDREPORT_TCB_INFO_SIZE	 239u
#define TDREPORT_TD_INFO_OFFSET	 512u
#define TDREPORT_TD_INFO_SIZE	 512u
#define TDREPORT_RTMRS		 4u
#define TDREPORT_KEY_SIZE	 32u /* of the emulated platform's HMAC-SHA-256 key */

/* Every field points into the 1,024 bytes. */
typedef struct Tdreport {
	uint8_t version; /* of REPORTTYPE: 0; 1 with service TDs bound; 3 of TDX 1.5 */
	const uint8_t *cpu_svn;
	const uint8_t *tcb_info_hash, *td_info_hash;
	const uint8_t *report_data;
	const uint8_t *mac;
	const uint8_t *tcb_info; /* TEE_TCB_INFO */
	const uint8_t *td_info;
	const uint8_t *attributes, *xfam;
	const uint8_t *mr_td, *mr_config_id, *mr_owner, *mr_owner_config;
	const uint8_t *rt_mr[TDREPORT_RTMRS];
} Tdreport;

/*
 * Form only: whose MAC it is nobody but its machine can tell. Takes what QGS takes of a bare
 * report: subtypes 0 and 1, versions 0, 1 and 3, zeros where it says zero above; the last 112 bytes
 * of TDINFO (SERVTD_HASH and 64 reserved) may be anything. Returns 0; -EBADMSG with *ret_why
 * (static, may be NULL).
 */
int tdreport_parse(Tdreport *ret, const void *data, size_t size, const char **ret_why);

/* Whether the MACed part vouches for TEE_TCB_INFO and TDINFO. 0; -EBADMSG with *ret_why; -EIO. */
int tdreport_check_hashes(const Tdreport *report, const char **ret_why);

/* --- the emulated platform's, on which a key file stands in for the CPU's secret --- */

typedef struct TdreportFields {
	uint8_t report_data[TDREPORT_DATA_SIZE];
	Digest mr_td, mr_config_id, mr_owner, mr_owner_config;
	Digest rt_mr[TDREPORT_RTMRS];
	uint64_t attributes, xfam;
} TdreportFields;

/* HMAC-SHA-256 in place of the CPU's MAC. 0 or -EIO. */
int tdreport_make(uint8_t ret[static TDREPORT_SIZE], const TdreportFields *fields,
		  const uint8_t key[static TDREPORT_KEY_SIZE]);

/* The MAC, and both hashes, of what tdreport_parse() made. 0; -EBADMSG with *ret_why; -EIO. */
int tdreport_verify(const Tdreport *report, const uint8_t key[static TDREPORT_KEY_SIZE],
		    const char **ret_why);
