/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The signed measurement transcript. Input: a byte, then either (0) a transcript that is verified
 * as one of the recorded device's, or (1) a request to a responder of our own, whose answer has to
 * verify.
 */
#include "../unit/data/spdm-capture.h"
#include "core/cert-chain.h"
#include "core/measurements.h"
#include "fuzz.h"

#include <errno.h>
#include <openssl/evp.h>

static MeasurementSet set;

static bool verify(const uint8_t *data, size_t size)
{
	static CertChain *chain;
	MeasurementsCheck check = { .vca = capture_vca, .vca_size = sizeof(capture_vca) };
	char *error = NULL;

	if (!chain)
		CHECK(cert_chain_parse(&chain, capture_chain, sizeof(capture_chain), NULL) == 0);
	check.key = cert_chain_leaf_key(chain);
	check.nonce = capture_measurements + 4;
	set.n_blocks = 0;
	if (!fuzz_good(measurements_verify(&set, data, size, &check, &error), error))
		return false;
	CHECK(set.n_blocks <= MEASUREMENT_MAX_BLOCKS);
	return true;
}

static size_t put_record(uint8_t *record, size_t capacity)
{
	static const uint8_t digest[DIGEST_SIZE] = { 5 }, svn[8] = { 2 };
	ByteWriter w = byte_writer(record, capacity);

	measurement_block_put(
		&w,
		&(MeasurementBlock){ .index = 1, .value_size = sizeof(digest), .value = digest });
	measurement_block_put(&w, &(MeasurementBlock){ .index = 0x10,
						       .type = MEASUREMENT_SVN,
						       .raw = true,
						       .value_size = sizeof(svn),
						       .value = svn });
	CHECK(!w.failed);
	return w.used;
}

/* The request and its answer are a whole transcript, if it asked for a signature. */
static void check_answer(const uint8_t *request, size_t size, const ByteWriter *answer,
			 EVP_PKEY *key)
{
	static uint8_t transcript[2048];
	ByteWriter w = byte_writer(transcript, sizeof(transcript));
	ByteReader r = byte_reader(request, size);
	MeasurementsCheck check = { .vca = capture_vca,
				    .vca_size = sizeof(capture_vca),
				    .key = key };
	SpdmGetMeasurements asked;

	CHECK(spdm_get_measurements_take(&r, &asked) == 0 && bytes_taken_all(&r));
	bytes_put(&w, request, size);
	bytes_put(&w, answer->start, answer->used);
	CHECK(!w.failed);
	check.nonce = asked.nonce;
	set.n_blocks = 0;
	CHECK((measurements_verify(&set, transcript, w.used, &check, NULL) == 0) == asked.sign);
	CHECK(!asked.sign || asked.operation != SPDM_MEASURE_ALL || set.n_blocks == 2);
}

static bool answer(const uint8_t *request, size_t size)
{
	static EVP_PKEY *key;
	static uint8_t record[256], buffer[1024];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	MeasurementsSource source = { .vca = capture_vca,
				      .vca_size = sizeof(capture_vca),
				      .record = record,
				      .n_blocks = 2,
				      .content_changed = SPDM_CONTENT_UNCHANGED };
	int r;

	if (!key)
		key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	source.key = key;
	source.record_size = put_record(record, sizeof(record));
	r = measurements_answer(&w, &source, request, size);
	CHECK(r == 0 || r == -EBADMSG || r == -ENOENT);
	if (r < 0)
		return false;
	check_answer(request, size, &w, key);
	return true;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	if (size == 0)
		return false;
	return *data ? answer(data + 1, size - 1) : verify(data + 1, size - 1);
}
