/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A good set of evidence is made from scratch, with a certificate authority and a device of our
 * own; each test breaks one thing in it and wants to see refused by exactly the step that is about
 * it.
 */
#include "core/evidence.h"
#include "core/measurements.h"
#include "core/tdisp.h"
#include "core/vca.h"
#include "testing-ca.h"

#include <errno.h>

#define BAR0_SIZE 0x4000

typedef struct Bed {
	TestingChain chain;
	SpdmAlgorithms algorithms;
	uint8_t vca[256];
	uint8_t record[256];
	uint8_t transcript[1024];
	uint8_t report[256];
	InterfaceReport interface;
	MeasurementsSource source;
	SpdmGetMeasurements request;

	Statement statement;
	uint8_t sealed[STATEMENT_SIZE];
	size_t sealed_size;
	EvidenceBlobs blobs;
	EvidenceExpectations expected;
	EvidenceReference references[2];
	EvidencePolicy policy;
} Bed;

static Bed bed;

static void make_vca(void)
{
	SpdmCapabilities capabilities = { .flags = 0x2d6,
					  .data_transfer_size = 0x1200,
					  .max_message_size = 0x1200 };
	SpdmVersions versions = { .n_entries = 1, .entries = { 0x1200 } };
	ByteWriter w = byte_writer(bed.vca, sizeof(bed.vca));

	spdm_get_version_put(&w);
	spdm_version_put(&w, &versions);
	spdm_get_capabilities_put(&w, &capabilities);
	spdm_capabilities_put(&w, &capabilities);
	spdm_negotiate_algorithms_put(&w, &bed.algorithms);
	spdm_algorithms_put(&w, &bed.algorithms);
	cr_assert_not(w.failed);
	bed.blobs.vca = (struct iovec){ bed.vca, w.used };
}

static void make_record(void)
{
	static const uint8_t firmware[DIGEST_SIZE] = { 0xaa }, svn[8] = { 7 };
	static const uint8_t mode[16] = { [4] = MEASUREMENT_OPERATIONAL_NORMAL };
	ByteWriter w = byte_writer(bed.record, sizeof(bed.record));

	measurement_block_put(&w,
			      &(MeasurementBlock){ 1, MEASUREMENT_FIRMWARE, false, 48, firmware });
	measurement_block_put(&w, &(MeasurementBlock){ 2, MEASUREMENT_SVN, true, 8, svn });
	measurement_block_put(
		&w, &(MeasurementBlock){ 0xfe, MEASUREMENT_DEVICE_MODE, true, sizeof(mode), mode });
	bed.source.record = bed.record;
	bed.source.record_size = w.used;
	bed.source.n_blocks = 3;
}

/* The device measures and signs. */
static void measure(void)
{
	ByteWriter w = byte_writer(bed.transcript, sizeof(bed.transcript));

	bed.source.vca = bed.vca;
	bed.source.vca_size = bed.blobs.vca.iov_len;
	spdm_get_measurements_put(&w, &bed.request);
	cr_assert_eq(measurements_answer(&w, &bed.source, bed.transcript, w.used), 0);
	bed.blobs.measurements = (struct iovec){ bed.transcript, w.used };
}

static void make_report(void)
{
	size_t size;

	cr_assert_eq(interface_report_encode(&bed.interface, bed.report, sizeof(bed.report), &size),
		     0);
	bed.blobs.report = (struct iovec){ bed.report, size };
}

/* The TSM states what the blobs are. */
static void vouch(void)
{
	StatementEvidence *e = &bed.statement.evidence;

	digest_of(&e->certificates, bed.blobs.certificates.iov_base,
		  bed.blobs.certificates.iov_len);
	digest_of(&e->vca, bed.blobs.vca.iov_base, bed.blobs.vca.iov_len);
	digest_of(&e->measurements, bed.blobs.measurements.iov_base,
		  bed.blobs.measurements.iov_len);
	digest_of(&e->report, bed.blobs.report.iov_base, bed.blobs.report.iov_len);
	cr_assert_eq(statement_write(&bed.statement, bed.sealed), 0);
}

/* A chain made anew after a change of its specifications. */
static void certify(void)
{
	testing_chain_make(&bed.chain);
	bed.blobs.certificates = (struct iovec){ bed.chain.data, bed.chain.size };
	bed.source.key = bed.chain.keys[TESTING_LEAF];
	cr_assert_eq(cert_chain_key_digest(&bed.statement.leaf_key, bed.source.key), 0);
	bed.policy.roots = &bed.chain.root;
	bed.policy.n_roots = 1;
}

static void recertify(void)
{
	TestingChain fresh = testing_chain_init();

	memcpy(fresh.specs, bed.chain.specs, sizeof(fresh.specs));
	testing_chain_done(&bed.chain);
	bed.chain = fresh;
	certify();
	measure();
	vouch();
}

static void setup(void)
{
	memset(&bed, 0, sizeof(bed));
	bed.algorithms = (SpdmAlgorithms){ .measurement_spec = SPDM_MEASUREMENT_SPEC_DMTF,
					   .other_params = SPDM_OPAQUE_FORMAT_1,
					   .measurement_hash = SPDM_MEASUREMENT_HASH_SHA384,
					   .base_asym = SPDM_ASYM_ECDSA_P384,
					   .base_hash = SPDM_HASH_SHA384,
					   .dhe = SPDM_DHE_SECP384R1,
					   .aead = SPDM_AEAD_AES_256_GCM,
					   .key_schedule = SPDM_KEY_SCHEDULE_SPDM,
					   .tables = SPDM_TABLE_DHE | SPDM_TABLE_AEAD |
						     SPDM_TABLE_KEY_SCHEDULE };
	bed.interface = (InterfaceReport){ .info = INTERFACE_INFO_NO_FW_UPDATE |
						   INTERFACE_INFO_DMA_WITHOUT_PASID,
					   .n_ranges = 1,
					   .ranges = { { .first_page = 0xfe000, .n_pages = 4 } } };
	bed.source.content_changed = SPDM_CONTENT_UNCHANGED;
	bed.request = (SpdmGetMeasurements){ .sign = true,
					     .operation = SPDM_MEASURE_ALL,
					     .nonce = { 0x11 } };
	bed.statement = (Statement){ .flags = STATEMENT_SESSION_SECURED | STATEMENT_IDE_KEYS |
					      STATEMENT_FRESH_MEASUREMENTS,
				     .tvm = { 1, 2, 3 },
				     .guest_rid = 0x0100,
				     .generation = 5,
				     .tdisp_state = TDISP_CONFIG_LOCKED,
				     .spdm_version = 0x12,
				     .link = STATEMENT_LINK_SELECTIVE_IDE,
				     .lock_flags = TDISP_LOCK_NO_FW_UPDATE,
				     .base_asym = SPDM_ASYM_ECDSA_P384,
				     .base_hash = SPDM_HASH_SHA384,
				     .aead = SPDM_AEAD_AES_256_GCM,
				     .dhe = SPDM_DHE_SECP384R1,
				     .nonce = { 0x11 } };
	bed.expected = (EvidenceExpectations){
		.nonce = { 0x11 },
		.tvm = { 1, 2, 3 },
		.guest_rid = 0x0100,
		.has_generation = true,
		.generation = 5,
		.bars = { { .present = true,
			    .is_memory = true,
			    .is_64bit = true,
			    .size = BAR0_SIZE } },
	};
	cr_assert_eq(device_identity_parse(&bed.expected.function, TESTING_IDENTITY,
					   strlen(TESTING_IDENTITY)),
		     0);
	bed.references[0] = (EvidenceReference){ .index = 1, .digest = { { 0xaa } } };
	bed.references[1] = (EvidenceReference){ .index = 2, .by_svn = true, .min_svn = 7 };
	bed.policy = (EvidencePolicy){ .min_spdm_version = 0x12,
				       .references = bed.references,
				       .n_references = 2,
				       .require_no_fw_update = true };
	bed.sealed_size = STATEMENT_SIZE;
	bed.chain = testing_chain_init();
	make_vca();
	make_record();
	make_report();
	certify();
	measure();
	vouch();
}

static void teardown(void)
{
	testing_chain_done(&bed.chain);
}

TestSuite(evidence, .init = setup, .fini = teardown);

static int check(EvidenceVerdict *ret)
{
	return evidence_check(ret, bed.sealed, bed.sealed_size, &bed.blobs, &bed.expected,
			      &bed.policy, TESTING_NOW);
}

static void good(void)
{
	EvidenceVerdict v;

	cr_assert_eq(check(&v), 0);
	cr_assert(v.good, "%s: %s", evidence_step_name(v.step), v.reason);
	cr_assert_eq(v.step, _EVIDENCE_STEP_MAX);
	cr_assert_null(v.reason);
	evidence_verdict_done(&v);
}

static void refused(EvidenceStep step, const char *about)
{
	EvidenceVerdict v;

	cr_assert_eq(check(&v), 0);
	cr_assert_not(v.good, "%s", about);
	cr_assert_eq(v.step, step, "refused by %s instead of %s: %s", evidence_step_name(v.step),
		     evidence_step_name(step), v.reason);
	cr_assert_not_null(v.reason);
	cr_assert(strstr(v.reason, about), "\"%s\" says nothing of \"%s\"", v.reason, about);
	evidence_verdict_done(&v);
}

/* The TSM states it, after a change of bed.statement. */
static void stated(EvidenceStep step, const char *about)
{
	vouch();
	refused(step, about);
}

Test(evidence, statement)
{
	bed.sealed_size--;
	refused(EVIDENCE_STATEMENT, "malformed");
	bed.sealed_size = 0;
	refused(EVIDENCE_STATEMENT, "malformed");
	bed.sealed_size = STATEMENT_SIZE;
	bed.expected.tvm[15] = 1;
	refused(EVIDENCE_STATEMENT, "another TVM");
	bed.expected.tvm[15] = 0;
	bed.expected.guest_rid = 0x0108;
	refused(EVIDENCE_STATEMENT, "0000:01:00.0, expected 0000:01:01.0");
	bed.expected.guest_rid = 0x0100;
	bed.expected.generation = 6;
	refused(EVIDENCE_STATEMENT, "bind 5, expected 6");
	bed.expected.has_generation = false;
	good();
}

Test(evidence, request)
{
	bed.expected.nonce[31] = 1;
	refused(EVIDENCE_REQUEST, "nonce");
}

Test(evidence, emulated)
{
	bed.statement.flags = STATEMENT_EMULATED;
	bed.statement.link = STATEMENT_LINK_EMULATED;
	stated(EVIDENCE_REQUEST, "emulated");
	/* No secured session is needed then, but everything else is. */
	bed.policy.allow_emulated = true;
	good();
	bed.statement.flags = STATEMENT_EMULATED | STATEMENT_SESSION_SECURED;
	bed.statement.aead = SPDM_AEAD_AES_128_GCM;
	stated(EVIDENCE_LINK, "AES-256-GCM");
}

Test(evidence, state)
{
	bed.statement.tdisp_state = TDISP_CONFIG_UNLOCKED;
	stated(EVIDENCE_STATE, "config_unlocked");
	bed.statement.tdisp_state = TDISP_ERROR;
	stated(EVIDENCE_STATE, "error");
	bed.statement.tdisp_state = TDISP_RUN;
	stated(EVIDENCE_STATE, "record of its acceptance");
	bed.expected.accepted_before = true;
	good();
	bed.expected.accepted_before = false;
	bed.statement.flags |= STATEMENT_ACCEPTED;
	vouch();
	good();
}

Test(evidence, link)
{
	Statement saved = bed.statement;

	bed.policy.allow_emulated = true; /* has no effect on a TSM that is not */
	bed.statement.flags &= ~(uint32_t)STATEMENT_SESSION_SECURED;
	stated(EVIDENCE_LINK, "not secured");
	bed.statement = saved;
	bed.statement.flags &= ~(uint32_t)STATEMENT_IDE_KEYS;
	stated(EVIDENCE_LINK, "IDE keys");
	bed.statement = saved;
	bed.statement.link = STATEMENT_LINK_NONE;
	stated(EVIDENCE_LINK, "\"none\"");
	bed.statement = saved;
	bed.statement.spdm_version = 0x11;
	stated(EVIDENCE_LINK, "SPDM 1.1");
	bed.statement = saved;
	bed.policy.min_spdm_version = 0x13;
	stated(EVIDENCE_LINK, "at least 1.3");
	bed.policy.min_spdm_version = 0;
	good();
	bed.statement.base_asym = SPDM_ASYM_RSASSA_3072;
	stated(EVIDENCE_LINK, "signature algorithm 0x4");
	bed.statement = saved;
	bed.statement.base_hash = SPDM_HASH_SHA256;
	stated(EVIDENCE_LINK, "hash algorithm 0x1");
	bed.statement = saved;
	bed.statement.aead = SPDM_AEAD_AES_128_GCM;
	stated(EVIDENCE_LINK, "cipher 0x1");
	bed.statement = saved;
	bed.statement.dhe = 1;
	stated(EVIDENCE_LINK, "group 0x1");
	bed.statement = saved;
	bed.statement.flags = STATEMENT_SESSION_SECURED | STATEMENT_INTEGRATED;
	bed.statement.link = STATEMENT_LINK_INTEGRATED;
	vouch();
	good();
}

/* What the host substitutes is not even parsed: garbage and good evidence alike. */
Test(evidence, digests)
{
	struct iovec *blobs[] = { &bed.blobs.certificates, &bed.blobs.vca, &bed.blobs.measurements,
				  &bed.blobs.report };
	static const char *const names[] = { "certificate chain", "VCA", "measurements",
					     "interface report" };

	for (size_t i = 0; i < 4; i++) {
		struct iovec saved = *blobs[i];
		uint8_t *last = (uint8_t *)saved.iov_base + saved.iov_len - 1;

		*last ^= 1;
		refused(EVIDENCE_DIGESTS, names[i]);
		*last ^= 1;
		blobs[i]->iov_len--;
		refused(EVIDENCE_DIGESTS, names[i]);
		*blobs[i] = (struct iovec){};
		refused(EVIDENCE_DIGESTS, names[i]);
		*blobs[i] = (struct iovec){ (void *)"garbage", 7 };
		refused(EVIDENCE_DIGESTS, names[i]);
		*blobs[i] = saved;
		good();
	}
}

Test(evidence, negotiation)
{
	bed.blobs.vca.iov_len--;
	stated(EVIDENCE_NEGOTIATION, "malformed");
	bed.blobs.vca.iov_len++;
	bed.statement.dhe = SPDM_DHE_SECP256R1;
	stated(EVIDENCE_NEGOTIATION, "DHE 0x10; the TSM states");
	bed.statement.dhe = SPDM_DHE_SECP384R1;
	bed.algorithms.measurement_hash = 2;
	make_vca();
	measure();
	stated(EVIDENCE_NEGOTIATION, "and hash 0x2");
}

Test(evidence, chain)
{
	Digest other = { { 1 } };

	bed.blobs.certificates.iov_len--;
	stated(EVIDENCE_CHAIN, "says that it has");
	bed.blobs.certificates.iov_len++;
	bed.policy.roots = &other;
	stated(EVIDENCE_CHAIN, "none of the 1 that the policy trusts");
	bed.policy.n_roots = 0;
	refused(EVIDENCE_CHAIN, "none of the 0");
	bed.policy.roots = &bed.chain.root;
	bed.policy.n_roots = 1;
	bed.policy.leaf_keys = &other;
	bed.policy.n_leaf_keys = 1;
	refused(EVIDENCE_CHAIN, "pinned");
	bed.policy.leaf_keys = &bed.statement.leaf_key;
	good();
	bed.chain.specs[TESTING_LEAF].to = TESTING_NOW - 1;
	recertify();
	refused(EVIDENCE_CHAIN, "leaf certificate has expired");
	bed.chain.specs[TESTING_LEAF].to = 0;
	bed.chain.specs[TESTING_LEAF].curve = "P-256";
	recertify();
	refused(EVIDENCE_CHAIN, "of algorithm 0x10, negotiated was 0x80");
}

Test(evidence, session_of_another_key)
{
	bed.statement.leaf_key.bytes[0] ^= 1;
	stated(EVIDENCE_CHAIN, "is not the session's");
}

Test(evidence, revoked)
{
	struct iovec crl = testing_crl(bed.chain.certs[1], bed.chain.keys[1], bed.chain.certs[2],
				       TESTING_NOW - 1, TESTING_NOW + 1, false);

	bed.policy.crls = &crl;
	bed.policy.n_crls = 1;
	refused(EVIDENCE_CHAIN, "revoked");
	OPENSSL_free(crl.iov_base);
}

Test(evidence, identity)
{
	EvidenceDevice device = { .vendor = 0x1b36, .device = 0x0010 };

	bed.expected.function.vendor = 0x8086;
	refused(EVIDENCE_IDENTITY, "another vendor's");
	bed.expected.function.vendor = 0x1b36;
	bed.expected.function.subsystem_vendor = 1;
	refused(EVIDENCE_IDENTITY, "another vendor's");
	bed.expected.function.subsystem_vendor = 0x1af4;

	/* A VF has a device id of its own: policy has to say which device it may be one of. */
	bed.expected.function.device = 0x0011;
	refused(EVIDENCE_IDENTITY, "policy lists no devices");
	bed.policy.devices = &device;
	bed.policy.n_devices = 1;
	good();
	device.device = 0x0012;
	refused(EVIDENCE_IDENTITY, "none of the 1 devices");
	device.any_device = true;
	good();
	device.class_mask = 0xffff00;
	device.class_code = 0x020000;
	refused(EVIDENCE_IDENTITY, "none of the 1 devices");
	device.class_code = 0x010800;
	good();
	bed.chain.specs[TESTING_LEAF].identity = NULL;
	recertify();
	refused(EVIDENCE_IDENTITY, "no subjectAltName");
}

Test(evidence, measurements)
{
	bed.request.nonce[0] = 0x12;
	measure();
	stated(EVIDENCE_MEASUREMENTS, "another nonce");
	bed.request.nonce[0] = 0x11;
	bed.source.content_changed = SPDM_CONTENT_CHANGED;
	measure();
	stated(EVIDENCE_MEASUREMENTS, "changed while");
	bed.source.content_changed = SPDM_CONTENT_UNCHANGED;
	bed.source.key = bed.chain.keys[TESTING_INTERMEDIATE];
	measure();
	stated(EVIDENCE_MEASUREMENTS, "does not verify");
	bed.source.key = bed.chain.keys[TESTING_LEAF];
	measure();
	bed.statement.slot = 1;
	stated(EVIDENCE_MEASUREMENTS, "slot 1");
	bed.statement.slot = 0;
	bed.record[1] = 2;
	measure();
	stated(EVIDENCE_MEASUREMENTS, "specification 0x02");
}

Test(evidence, references)
{
	bed.references[0].digest.bytes[0] = 0;
	refused(EVIDENCE_REFERENCES, "measurement 0x01");
	bed.references[0].digest.bytes[0] = 0xaa;
	bed.references[1].min_svn = 8;
	refused(EVIDENCE_REFERENCES, "at least 8");
}

Test(evidence, report)
{
	bed.blobs.report.iov_len--;
	vouch();
	refused(EVIDENCE_REPORT, "");
}

Test(evidence, firmware)
{
	EvidenceVerdict v;

	/* Locked without the flag that the report claims, and the reverse. */
	bed.statement.lock_flags = 0;
	stated(EVIDENCE_FIRMWARE, "");
	bed.statement.lock_flags = TDISP_LOCK_NO_FW_UPDATE;
	bed.interface.info &= (uint16_t)~INTERFACE_INFO_NO_FW_UPDATE;
	make_report();
	stated(EVIDENCE_FIRMWARE, "");

	bed.statement.lock_flags = 0;
	stated(EVIDENCE_FIRMWARE, "");
	bed.policy.require_no_fw_update = false;
	refused(EVIDENCE_FIRMWARE, "no re-attestation interval");
	bed.policy.reattest_interval_sec = 60;
	cr_assert_eq(check(&v), 0);
	cr_assert(v.good, "%s", v.reason);
	cr_assert_eq(v.reattest_interval_sec, 60);
}

Test(evidence, features)
{
	static const uint16_t infos[] = { INTERFACE_INFO_DMA_WITH_PASID, INTERFACE_INFO_ATS,
					  INTERFACE_INFO_PRS };
	bool *const allow[] = { &bed.policy.allow_pasid, &bed.policy.allow_ats,
				&bed.policy.allow_prs };

	for (size_t i = 0; i < 3; i++) {
		bed.interface.info |= infos[i];
		make_report();
		stated(EVIDENCE_FEATURES, "");
		*allow[i] = true;
		good();
		*allow[i] = false;
		bed.interface.info &= (uint16_t)~infos[i];
	}
	make_report();
	bed.statement.lock_flags |= TDISP_LOCK_BIND_P2P;
	stated(EVIDENCE_FEATURES, "peer-to-peer");
	bed.policy.allow_p2p = true;
	good();
}

Test(evidence, ranges)
{
	InterfaceRegion gap = { .bar = 0, .first_page = 3, .n_pages = 1 };

	bed.expected.bars[0].size = 2 * BAR0_SIZE;
	refused(EVIDENCE_RANGES, "");
	bed.expected.bars[0].size = BAR0_SIZE;
	bed.expected.bars[0].is_memory = false;
	refused(EVIDENCE_RANGES, "");
	bed.expected.bars[0].is_memory = true;
	bed.interface.ranges[0].n_pages = 3;
	make_report();
	stated(EVIDENCE_RANGES, "");
	bed.policy.gaps = &gap;
	bed.policy.n_gaps = 1;
	good();
}

Test(evidence, shared)
{
	InterfaceRegion region = { .bar = 0, .first_page = 0, .n_pages = 4 };

	bed.interface.ranges[0].attributes = INTERFACE_RANGE_NON_TEE_MEM;
	make_report();
	stated(EVIDENCE_SHARED, "");
	bed.policy.shared = &region;
	bed.policy.n_shared = 1;
	good();
}

Test(evidence, zero_policy)
{
	bed.policy = (EvidencePolicy){};
	refused(EVIDENCE_CHAIN, "none of the 0");
}

Test(evidence, good)
{
	EvidenceVerdict v;
	char text[DEVICE_IDENTITY_STRING_SIZE];

	cr_assert_eq(check(&v), 0);
	cr_assert(v.good, "%s: %s", evidence_step_name(v.step), v.reason);
	cr_assert_eq(v.statement.generation, 5);
	cr_assert_str_eq(device_identity_format(&v.identity, text), TESTING_IDENTITY);
	cr_assert_eq(v.report.n_ranges, 1);
	cr_assert(v.rules.lock_no_fw_update);
	cr_assert(v.msix_unlocked);
	cr_assert_eq(v.reattest_interval_sec, 0);
	bed.statement.lock_flags |= TDISP_LOCK_MSIX;
	vouch();
	cr_assert_eq(check(&v), 0);
	cr_assert(v.good);
	cr_assert_not(v.msix_unlocked);
	for (int i = 0; i < _EVIDENCE_STEP_MAX; i++)
		cr_assert_not_null(evidence_step_name(i));
	cr_assert_str_eq(evidence_step_name(_EVIDENCE_STEP_MAX), "none");
}
