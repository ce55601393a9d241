/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TSM's statement about one TDI, sealed for its TVM: 376 bytes, little-endian.
 *
 *    0  u16     version, 1                    52  u32     base hash
 *    2  u16     size, 376                     56  u16     AEAD
 *    4  u32     flags                         58  u16     DHE
 *    8  u8[16]  TVM                           60  u32     zero
 *   24  u32     guest requester id            64  u8[48]  digest: certificate chain
 *   28  u32     zero                         112  u8[48]  digest: the session's (leaf) key
 *   32  u64     generation of the bind       160  u8[48]  digest: VCA
 *   40  u8      TDISP state                  208  u8[48]  digest: measurement transcript
 *   41  u8      SPDM version                 256  u8[48]  digest: interface report
 *   42  u8      slot                         304  u64     sequence of the identity
 *   43  u8      link                         312  u64     sequence of the measurements
 *   44  u16     flags of LOCK_INTERFACE      320  u64     sequence of the report
 *   46  u16     zero                         328  u8[16]  TSM instance
 *   48  u32     base asymmetric algorithm    344  u8[32]  verifier's nonce
 *
 * A sequence number goes up whenever the TSM collects that piece of evidence anew.
 */
#pragma once

#include "core/digest.h"

#include <stddef.h>
#include <stdint.h>

#define STATEMENT_VERSION    1
#define STATEMENT_SIZE	     376
#define STATEMENT_NONCE_SIZE 32

enum {
	STATEMENT_EMULATED = 1 << 0,
	STATEMENT_SESSION_SECURED = 1 << 1, /* SPDM session, encrypted and authenticated */
	STATEMENT_IDE_KEYS = 1 << 2,	    /* programmed over that session */
	STATEMENT_INTEGRATED = 1 << 3,	    /* the link does not leave the package */
	STATEMENT_FRESH_MEASUREMENTS = 1 << 4,
	STATEMENT_ACCEPTED = 1 << 5, /* by the TVM, for this bind */
};

typedef enum StatementLink {
	STATEMENT_LINK_NONE,
	STATEMENT_LINK_SELECTIVE_IDE,
	STATEMENT_LINK_INTEGRATED,
	STATEMENT_LINK_EMULATED, /* the device is part of the TSM's process */
	_STATEMENT_LINK_MAX,
} StatementLink;

/* "none", "selective IDE", "integrated", "emulated". */
const char *statement_link_name(StatementLink link);

/* The evidence a statement vouches for, and that an acceptance quotes back. */
typedef struct StatementEvidence {
	Digest certificates; /* of the slot's whole chain structure */
	Digest vca;
	Digest measurements;
	Digest report;
	uint64_t identity_sequence;
	uint64_t measurements_sequence;
	uint64_t report_sequence;
} StatementEvidence;

typedef struct Statement {
	uint32_t flags;
	uint8_t tvm[16];
	uint32_t guest_rid; /* segment << 16 | bus << 8 | device << 3 | function */
	uint64_t generation;
	uint8_t tdisp_state;  /* 0 CONFIG_UNLOCKED, 1 CONFIG_LOCKED, 2 RUN, 3 ERROR */
	uint8_t spdm_version; /* 0x12 */
	uint8_t slot;
	uint8_t link; /* StatementLink */
	uint16_t lock_flags;
	uint32_t base_asym; /* these four as in SPDM ALGORITHMS */
	uint32_t base_hash;
	uint16_t aead;
	uint16_t dhe;
	Digest leaf_key; /* of its SubjectPublicKeyInfo */
	StatementEvidence evidence;
	uint8_t instance[16];
	uint8_t nonce[STATEMENT_NONCE_SIZE];
} Statement;

/*
 * -EBADMSG: size, version, unknown flags, values out of range, bytes that have to be zero, or flags
 * and link that contradict each other (link emulated without the flag; integrated by one only).
 */
int statement_parse(Statement *ret, const void *data, size_t size);

/* -EINVAL for what statement_parse() would refuse. */
int statement_write(const Statement *statement, uint8_t ret[static STATEMENT_SIZE]);
