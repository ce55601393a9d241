/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * examples/relying-party over evidence of a certificate authority and a device of our own, with one
 * thing broken in it each time. The TSM's statement is made to fit what is broken, unless the
 * digests are what the test is about: a verifier that stopped there would not have looked.
 */
#include "data/spdm-capture.h"
#include "testing-agent.h"
#include "testing-example.h"
#include "testing-schema.h"

static Function function;
static Statement statement;
static EvidenceBlobs blobs;
static uint8_t nonce[STATEMENT_NONCE_SIZE];

static void write_references(const char *more)
{
	char digest[DIGEST_STRING_SIZE] = "";
	_cleanup_free_ char *text = NULL;
	static const uint8_t firmware[DIGEST_SIZE] = { 0xaa };

	hex_encode(digest, firmware, DIGEST_SIZE);
	cr_assert_gt(asprintf(&text,
			      "{\"devices\":[{\"vendor\":\"1b36\",\"device\":\"0010\",\"class\":"
			      "\"010802\",\"measurements\":[{\"index\":1,\"digest\":\"%s\"},"
			      "{\"index\":2,\"minimum_svn\":7}]}]%s}",
			      digest, more),
		     0);
	testing_example_put(example.references, text);
}

/* The TSM states what there is. */
static void vouch(void)
{
	StatementEvidence *e = &statement.evidence;

	digest_of(&e->certificates, blobs.certificates.iov_base, blobs.certificates.iov_len);
	digest_of(&e->vca, blobs.vca.iov_base, blobs.vca.iov_len);
	digest_of(&e->measurements, blobs.measurements.iov_base, blobs.measurements.iov_len);
	digest_of(&e->report, blobs.report.iov_base, blobs.report.iov_len);
}

/* The device measures, signs and reports. */
static void collect(void)
{
	testing_make_evidence(nonce);
	blobs = (EvidenceBlobs){ bed.blobs[0], bed.blobs[1], bed.blobs[2], bed.blobs[3] };
	vouch();
}

static void state(void)
{
	Uuid tvm;

	statement = (Statement){ .flags = STATEMENT_SESSION_SECURED | STATEMENT_IDE_KEYS |
					  STATEMENT_FRESH_MEASUREMENTS,
				 .guest_rid = 0x0100,
				 .generation = TESTING_GENERATION,
				 .tdisp_state = TDISP_CONFIG_LOCKED,
				 .spdm_version = 0x12,
				 .link = STATEMENT_LINK_SELECTIVE_IDE,
				 .lock_flags = TDISP_LOCK_NO_FW_UPDATE,
				 .base_asym = SPDM_ASYM_ECDSA_P384,
				 .base_hash = SPDM_HASH_SHA384,
				 .aead = SPDM_AEAD_AES_256_GCM,
				 .dhe = SPDM_DHE_SECP384R1 };
	uuid_from_string(&tvm, TESTING_TVM);
	memcpy(statement.tvm, tvm.bytes, sizeof(statement.tvm));
	memcpy(statement.nonce, nonce, sizeof(nonce));
	cr_assert_eq(cert_chain_key_digest(&statement.leaf_key, bed.source.key), 0);
	statement.evidence.identity_sequence = 1;
	statement.evidence.measurements_sequence = 2;
	statement.evidence.report_sequence = 3;
}

static void setup(void)
{
	testing_example_init();
	memset(&bed, 0, sizeof(bed));
	memset(nonce, 0x5a, sizeof(nonce));
	testing_make_device();
	function = (Function){ .bars = { { true, true, true, TESTING_BAR0_SIZE } },
			       .starts = { TESTING_BAR0 } };
	cr_assert_eq(bdf_parse(&function.address, TESTING_BDF), 0);
	cr_assert_eq(device_identity_parse(&function.identity, TESTING_IDENTITY,
					   strlen(TESTING_IDENTITY)),
		     0);
	state();
	collect();
	testing_example_put_root(bed.chain.certs[TESTING_ROOT]);
	write_references("");
}

static void done(void)
{
	testing_chain_done(&bed.chain);
	testing_example_done();
}

TestSuite(example_relying_party, .init = setup, .fini = done, .timeout = 60);

static void document(char **ret, size_t *ret_size)
{
	static uint8_t bytes[STATEMENT_SIZE];
	EvidenceSubject subject = { .function = &function,
				    .nonce = nonce,
				    .statement = bytes,
				    .statement_size = sizeof(bytes),
				    .stated = &statement,
				    .blobs = &blobs };

	cr_assert_eq(statement_write(&statement, bytes), 0);
	cr_assert_eq(evidence_document(ret, ret_size, &subject, NULL), 0);
}

static void accepted(void)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	document(&text, &size);
	testing_example_ask_text(text, size);
	testing_example_accepted();
}

static void refused(const char *words)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	document(&text, &size);
	testing_example_ask_text(text, size);
	testing_example_refused(words);
}

/* A copy of one blob with one byte changed (at: from its end if below 0), or cut. */
static struct iovec altered(struct iovec blob, ssize_t at, size_t cut)
{
	static uint8_t copy[8192];
	struct iovec new = { copy, blob.iov_len - cut };

	memcpy(copy, blob.iov_base, blob.iov_len);
	if (!cut)
		copy[at < 0 ? (ssize_t)blob.iov_len + at : at] ^= 1;
	return new;
}

Test(example_relying_party, good)
{
	accepted();
	cr_assert_not_null(strstr(example.verdict.reason, "1b36:0010"));
	cr_assert_not_null(strstr(example.verdict.reason, "2 blocks"));
	statement.tdisp_state = TDISP_RUN;
	statement.flags |= STATEMENT_ACCEPTED;
	statement.flags &= ~(uint32_t)STATEMENT_IDE_KEYS;
	statement.flags |= STATEMENT_INTEGRATED;
	statement.link = STATEMENT_LINK_INTEGRATED;
	accepted();
}

/* --- the signature and the nonce --- */

Test(example_relying_party, altered_signature)
{
	blobs.measurements = altered(blobs.measurements, -1, 0);
	vouch();
	refused("signature over VCA and measurements");
}

Test(example_relying_party, altered_transcript)
{
	/* GET_MEASUREMENTS has 37 bytes, MEASUREMENTS' record begins 8 further on: a digest's byte.
	 */
	blobs.measurements = altered(blobs.measurements, 37 + 8 + 10, 0);
	vouch();
	refused("signature over VCA and measurements");
}

Test(example_relying_party, altered_negotiation)
{
	/* The requester's CT exponent, which nobody looks at. */
	blobs.vca = altered(blobs.vca, 4 + 8 + 5, 0);
	vouch();
	refused("signature over VCA and measurements");
}

Test(example_relying_party, signed_by_another_key)
{
	EVP_PKEY *another = testing_key(NULL);

	bed.source.key = another;
	collect();
	refused("signature over VCA and measurements");
	EVP_PKEY_free(another);
}

Test(example_relying_party, signature_cut)
{
	blobs.measurements = altered(blobs.measurements, 0, 1);
	vouch();
	refused("measurement transcript ends");
	blobs.measurements = (struct iovec){ (void *)"", 0 };
	vouch();
	refused("does not end with a signature");
}

Test(example_relying_party, other_nonce)
{
	nonce[0] ^= 1;
	refused("the TSM's statement answers another nonce");
	/* The TSM says that it fits, the device has signed another. */
	memcpy(statement.nonce, nonce, sizeof(nonce));
	refused("the measurements answer another nonce");
}

Test(example_relying_party, other_slot)
{
	statement.slot = 1;
	refused("signed by slot 0, the session's is 1");
}

/* Until they expire in 2033. Its first step that has something against them is the name. */
Test(example_relying_party, recorded_from_another_implementation)
{
	CertChain *chain;
	const uint8_t *root = capture_chain + CERT_CHAIN_HEADER_SIZE;
	X509 *certificate = d2i_X509(NULL, &root, sizeof(capture_chain) - CERT_CHAIN_HEADER_SIZE);
	uint8_t copy[sizeof(capture_measurements)];

	if (time(NULL) >= 1997313645) {
		X509_free(certificate);
		cr_skip_test("the certificates have expired");
	}
	testing_example_put_root(certificate);
	cr_assert_eq(cert_chain_parse(&chain, capture_chain, sizeof(capture_chain), NULL), 0);
	memcpy(nonce, capture_measurements + 4, sizeof(nonce));
	state();
	statement.leaf_key = *cert_chain_leaf_key_digest(chain);
	blobs.certificates = (struct iovec){ (void *)capture_chain, sizeof(capture_chain) };
	blobs.vca = (struct iovec){ (void *)capture_vca, sizeof(capture_vca) };
	blobs.measurements =
		(struct iovec){ (void *)capture_measurements, sizeof(capture_measurements) };
	vouch();
	refused("name of PCI-SIG's form");

	memcpy(copy, capture_measurements, sizeof(copy));
	copy[sizeof(copy) - 1] ^= 1;
	blobs.measurements = (struct iovec){ copy, sizeof(copy) };
	vouch();
	refused("signature over VCA and measurements");
	cert_chain_free(chain);
	X509_free(certificate);
}

/* --- the chain --- */

Test(example_relying_party, other_root)
{
	TestingChain other = testing_chain_init();

	testing_chain_make(&other);
	testing_example_put_root(other.certs[TESTING_ROOT]);
	refused("is not the one that is trusted");
	testing_chain_done(&other);
}

/* Made again after a change of its specifications. */
static void certify(void)
{
	TestingCert specs[3];

	memcpy(specs, bed.chain.specs, sizeof(specs));
	testing_chain_done(&bed.chain);
	bed.chain = testing_chain_init();
	memcpy(bed.chain.specs, specs, sizeof(specs));
	testing_chain_make(&bed.chain);
	bed.source.key = bed.chain.keys[TESTING_LEAF];
	testing_example_put_root(bed.chain.certs[TESTING_ROOT]);
	state();
	collect();
}

static void spoiled(TestingCert *spec, TestingCert spoiled_spec, const char *words)
{
	TestingCert before = *spec;

	*spec = spoiled_spec;
	certify();
	refused(words);
	*spec = before;
}

#define WITH(spec, ...)                                                                            \
	({                                                                                         \
		TestingCert _changed = *(spec);                                                    \
		TestingCert *t = &_changed;                                                        \
		__VA_ARGS__;                                                                       \
		_changed;                                                                          \
	})

Test(example_relying_party, spoiled_leaf)
{
	TestingCert *leaf = &bed.chain.specs[TESTING_LEAF];

	spoiled(leaf, WITH(leaf, t->to = time(NULL) - 60), "the leaf certificate is valid from");
	spoiled(leaf, WITH(leaf, t->from = time(NULL) + 3600), "the leaf certificate is valid");
	spoiled(leaf, WITH(leaf, t->ca = true), "one of a certificate authority");
	spoiled(leaf, WITH(leaf, t->key_usage = "critical,keyAgreement"),
		"may not be used to sign");
	spoiled(leaf, WITH(leaf, t->critical_oid = "1.2.3.4"), "critical extension 1.2.3.4");
	spoiled(leaf, WITH(leaf, t->md = EVP_sha256()), "SHA-384 or SHA-512");
}

Test(example_relying_party, spoiled_key)
{
	TestingCert *leaf = &bed.chain.specs[TESTING_LEAF];

	spoiled(leaf, WITH(leaf, t->curve = "P-256"), "not one of P-384");
	spoiled(&bed.chain.specs[TESTING_INTERMEDIATE],
		WITH(&bed.chain.specs[TESTING_INTERMEDIATE], t->curve = "P-256"),
		"not one of P-384");
	certify();
	statement.leaf_key.bytes[0] ^= 1;
	refused("not the one of the session");
}

Test(example_relying_party, spoiled_authority)
{
	TestingCert *above = &bed.chain.specs[TESTING_INTERMEDIATE];
	TestingCert *root = &bed.chain.specs[TESTING_ROOT];

	spoiled(above, WITH(above, t->ca = false),
		"certificate 2 of 3 is not one of a certificate");
	spoiled(above, WITH(above, t->key_usage = "critical,digitalSignature"),
		"certificate 2 of 3 is not one of a certificate");
	spoiled(above, WITH(above, t->to = time(NULL) - 60), "certificate 2 of 3 is valid from");
	spoiled(root, WITH(root, t->path_length = 0), "certificate 1 of 3 allows 0 authorities");
	spoiled(root, WITH(root, t->to = time(NULL) - 60), "certificate 1 of 3 is valid from");
}

Test(example_relying_party, spoiled_order)
{
	/* A chain whose leaf another authority of the same name has signed. */
	TestingChain other = bed.chain;
	X509 *forged =
		testing_cert(&bed.chain.specs[TESTING_LEAF], bed.chain.keys[TESTING_LEAF],
			     bed.chain.certs[TESTING_INTERMEDIATE], bed.chain.keys[TESTING_ROOT]);

	other.data = NULL;
	other.certs[TESTING_LEAF] = forged;
	testing_chain_build(&other, (const size_t[]){ 0, 1, 2 }, 3);
	blobs.certificates = (struct iovec){ other.data, other.size };
	vouch();
	refused("the leaf certificate is not signed by");
	testing_chain_build(&other, (const size_t[]){ 0, 2 }, 2);
	blobs.certificates = (struct iovec){ other.data, other.size };
	vouch();
	refused("names another issuer");
	testing_chain_build(&other, (const size_t[]){ 0 }, 1);
	blobs.certificates = (struct iovec){ other.data, other.size };
	vouch();
	refused("no leaf");
	free(other.data);
	X509_free(forged);
	collect();
	blobs.certificates = altered(blobs.certificates, 0, 3);
	vouch();
	refused("says that it has");
	blobs.certificates = altered(bed.blobs[0], 10, 0);
	vouch();
	refused("root hash");
}

Test(example_relying_party, spoiled_identity)
{
	TestingCert *leaf = &bed.chain.specs[TESTING_LEAF];

	spoiled(leaf, WITH(leaf, t->identity = NULL), "names no device");
	spoiled(leaf, WITH(leaf, t->n_identities = 2), "does not have one name");
	spoiled(leaf, WITH(leaf, t->identity_type = V_ASN1_IA5STRING), "does not have one name");
	spoiled(leaf, WITH(leaf, t->identity = "Vendor=1b36"), "not of PCI-SIG's form");
	spoiled(leaf,
		WITH(leaf,
		     t->identity = "Vendor=1b36:Device=0011:CC=010802:REV=02:SSVID=1af4:SSID=1100"),
		"no reference values for 1b36:0011");
	certify();
	function.identity.vendor = 0x8086;
	refused("another vendor than the function's");
}

/* --- the measurements --- */

Test(example_relying_party, altered_measurement)
{
	bed.record[7] ^= 1;
	collect();
	refused("measurement 0x01 is ab");
}

Test(example_relying_party, old_firmware)
{
	/* The second block begins after the first one's 7 + 48 bytes. */
	bed.record[55 + 7] = 6;
	collect();
	refused("measurement 0x02 is version 6, expected version 7");
	bed.record[55 + 7] = 8;
	collect();
	accepted();
}

Test(example_relying_party, more_and_fewer_measurements)
{
	static const uint8_t zeros[16] = { 0 };
	size_t size = bed.source.record_size;
	ByteWriter w = byte_writer(bed.record + size, sizeof(bed.record) - size);

	bed.source.n_blocks = 1;
	bed.source.record_size = 55;
	collect();
	refused("measurement 0x02 is not among");

	measurement_block_put(&w, &(MeasurementBlock){ 3, MEASUREMENT_VERSION, true, 4, zeros });
	bed.source.n_blocks = 3;
	bed.source.record_size = size + w.used;
	collect();
	refused("no reference for measurement 0x03");

	w = byte_writer(bed.record + size, sizeof(bed.record) - size);
	measurement_block_put(
		&w, &(MeasurementBlock){ 0xfe, MEASUREMENT_DEVICE_MODE, true, 16, zeros });
	bed.source.record_size = size + w.used;
	collect();
	refused("operational state 0x0");
	bed.record[size + 7 + 4] = MEASUREMENT_OPERATIONAL_NORMAL;
	collect();
	accepted();
	bed.record[size + 7 + 12] = 1;
	collect();
	refused("debug state 0x1");

	bed.record[size] = 2;
	collect();
	refused("measurement 0x02 is reserved, or there twice");
	bed.source.content_changed = SPDM_CONTENT_CHANGED;
	collect();
	refused("changed while they were read");
}

/* --- the interface report --- */

Test(example_relying_party, truncated_report)
{
	static const size_t cuts[] = { 1, 4, 5, 20, 36 };

	for (size_t i = 0; i < ELEMENTSOF(cuts); i++) {
		blobs.report = altered(bed.blobs[3], 0, cuts[i]);
		vouch();
		refused("the interface report ends");
	}
	blobs.report = bed.blobs[3];
	blobs.report.iov_len++;
	vouch();
	refused("1 bytes behind its end");
}

Test(example_relying_party, malformed_report)
{
	blobs.report = altered(bed.blobs[3], 2, 0);
	vouch();
	refused("reserved bytes");
	blobs.report = altered(bed.blobs[3], 1, 0);
	vouch();
	refused("INTERFACE_INFO");
	blobs.report = altered(bed.blobs[3], 15, 0);
	vouch();
	refused("at most 64");
}

static void reported(InterfaceReport report, const char *words)
{
	bed.interface = report;
	collect();
	refused(words);
}

Test(example_relying_party, report_that_does_not_fit)
{
	InterfaceReport report = bed.interface;

	report.ranges[0].n_pages = 3;
	reported(report, "cover 3 pages");
	report.ranges[0].n_pages = 5;
	reported(report, "cover 5 pages");
	report.ranges[0].n_pages = 4;
	report.ranges[0].id = 2;
	reported(report, "range of BAR 2, which this TVM does not see");
	report.ranges[0].id = 0;
	report.n_ranges = 0;
	reported(report, "cover 0 pages");
	report.n_ranges = 2;
	report.ranges[0].n_pages = 2;
	report.ranges[1] = report.ranges[0];
	reported(report, "overlap, or leave a gap");
	report.ranges[1].first_page += 2;
	bed.interface = report;
	collect();
	accepted();
	report.info |= INTERFACE_INFO_ATS;
	reported(report, "ATS");
	report.info = INTERFACE_INFO_DMA_WITHOUT_PASID;
	reported(report, "firmware may be updated");
}

Test(example_relying_party, shared_memory)
{
	InterfaceReport report = bed.interface;

	report.n_ranges = 2;
	report.ranges[0].n_pages = 3;
	report.ranges[1] = (InterfaceRange){ .first_page = report.ranges[0].first_page + 3,
					     .n_pages = 1,
					     .attributes = INTERFACE_RANGE_MSIX_TABLE };
	reported(report, "BAR 0, bytes 0x3000 to 0x3fff are shared");
	statement.lock_flags |= TDISP_LOCK_MSIX;
	accepted();
	report.ranges[1].attributes = INTERFACE_RANGE_NON_TEE_MEM;
	reported(report, "are shared");
	write_references(",\"allow_shared_ranges\":[{\"bar\":0,\"offset\":8192,\"size\":4096}]");
	refused("are shared");
	write_references(",\"allow_shared_ranges\":[{\"bar\":0,\"offset\":12288,\"size\":4096}]");
	accepted();
}

/* --- the statement --- */

Test(example_relying_party, digests)
{
	struct iovec *all[] = { &blobs.certificates, &blobs.vca, &blobs.measurements,
				&blobs.report };
	static const char *const names[] = { "certificates", "vca", "measurements", "report" };

	for (size_t i = 0; i < ELEMENTSOF(all); i++) {
		struct iovec good = *all[i];
		char words[64];

		*all[i] = altered(good, -1, 0);
		snprintf(words, sizeof(words), "'%s' has SHA-384", names[i]);
		refused(words);
		*all[i] = good;
	}
}

Test(example_relying_party, about_something_else)
{
	Statement good = statement;

	statement.guest_rid = 0x0108;
	refused("requester id 0x108");
	statement = good;
	statement.tdisp_state = TDISP_ERROR;
	refused("state error");
	statement = good;
	statement.base_asym = SPDM_ASYM_ECDSA_P256;
	refused("other algorithms");
}

Test(example_relying_party, protects_nothing)
{
	statement.flags &= ~(uint32_t)STATEMENT_SESSION_SECURED;
	refused("session with the device is not secured");
	statement.flags |= STATEMENT_SESSION_SECURED;
	statement.flags &= ~(uint32_t)STATEMENT_IDE_KEYS;
	refused("selective IDE with keys");
	statement.link = STATEMENT_LINK_NONE;
	refused("protected by 'none'");
	statement.link = STATEMENT_LINK_EMULATED;
	statement.flags = STATEMENT_EMULATED;
	refused("emulated and protects nothing");
	example.allow_emulated = true;
	accepted();
}

/* --- the document --- */

/* form: whether it still has the form that the schema says. */
static void edited(const char *name, json_object *value, bool form, const char *words)
{
	_cleanup_free_ char *text = NULL, *new = NULL;
	json_object *object;
	char why[256];
	size_t size;

	document(&text, &size);
	cr_assert_eq(json_parse(&object, text, size, NULL), 0);
	if (value)
		json_object_object_add(object, name, value);
	else
		json_object_object_del(object, name);
	cr_assert_eq(json_format(&new, &size, object), 0);
	json_object_put(object);
	cr_assert_eq(testing_schema_allows("relying-party-evidence", new, why), form,
		     "%s: the schema says %s", words, why);
	testing_example_ask_text(new, size);
	testing_example_refused(words);
}

Test(example_relying_party, document_is_none)
{
	static const char twice[] = "{\"version\":1,\"version\":1}";

	testing_example_ask_text("", 0);
	testing_example_refused("no JSON document");
	testing_example_ask_text("[]", 2);
	testing_example_refused("is no object");
	testing_example_ask_text(twice, strlen(twice));
	testing_example_refused("twice");
	testing_example_ask_text("{\"version\":NaN}", 15);
	testing_example_refused("NaN");
	testing_example_ask_text("{\"version\":1}\xff", 14);
	testing_example_refused("no JSON document");
}

Test(example_relying_party, document_members)
{
	edited("version", json_object_new_int(2), false, "'version'");
	edited("version", NULL, false, "lacks 'version'");
	edited("urgent", json_object_new_boolean(true), false, "unknown member 'urgent'");
	edited("report", json_object_new_string("a=b="), false, "'report'");
	edited("report", json_object_new_string("aaaa\naaaa"), false, "'report'");
	edited("nonce", json_object_new_string("00"), false, "'nonce'");
	edited("generation", json_object_new_double(5.5), false, "'generation'");
	edited("generation", json_object_new_int(0), false, "'generation'");
	edited("statement", json_object_new_string("aaaa"), false, "has 3 bytes");
	edited("function", json_object_new_object(), false, "'function' lacks 'address'");
}

Test(example_relying_party, document_contradicts_itself)
{
	edited("generation", json_object_new_int(6), true, "about bind 5, not 6");
	edited("tvm", json_object_new_string("00112233-4455-6677-8899-aabbccddee00"), true,
	       "for TVM");
	edited("protected", json_object_new_boolean(false), true,
	       "'protected' is not what the TSM");
}

Test(example_relying_party, document_of_another_function)
{
	_cleanup_free_ char *text = NULL;
	char why[256];
	size_t size;

	function.identity.has_serial = true;
	function.identity.serial = 0xfedcba9876543210;
	accepted();
	/* Another BAR, and one that is none of memory. */
	function.bars[2] = (InterfaceBar){ true, true, false, 4096 };
	function.starts[2] = 0xfe100000;
	function.bars[5] = (InterfaceBar){ .present = true, .size = 32 };
	document(&text, &size);
	cr_assert(testing_schema_allows("relying-party-evidence", text, why), "%s", why);
	cr_assert_not_null(strstr(text, "\"serial\":\"fedcba9876543210\""));
	cr_assert_null(strstr(text, "\"bar\":5"));
	refused("BAR 2 has 4096 bytes, the interface report's ranges cover 0 pages");
}

/* What will be quoted is what was judged. */
Test(example_relying_party, document_quotes)
{
	static const char *const digests[] = { "certificates", "vca", "measurements", "report" };
	_cleanup_free_ char *text = NULL;
	json_object *object, *quote;
	size_t size;

	document(&text, &size);
	cr_assert_eq(json_parse(&object, text, size, NULL), 0);
	quote = json_get_object(object, "quote");
	for (size_t i = 0; i < ELEMENTSOF(digests); i++) {
		json_object *changed = NULL;
		char digest[DIGEST_STRING_SIZE];

		cr_assert_eq(json_object_deep_copy(quote, &changed, NULL), 0);
		snprintf(digest, sizeof(digest), "%s", json_get_string(quote, digests[i]));
		digest[95] = digest[95] == '0' ? '1' : '0';
		json_object_object_add(changed, digests[i], json_object_new_string(digest));
		edited("quote", changed, true, "would quote another digest");
	}
	{
		json_object *changed = NULL;

		cr_assert_eq(json_object_deep_copy(quote, &changed, NULL), 0);
		json_object_object_add(changed, "report_sequence", json_object_new_int(4));
		edited("quote", changed, true,
		       "would quote 4 as 'report_sequence', the TSM states 3");
	}
	json_object_put(object);
}

/* --- its own files --- */

Test(example_relying_party, own_files)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	document(&text, &size);
	unlink(example.references);
	testing_example_ask_text(text, size);
	cr_assert(example.end == PROGRAM_EXITED && example.value != 0);
	testing_example_put(example.references, "{\"devices\":[]}");
	testing_example_ask_text(text, size);
	testing_example_refused("no reference values");
	testing_example_put(example.root, "no certificate");
	testing_example_ask_text(text, size);
	cr_assert(example.end == PROGRAM_EXITED && example.value != 0);
}
