/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/spdm.h"
#include "data/spdm-capture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* Where the messages lie in the captured VCA. */
static const struct {
	size_t offset, size;
} vca_part[6] = { { 0, 4 }, { 4, 8 }, { 12, 20 }, { 32, 20 }, { 52, 48 }, { 100, 52 } };

#define REQUEST_SIZE 37 /* of the captured GET_MEASUREMENTS */

/* Any message, parsed by what its code says; what was parsed is thrown away. */
static int take_any(ByteReader *r, uint8_t code, size_t signature_size)
{
	SpdmVersions versions;
	SpdmCapabilities capabilities;
	SpdmAlgorithms algorithms;
	SpdmDigests digests;
	SpdmGetCertificate get_certificate;
	SpdmCertificate certificate;
	SpdmGetMeasurements get_measurements;
	SpdmMeasurements measurements;
	SpdmVendorDefined vendor;
	SpdmError error;

	switch (code) {
	case SPDM_GET_VERSION: return spdm_get_version_take(r);
	case SPDM_VERSION: return spdm_version_take(r, &versions);
	case SPDM_GET_CAPABILITIES: return spdm_get_capabilities_take(r, &capabilities);
	case SPDM_CAPABILITIES: return spdm_capabilities_take(r, &capabilities);
	case SPDM_NEGOTIATE_ALGORITHMS: return spdm_negotiate_algorithms_take(r, &algorithms);
	case SPDM_ALGORITHMS: return spdm_algorithms_take(r, &algorithms);
	case SPDM_GET_DIGESTS: return spdm_get_digests_take(r);
	case SPDM_DIGESTS: return spdm_digests_take(r, &digests);
	case SPDM_GET_CERTIFICATE: return spdm_get_certificate_take(r, &get_certificate);
	case SPDM_CERTIFICATE: return spdm_certificate_take(r, &certificate);
	case SPDM_GET_MEASUREMENTS: return spdm_get_measurements_take(r, &get_measurements);
	case SPDM_MEASUREMENTS: return spdm_measurements_take(r, signature_size, &measurements);
	case SPDM_VENDOR_DEFINED_REQUEST:
	case SPDM_VENDOR_DEFINED_RESPONSE: return spdm_vendor_defined_take(r, code, &vendor);
	case SPDM_ERROR: return spdm_error_take(r, &error);
	default: return -EINVAL;
	}
}

/* Every proper prefix has to fail, whatever is wrong in the header has to fail. */
static void break_message(const uint8_t *message, size_t size, size_t signature_size)
{
	uint8_t copy[2048];
	ByteReader r;

	cr_assert_leq(size, sizeof(copy));
	for (size_t n = 0; n < size; n++) {
		r = byte_reader(message, n);
		cr_assert_eq(take_any(&r, message[1], signature_size), -EBADMSG,
			     "code 0x%02x cut to %zu bytes", message[1], n);
	}
	r = byte_reader(message, size);
	cr_assert_eq(take_any(&r, message[1], signature_size), 0, "code 0x%02x", message[1]);
	cr_assert(bytes_taken_all(&r), "code 0x%02x", message[1]);

	memcpy(copy, message, size);
	copy[0] = 0x13;
	r = byte_reader(copy, size);
	cr_assert_eq(take_any(&r, message[1], signature_size), -EPROTONOSUPPORT);
	copy[0] = message[0];
	copy[1] ^= 0x10;
	r = byte_reader(copy, size);
	cr_assert_eq(take_any(&r, message[1], signature_size), -EBADMSG);
}

/* A bit set in a byte that is reserved. */
static void reserved_byte(const uint8_t *message, size_t size, size_t offset)
{
	uint8_t copy[2048];
	ByteReader r = byte_reader(copy, size);

	memcpy(copy, message, size);
	copy[offset] |= 0x80;
	cr_assert_eq(take_any(&r, message[1], 96), -EBADMSG, "code 0x%02x byte %zu", message[1],
		     offset);
}

Test(spdm, broken_negotiation)
{
	for (size_t i = 0; i < 6; i++)
		break_message(capture_vca + vca_part[i].offset, vca_part[i].size, 0);
	reserved_byte(capture_vca + vca_part[0].offset, vca_part[0].size, 2);
	reserved_byte(capture_vca + vca_part[1].offset, vca_part[1].size, 4);
	reserved_byte(capture_vca + vca_part[2].offset, vca_part[2].size, 4);
	reserved_byte(capture_vca + vca_part[3].offset, vca_part[3].size, 6);
	reserved_byte(capture_vca + vca_part[4].offset, vca_part[4].size, 16);
	reserved_byte(capture_vca + vca_part[4].offset, vca_part[4].size, 28);
	reserved_byte(capture_vca + vca_part[5].offset, vca_part[5].size, 20);
	reserved_byte(capture_vca + vca_part[5].offset, vca_part[5].size, 33);
}

Test(spdm, version_count_lies)
{
	uint8_t none[] = { 0x10, 0x04, 0, 0, 0, 0 };
	uint8_t many[6 + 2 * 17] = { 0x10, 0x04, 0, 0, 0, 17 };
	SpdmVersions versions;
	ByteReader r = byte_reader(none, sizeof(none));

	cr_assert_eq(spdm_version_take(&r, &versions), -EBADMSG);
	r = byte_reader(many, sizeof(many));
	cr_assert_eq(spdm_version_take(&r, &versions), -EBADMSG);
}

Test(spdm, capability_sizes)
{
	SpdmCapabilities c = { .flags = 0, .data_transfer_size = 42, .max_message_size = 42 };
	uint8_t buffer[32];
	ByteWriter w;
	ByteReader r;

	w = byte_writer(buffer, sizeof(buffer));
	spdm_capabilities_put(&w, &c);
	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_capabilities_take(&r, &c), 0);

	c.data_transfer_size = c.max_message_size = 41;
	w = byte_writer(buffer, sizeof(buffer));
	spdm_capabilities_put(&w, &c);
	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_capabilities_take(&r, &c), -EBADMSG);

	/* Different sizes only with chunking, and never the smaller one for whole messages. */
	c.data_transfer_size = 42;
	c.max_message_size = 4096;
	w = byte_writer(buffer, sizeof(buffer));
	spdm_capabilities_put(&w, &c);
	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_capabilities_take(&r, &c), -EBADMSG);
	c.flags = SPDM_CAP_CHUNK;
	w = byte_writer(buffer, sizeof(buffer));
	spdm_capabilities_put(&w, &c);
	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_capabilities_take(&r, &c), 0);
	c.max_message_size = 41;
	w = byte_writer(buffer, sizeof(buffer));
	spdm_capabilities_put(&w, &c);
	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_capabilities_take(&r, &c), -EBADMSG);
}

Test(spdm, algorithm_tables)
{
	const size_t offset = vca_part[5].offset, size = vca_part[5].size;
	static const struct {
		size_t at;
		uint8_t value;
	} lies[] = {
		{ 2, 3 },     /* fewer tables than the length says */
		{ 2, 5 },     /* more */
		{ 4, 0x33 },  /* length */
		{ 5, 0x01 },  /* length, high byte */
		{ 36, 1 },    /* table below the first */
		{ 48, 6 },    /* table behind the last */
		{ 40, 2 },    /* same table twice */
		{ 44, 2 },    /* not ascending */
		{ 37, 0x21 }, /* with an external algorithm */
		{ 37, 0x40 }, /* four bytes wide */
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint8_t copy[64];
		ByteReader r = byte_reader(copy, size);
		SpdmAlgorithms a;

		memcpy(copy, capture_vca + offset, size);
		copy[lies[i].at] = lies[i].value;
		cr_assert_eq(spdm_algorithms_take(&r, &a), -EBADMSG, "lie %zu", i);
	}
}

Test(spdm, broken_measurements)
{
	const uint8_t *response = capture_measurements + REQUEST_SIZE;
	const size_t size = sizeof(capture_measurements) - REQUEST_SIZE;

	break_message(capture_measurements, REQUEST_SIZE, 0);
	break_message(response, size, 96);
	reserved_byte(capture_measurements, REQUEST_SIZE, 2);
	reserved_byte(capture_measurements, REQUEST_SIZE, 36); /* slot */
	reserved_byte(response, size, 3);
	reserved_byte(response, size, 7); /* a record of 8 MiB */
}

Test(spdm, measurements_contradict)
{
	SpdmMeasurements m = { .n_blocks = 1 }, out;
	uint8_t buffer[64];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	ByteReader r;

	spdm_measurements_put(&w, &m);
	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_measurements_take(&r, 0, &out), -EBADMSG, "blocks without a record");
	m = (SpdmMeasurements){ .content_changed = 3 };
	w = byte_writer(buffer, sizeof(buffer));
	spdm_measurements_put(&w, &m);
	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_measurements_take(&r, 0, &out), -EBADMSG, "reserved value");
}

Test(spdm, broken_others)
{
	uint8_t digests[2 * DIGEST_SIZE] = { 1 }, body[3] = { 7, 8, 9 }, buffer[256];
	ByteWriter w;

	w = byte_writer(buffer, sizeof(buffer));
	spdm_get_digests_put(&w);
	break_message(buffer, w.used, 0);
	reserved_byte(buffer, w.used, 3);

	w = byte_writer(buffer, sizeof(buffer));
	spdm_digests_put(&w, &(SpdmDigests){ 0x81, 2, digests });
	break_message(buffer, w.used, 0);
	reserved_byte(buffer, w.used, 2);

	w = byte_writer(buffer, sizeof(buffer));
	spdm_get_certificate_put(&w, &(SpdmGetCertificate){ 7, 16, 1024 });
	break_message(buffer, w.used, 0);
	buffer[2] = 8;
	cr_assert_eq(spdm_get_certificate_take(&(ByteReader){ .at = buffer, .left = w.used },
					       &(SpdmGetCertificate){}),
		     -EBADMSG, "slot 8");

	w = byte_writer(buffer, sizeof(buffer));
	spdm_certificate_put(&w, &(SpdmCertificate){ 0, 3, 5, body });
	break_message(buffer, w.used, 0);
	w = byte_writer(buffer, sizeof(buffer));
	spdm_certificate_put(&w, &(SpdmCertificate){ 0, 0, 5, NULL });
	cr_assert_eq(spdm_certificate_take(&(ByteReader){ .at = buffer, .left = w.used },
					   &(SpdmCertificate){}),
		     -EBADMSG, "an empty portion with more to come");

	w = byte_writer(buffer, sizeof(buffer));
	spdm_vendor_defined_put(&w, SPDM_VENDOR_DEFINED_REQUEST,
				&(SpdmVendorDefined){ SPDM_PROTOCOL_TDISP, 3, body });
	break_message(buffer, w.used, 0);
	for (size_t i = 4; i < 9; i++)
		reserved_byte(buffer, w.used, i); /* registry, vendor id and their sizes */
	buffer[9] = buffer[10] = 0;
	cr_assert_eq(spdm_vendor_defined_take(&(ByteReader){ .at = buffer, .left = w.used },
					      SPDM_VENDOR_DEFINED_REQUEST, &(SpdmVendorDefined){}),
		     -EBADMSG, "without a protocol byte");

	w = byte_writer(buffer, sizeof(buffer));
	spdm_error_put(&w, &(SpdmError){ .code = SPDM_ERROR_RESPONSE_NOT_READY });
	cr_assert_eq(w.used, 8);
	break_message(buffer, w.used, 0);
}

Test(spdm, writer_refuses)
{
	uint8_t buffer[16];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));

	spdm_version_put(&w, &(SpdmVersions){ .n_entries = 0 });
	cr_assert(w.failed);
	w = byte_writer(buffer, sizeof(buffer));
	spdm_digests_put(&w, &(SpdmDigests){ 3, 1, buffer });
	cr_assert(w.failed);
	w = byte_writer(buffer, 19);
	spdm_capabilities_put(&w, &(SpdmCapabilities){});
	cr_assert(w.failed);
}

Test(spdm, capture_negotiation)
{
	ByteReader r = byte_reader(capture_vca, sizeof(capture_vca));
	SpdmCapabilities requester, responder;
	SpdmAlgorithms offered, chosen;
	uint8_t buffer[sizeof(capture_vca)];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	SpdmVersions versions;

	cr_assert_eq(spdm_get_version_take(&r), 0);
	cr_assert_eq(spdm_version_take(&r, &versions), 0);
	cr_assert_eq(versions.n_entries, 1);
	cr_assert_eq(versions.entries[0], 0x1200);
	cr_assert_eq(spdm_get_capabilities_take(&r, &requester), 0);
	cr_assert_eq(requester.flags, 0x2c6);
	cr_assert_eq(requester.data_transfer_size, 0x1200);
	cr_assert_eq(spdm_capabilities_take(&r, &responder), 0);
	cr_assert_eq(responder.flags, 0x2d6);
	cr_assert_eq(spdm_negotiate_algorithms_take(&r, &offered), 0);
	cr_assert_eq(spdm_algorithms_take(&r, &chosen), 0);
	cr_assert(bytes_taken_all(&r));
	cr_assert_eq(chosen.measurement_spec, SPDM_MEASUREMENT_SPEC_DMTF);
	cr_assert_eq(chosen.other_params, SPDM_OPAQUE_FORMAT_1);
	cr_assert_eq(chosen.base_asym, SPDM_ASYM_ECDSA_P384);
	cr_assert_eq(chosen.base_hash, SPDM_HASH_SHA384);
	cr_assert_eq(chosen.measurement_hash, SPDM_MEASUREMENT_HASH_SHA384);
	cr_assert_eq(chosen.dhe, SPDM_DHE_SECP384R1);
	cr_assert_eq(chosen.aead, SPDM_AEAD_AES_256_GCM);
	cr_assert_eq(chosen.key_schedule, SPDM_KEY_SCHEDULE_SPDM);
	cr_assert_eq(chosen.tables, 0x3c);

	/* Our encoders make the same bytes of it. */
	spdm_get_version_put(&w);
	spdm_version_put(&w, &versions);
	spdm_get_capabilities_put(&w, &requester);
	spdm_capabilities_put(&w, &responder);
	spdm_negotiate_algorithms_put(&w, &offered);
	spdm_algorithms_put(&w, &chosen);
	cr_assert_not(w.failed);
	cr_assert_eq(w.used, sizeof(capture_vca));
	cr_assert_arr_eq(buffer, capture_vca, sizeof(capture_vca));
}

Test(spdm, capture_measurements)
{
	ByteReader r = byte_reader(capture_measurements, sizeof(capture_measurements));
	uint8_t buffer[sizeof(capture_measurements)];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	SpdmGetMeasurements request;
	SpdmMeasurements response;

	cr_assert_eq(spdm_get_measurements_take(&r, &request), 0);
	cr_assert(request.sign);
	cr_assert_not(request.raw);
	cr_assert_eq(request.operation, SPDM_MEASURE_ALL);
	cr_assert_eq(request.slot, 0);
	cr_assert_eq(spdm_measurements_take(&r, 96, &response), 0);
	cr_assert(bytes_taken_all(&r));
	cr_assert_eq(response.n_blocks, 8);
	cr_assert_eq(response.record_size, 448);
	cr_assert_eq(response.content_changed, SPDM_CONTENT_UNCHANGED);

	spdm_get_measurements_put(&w, &request);
	spdm_measurements_put(&w, &response);
	bytes_put(&w, response.signature, response.signature_size);
	cr_assert_eq(w.used, sizeof(capture_measurements));
	cr_assert_arr_eq(buffer, capture_measurements, sizeof(buffer));
}

Test(spdm, padding_stays_behind)
{
	uint8_t padded[64] = {};
	ByteWriter w = byte_writer(padded, sizeof(padded));
	ByteReader r = byte_reader(padded, 40);
	SpdmGetMeasurements g;

	spdm_get_measurements_put(&w, &(SpdmGetMeasurements){ .sign = true, .slot = 1 });
	cr_assert_eq(w.used, 37);
	cr_assert_eq(spdm_get_measurements_take(&r, &g), 0);
	cr_assert_eq(r.left, 3);
	cr_assert_eq(g.slot, 1);
}

Test(spdm, round_trips)
{
	uint8_t digests[2 * DIGEST_SIZE] = { 1, 2, 3 }, body[3] = { 7, 8, 9 }, buffer[256];
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	SpdmGetCertificate get_certificate;
	SpdmCertificate certificate;
	SpdmVendorDefined vendor;
	SpdmDigests d;
	SpdmError error;
	ByteReader r;

	spdm_digests_put(&w, &(SpdmDigests){ 0x05, 2, digests });
	spdm_get_certificate_put(&w, &(SpdmGetCertificate){ 3, 16, 1024 });
	spdm_certificate_put(&w, &(SpdmCertificate){ 3, 3, 5, body });
	spdm_vendor_defined_put(&w, SPDM_VENDOR_DEFINED_RESPONSE,
				&(SpdmVendorDefined){ SPDM_PROTOCOL_TDISP, 3, body });
	spdm_error_put(&w, &(SpdmError){ .code = SPDM_ERROR_UNSUPPORTED_REQUEST, .data = 0xe4 });
	cr_assert_not(w.failed);

	r = byte_reader(buffer, w.used);
	cr_assert_eq(spdm_digests_take(&r, &d), 0);
	cr_assert_eq(d.slot_mask, 5);
	cr_assert_arr_eq(d.digests, digests, sizeof(digests));
	cr_assert_eq(spdm_get_certificate_take(&r, &get_certificate), 0);
	cr_assert_eq(get_certificate.slot, 3);
	cr_assert_eq(get_certificate.offset, 16);
	cr_assert_eq(get_certificate.length, 1024);
	cr_assert_eq(spdm_certificate_take(&r, &certificate), 0);
	cr_assert_eq(certificate.portion_size, 3);
	cr_assert_eq(certificate.remainder, 5);
	cr_assert_arr_eq(certificate.portion, body, 3);
	cr_assert_eq(spdm_vendor_defined_take(&r, SPDM_VENDOR_DEFINED_RESPONSE, &vendor), 0);
	cr_assert_eq(vendor.protocol, SPDM_PROTOCOL_TDISP);
	cr_assert_eq(vendor.body_size, 3);
	cr_assert_arr_eq(vendor.body, body, 3);
	cr_assert_eq(spdm_error_take(&r, &error), 0);
	cr_assert_eq(error.code, SPDM_ERROR_UNSUPPORTED_REQUEST);
	cr_assert_eq(error.data, 0xe4);
	cr_assert(bytes_taken_all(&r));
}
