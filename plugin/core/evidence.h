/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A TVM's judgement of the evidence for one TDI, before it accepts it.
 *
 * The statement came sealed from the TSM; everything else went through the host's hands and is
 * believed only as far as the statement's digests vouch for it: each blob is hashed before a byte
 * of it is parsed. The steps run in the order of the enumeration and the first refusal ends it.
 * Validating each range with the TSM and quoting the evidence in tdi_validate are the caller's.
 */
#pragma once

#include "core/cert-chain.h"
#include "core/device-identity.h"
#include "core/evidence-policy.h"
#include "core/interface-report.h"
#include "core/statement.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef enum EvidenceStep {
	EVIDENCE_STATEMENT,    /* well-formed; this TVM, function, generation */
	EVIDENCE_REQUEST,      /* answers my nonce; emulated only if policy says so */
	EVIDENCE_STATE,	       /* locked, or running with an acceptance on record */
	EVIDENCE_LINK,	       /* session, keys, algorithms */
	EVIDENCE_DIGESTS,      /* every blob is the one that the TSM means */
	EVIDENCE_NEGOTIATION,  /* the VCA says what the statement says */
	EVIDENCE_CHAIN,	       /* root, path, revocation; leaf key = session's key */
	EVIDENCE_IDENTITY,     /* the certificate names this device, or one that policy allows */
	EVIDENCE_MEASUREMENTS, /* nonce, signature, form */
	EVIDENCE_REFERENCES,   /* reference values, minimum versions, debug */
	EVIDENCE_REPORT,       /* the interface report's form */
	EVIDENCE_FIRMWARE,     /* NO_FW_UPDATE */
	EVIDENCE_FEATURES,     /* P2P, ATS, PRS, PASID */
	EVIDENCE_RANGES,       /* MMIO ranges against the function's BARs */
	EVIDENCE_SHARED,       /* ranges that stay shared memory */
	_EVIDENCE_STEP_MAX,
} EvidenceStep;

/* "statement", "request" and so on. */
const char *evidence_step_name(EvidenceStep step);

/* What the host relayed, in clear. All borrowed. */
typedef struct EvidenceBlobs {
	struct iovec certificates; /* certificate chain structure of the slot */
	struct iovec vca;
	struct iovec measurements; /* signed transcript */
	struct iovec report;	   /* TDI interface report */
} EvidenceBlobs;

/* What the TVM knows itself. */
typedef struct EvidenceExpectations {
	uint8_t nonce[STATEMENT_NONCE_SIZE]; /* of my TDI_INFO, and of the measurements */
	uint8_t tvm[16];
	uint32_t guest_rid; /* segment << 16 | bus << 8 | device << 3 | function */
	bool has_generation;
	uint64_t generation;
	DeviceIdentity function; /* from configuration space, which the host emulates */
	InterfaceBar bars[INTERFACE_REPORT_N_BARS];
	bool accepted_before; /* this boot's agent accepted this bind (it restarted since) */
} EvidenceExpectations;

typedef struct EvidenceVerdict {
	bool good;
	EvidenceStep step; /* that refused; _EVIDENCE_STEP_MAX if none did */
	char *reason;	   /* one sentence with expected and found values; NULL if good */

	/* From here on as far as the steps came; complete if good. */
	Statement statement;
	DeviceIdentity identity; /* of the certificate */
	InterfaceReport report;	 /* borrows from the blob */
	InterfaceRules rules;	 /* what it was held against; borrows from the policy */
	/* To be logged: interrupts are untrusted input to the driver. */
	bool msix_unlocked;
	/* Evidence has to be collected anew after that many seconds; 0: not needed. */
	uint32_t reattest_interval_sec;
} EvidenceVerdict;

void evidence_verdict_done(EvidenceVerdict *verdict);

/*
 * `statement`: as it came out of the sealed message. now: seconds since 1970, UTC. Returns 0 and
 * fills *ret whatever the verdict (release with evidence_verdict_done()), or -ENOMEM/-EIO, which
 * has to be treated as a refusal.
 */
int evidence_check(EvidenceVerdict *ret, const void *statement, size_t statement_size,
		   const EvidenceBlobs *blobs, const EvidenceExpectations *expected,
		   const EvidencePolicy *policy, int64_t now);
