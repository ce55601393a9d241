/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/cert-chain.h"
#include "core/measurements.h"
#include "core/spdm-signature.h"
#include "data/spdm-capture.h"
#include "testing-ca.h"

#include <errno.h>

#define CAPTURE_NONCE (capture_measurements + 4)

static MeasurementSet set;

static void refused(const void *data, size_t size, const MeasurementsCheck *check, int code,
		    const char *about)
{
	char *error = NULL;

	cr_assert_eq(measurements_verify(&set, data, size, check, &error), code, "%s: %s", about,
		     error);
	cr_assert_not_null(error);
	cr_assert(strstr(error, about), "\"%s\" says nothing of \"%s\"", error, about);
	cr_assert_eq(set.n_blocks, 0);
	free(error);
}

static MeasurementsCheck captured_check(CertChain **ret)
{
	cr_assert_eq(cert_chain_parse(ret, capture_chain, sizeof(capture_chain), NULL), 0);
	return (MeasurementsCheck){ .vca = capture_vca,
				    .vca_size = sizeof(capture_vca),
				    .key = cert_chain_leaf_key(*ret),
				    .slot = 0,
				    .nonce = CAPTURE_NONCE };
}

Test(measurements, broken_capture)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	MeasurementsCheck good = captured_check(&chain), check = good;
	const size_t size = sizeof(capture_measurements);
	uint8_t copy[sizeof(capture_measurements) + 37], vca[sizeof(capture_vca)];
	uint8_t nonce[SPDM_NONCE_SIZE] = {};

	refused(NULL, 0, &check, -EBADMSG, "empty");
	for (size_t n = 1; n < size; n++)
		cr_assert_eq(measurements_verify(&set, capture_measurements, n, &check, NULL),
			     -EBADMSG, "%zu bytes", n);

	check.nonce = nonce;
	refused(capture_measurements, size, &check, -ESTALE, "another nonce");
	check = good;
	check.slot = 1;
	refused(capture_measurements, size, &check, -ESTALE, "slot");
	check = good;
	memcpy(vca, capture_vca, sizeof(vca));
	vca[33] ^= 1;
	check.vca = vca;
	refused(capture_measurements, size, &check, -EKEYREJECTED, "does not verify");
	check = good;
	check.key = testing_key("P-384");
	refused(capture_measurements, size, &check, -EKEYREJECTED, "does not verify");
	EVP_PKEY_free(check.key);
	check = good;
	check.key = testing_key("RSA");
	refused(capture_measurements, size, &check, -EKEYREJECTED, "neither");
	EVP_PKEY_free(check.key);

	/* Each of these is signed: a measurement, the responder's nonce, the signature itself. */
	check = good;
	for (size_t at = 60; at < size; at += 50) {
		memcpy(copy, capture_measurements, size);
		copy[at] ^= 1;
		cr_assert_lt(measurements_verify(&set, copy, size, &check, NULL), 0, "byte %zu",
			     at);
	}
	/* Asked for without a signature: what follows the pair is no pair. */
	memcpy(copy, capture_measurements, size);
	copy[2] = 0;
	refused(copy, size, &check, -EBADMSG, "malformed");
	/* Another request behind the signature. */
	memcpy(copy, capture_measurements, size);
	memcpy(copy + size, capture_measurements, 37);
	refused(copy, sizeof(copy), &check, -EBADMSG, "after the signed");
}

Test(measurements, capture)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	MeasurementsCheck check = captured_check(&chain);

	cr_assert_eq(measurements_verify(&set, capture_measurements, sizeof(capture_measurements),
					 &check, NULL),
		     0);
	cr_assert_eq(set.n_blocks, 8);
}

/* A device of our own, asked as the tests like. */
typedef struct Device {
	MeasurementsSource source;
	uint8_t record[256];
	uint8_t transcript[2048];
	size_t size;
	uint8_t nonce[SPDM_NONCE_SIZE];
} Device;

static void device_init(Device *d, const char *curve)
{
	ByteWriter w = byte_writer(d->record, sizeof(d->record));
	uint8_t digest[DIGEST_SIZE] = { 9 };

	measurement_block_put(&w,
			      &(MeasurementBlock){ 1, MEASUREMENT_FIRMWARE, false, 48, digest });
	measurement_block_put(&w, &(MeasurementBlock){ 4, MEASUREMENT_SVN, true, 8, digest });
	*d = (Device){ .source = { .vca = capture_vca,
				   .vca_size = sizeof(capture_vca),
				   .record_size = w.used,
				   .n_blocks = 2,
				   .nonce = { 3 },
				   .content_changed = SPDM_CONTENT_UNCHANGED,
				   .slot = 2,
				   .key = testing_key(curve) },
		       .nonce = { 7 } };
	w = byte_writer(d->record, sizeof(d->record));
	measurement_block_put(&w,
			      &(MeasurementBlock){ 1, MEASUREMENT_FIRMWARE, false, 48, digest });
	measurement_block_put(&w, &(MeasurementBlock){ 4, MEASUREMENT_SVN, true, 8, digest });
	d->source.record = d->record;
}

static int device_ask(Device *d, bool sign, uint8_t operation)
{
	ByteWriter w = byte_writer(d->transcript, sizeof(d->transcript));
	SpdmGetMeasurements g = { .sign = sign, .operation = operation, .slot = 2 };
	int r;

	memcpy(g.nonce, d->nonce, sizeof(g.nonce));
	w.used = d->size;
	d->source.earlier = d->transcript;
	d->source.earlier_size = d->size;
	spdm_get_measurements_put(&w, &g);
	r = measurements_answer(&w, &d->source, d->transcript + d->size, w.used - d->size);
	if (r == 0)
		d->size = w.used;
	return r;
}

static MeasurementsCheck device_check(const Device *d)
{
	return (MeasurementsCheck){ .vca = d->source.vca,
				    .vca_size = d->source.vca_size,
				    .key = d->source.key,
				    .slot = 2,
				    .nonce = d->nonce };
}

Test(measurements, answer_refuses)
{
	uint8_t buffer[700], request[40];
	ByteWriter w = byte_writer(request, sizeof(request)), out;
	Device d;

	device_init(&d, "P-384");
	cr_assert_eq(device_ask(&d, false, 3), -ENOENT, "no such index");
	spdm_get_measurements_put(&w, &(SpdmGetMeasurements){ .sign = true, .slot = 1 });
	out = byte_writer(buffer, sizeof(buffer));
	cr_assert_eq(measurements_answer(&out, &d.source, request, w.used), -ENOENT, "slot");
	cr_assert_eq(measurements_answer(&out, &d.source, request, w.used - 1), -EBADMSG);
	cr_assert_eq(measurements_answer(&out, &d.source, request, w.used + 1), -EBADMSG);
	cr_assert_eq(out.used, 0);
	request[36] = 2;
	out = byte_writer(buffer, 60);
	cr_assert_eq(measurements_answer(&out, &d.source, request, w.used), -ENOSPC);
	EVP_PKEY_free(d.source.key);
}

Test(measurements, unsigned_end)
{
	MeasurementsCheck check;
	Device d;

	device_init(&d, "P-384");
	check = device_check(&d);
	cr_assert_eq(device_ask(&d, false, SPDM_MEASURE_ALL), 0);
	refused(d.transcript, d.size, &check, -EBADMSG, "no signature");
	EVP_PKEY_free(d.source.key);
}

Test(measurements, content_changed)
{
	MeasurementsCheck check;
	Device d;

	device_init(&d, "P-384");
	check = device_check(&d);
	d.source.content_changed = SPDM_CONTENT_CHANGED;
	cr_assert_eq(device_ask(&d, true, SPDM_MEASURE_ALL), 0);
	refused(d.transcript, d.size, &check, -ESTALE, "changed");
	EVP_PKEY_free(d.source.key);
}

Test(measurements, block_twice)
{
	MeasurementsCheck check;
	Device d;

	device_init(&d, "P-384");
	check = device_check(&d);
	cr_assert_eq(device_ask(&d, false, 4), 0);
	cr_assert_eq(device_ask(&d, true, SPDM_MEASURE_ALL), 0);
	refused(d.transcript, d.size, &check, -EBADMSG, "twice");
	EVP_PKEY_free(d.source.key);
}

/* The device signs an answer to something else than what it was asked. */
static int signed_after_change(size_t at, uint8_t value, uint8_t operation)
{
	uint8_t signature[SPDM_SIGNATURE_MAX_SIZE];
	struct iovec parts[2];
	MeasurementsCheck check;
	Digest transcript;
	Device d;
	int r;

	device_init(&d, "P-384");
	check = device_check(&d);
	cr_assert_eq(device_ask(&d, true, operation), 0);
	d.transcript[at] = value;
	parts[0] = (struct iovec){ (void *)check.vca, check.vca_size };
	parts[1] = (struct iovec){ d.transcript, d.size - 96 };
	cr_assert_eq(digest_of_parts(&transcript, parts, 2), 0);
	cr_assert_eq(spdm_signature_make(signature, d.source.key, SPDM_CONTEXT_MEASUREMENTS,
					 &transcript),
		     0);
	memcpy(d.transcript + d.size - 96, signature, 96);
	r = measurements_verify(&set, d.transcript, d.size, &check, NULL);
	EVP_PKEY_free(d.source.key);
	return r;
}

/* Where GET_MEASUREMENTS has its operation and its slot. */
#define OPERATION_AT 3
#define SLOT_AT	     36

Test(measurements, answer_to_another_request)
{
	cr_assert_eq(signed_after_change(OPERATION_AT, 1, 4), -EBADMSG);
	cr_assert_eq(signed_after_change(OPERATION_AT, 1, SPDM_MEASURE_ALL), -EBADMSG);
	cr_assert_eq(signed_after_change(OPERATION_AT, SPDM_MEASURE_COUNT, SPDM_MEASURE_ALL),
		     -EBADMSG);
	cr_assert_eq(signed_after_change(OPERATION_AT, SPDM_MEASURE_ALL, SPDM_MEASURE_COUNT),
		     -EBADMSG);
	cr_assert_eq(signed_after_change(SLOT_AT, 1, SPDM_MEASURE_ALL), -ESTALE);
	cr_assert_eq(signed_after_change(SLOT_AT, 2, SPDM_MEASURE_ALL), 0, "unchanged");
}

Test(measurements, one_by_one)
{
	static const char *const curves[] = { "P-384", "P-256" };

	for (size_t i = 0; i < 2; i++) {
		MeasurementsCheck check;
		Device d;

		device_init(&d, curves[i]);
		check = device_check(&d);
		cr_assert_eq(device_ask(&d, false, SPDM_MEASURE_COUNT), 0);
		cr_assert_eq(device_ask(&d, false, 1), 0);
		cr_assert_eq(device_ask(&d, true, 4), 0);
		cr_assert_eq(measurements_verify(&set, d.transcript, d.size, &check, NULL), 0);
		cr_assert_eq(set.n_blocks, 2);
		cr_assert_not_null(measurement_set_find(&set, 1));
		cr_assert_not_null(measurement_set_find(&set, 4));

		/* The earlier pairs are signed as well. */
		d.transcript[50] ^= 1;
		cr_assert_lt(measurements_verify(&set, d.transcript, d.size, &check, NULL), 0);
		EVP_PKEY_free(d.source.key);
	}
}
