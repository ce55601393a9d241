/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The judgement of all evidence at once. Input: flags (1 byte); sizes of certificate chain, VCA and
 * measurements (2 each); these three and the report. The statement is made to fit them, as a TSM
 * makes it that vouches for a hostile device.
 */
#include "core/evidence.h"
#include "core/bytes.h"
#include "core/cleanup.h"
#include "core/spdm.h"
#include "core/tdisp.h"
#include "core/vca.h"
#include "fuzz.h"

#define NOW 1780000000
#define RID 0x100
/* As in tests/unit/testing-ca.h. */
#define IDENTITY "Vendor=1b36:Device=0010:CC=010802:REV=02:SSVID=1af4:SSID=1100"

static const uint8_t tvm[16] = { 3 };

static Digest digest(struct iovec blob)
{
	Digest d;

	CHECK(digest_of(&d, blob.iov_base, blob.iov_len) == 0);
	return d;
}

static void fit_vca(Statement *s, const EvidenceBlobs *blobs)
{
	Vca vca;

	s->base_asym = SPDM_ASYM_ECDSA_P384;
	s->base_hash = SPDM_HASH_SHA384;
	s->aead = SPDM_AEAD_AES_256_GCM;
	s->dhe = SPDM_DHE_SECP384R1;
	if (vca_parse(&vca, blobs->vca.iov_base, blobs->vca.iov_len, NULL) < 0)
		return;
	s->base_asym = vca.chosen.base_asym;
	s->base_hash = vca.chosen.base_hash;
	s->aead = vca.chosen.aead;
	s->dhe = vca.chosen.dhe;
}

static Statement fit(const EvidenceBlobs *blobs, Digest *ret_root)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	Statement s = { .guest_rid = RID,
			.generation = 1,
			.tdisp_state = 1,
			.spdm_version = SPDM_VERSION_1_2,
			.link = STATEMENT_LINK_SELECTIVE_IDE,
			.lock_flags = TDISP_LOCK_NO_FW_UPDATE,
			.flags = STATEMENT_SESSION_SECURED | STATEMENT_IDE_KEYS |
				 STATEMENT_FRESH_MEASUREMENTS };

	memcpy(s.tvm, tvm, sizeof(tvm));
	s.evidence.certificates = digest(blobs->certificates);
	s.evidence.vca = digest(blobs->vca);
	s.evidence.measurements = digest(blobs->measurements);
	s.evidence.report = digest(blobs->report);
	fit_vca(&s, blobs);
	cert_chain_parse(&chain, blobs->certificates.iov_base, blobs->certificates.iov_len, NULL);
	if (chain) {
		s.leaf_key = *cert_chain_leaf_key_digest(chain);
		*ret_root = *cert_chain_root_digest(chain);
	}
	if (blobs->measurements.iov_len >= 4 + sizeof(s.nonce))
		memcpy(s.nonce, (uint8_t *)blobs->measurements.iov_base + 4, sizeof(s.nonce));
	return s;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	uint8_t flags = bytes_take_u8(&r), sealed[STATEMENT_SIZE];
	uint16_t sizes[3] = { bytes_take_u16(&r), bytes_take_u16(&r), bytes_take_u16(&r) };
	EvidenceExpectations expected = { .guest_rid = RID, .accepted_before = flags & 1 };
	Digest root = {};
	EvidencePolicy policy = { .roots = &root,
				  .n_roots = 1,
				  .allow_unlisted_indices = flags & 2,
				  .allow_debug = flags & 4,
				  .allow_ats = flags & 8 };
	EvidenceVerdict verdict;
	EvidenceBlobs blobs;
	Statement statement;

	for (unsigned int i = 0; i < 3; i++) {
		struct iovec *const to[] = { &blobs.certificates, &blobs.vca, &blobs.measurements };
		const uint8_t *at = bytes_take(&r, sizes[i]);

		if (!at)
			return false;
		*to[i] = (struct iovec){ (void *)at, sizes[i] };
	}
	blobs.report = (struct iovec){ (void *)r.at, r.left };
	statement = fit(&blobs, &root);
	CHECK(statement_write(&statement, sealed) == 0);
	memcpy(expected.nonce, statement.nonce, sizeof(expected.nonce));
	memcpy(expected.tvm, tvm, sizeof(tvm));
	device_identity_parse(&expected.function, IDENTITY, strlen(IDENTITY));
	expected.bars[0] = (InterfaceBar){ true, true, true, 0x4000 };
	CHECK(evidence_check(&verdict, sealed, sizeof(sealed), &blobs, &expected, &policy, NOW) ==
	      0);
	CHECK(verdict.good == (verdict.step == _EVIDENCE_STEP_MAX));
	CHECK(verdict.good == !verdict.reason);
	CHECK(verdict.good || fuzz_is_shown(verdict.reason));
	/* What the statement says is beyond doubt here, but for the algorithms that the VCA says.
	 */
	CHECK(verdict.step == EVIDENCE_LINK || verdict.step > EVIDENCE_DIGESTS);
	evidence_verdict_done(&verdict);
	return verdict.good;
}
