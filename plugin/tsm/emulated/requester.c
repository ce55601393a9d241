/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester.h"

#include "core/measurements.h"
#include "core/refusal.h"
#include "core/vca.h"

#include <errno.h>
#include <string.h>

#define REPORT_PORTION 1024
/* More is taken for a device that answers without end. */
#define MAX_PORTIONS 1024

void requester_done(Requester *q)
{
	blob_done(&q->vca);
}

/* One request in `request`, its response in `response`, which is no SPDM ERROR. */
typedef struct Pair {
	uint8_t request_bytes[256];
	uint8_t response[SPDM_MAX_MESSAGE_SIZE];
	ByteWriter request;
	size_t response_size;
} Pair;

static void pair_begin(Pair *p)
{
	p->request = byte_writer(p->request_bytes, sizeof(p->request_bytes));
}

static int pair_exchange(Requester *q, Pair *p, const char *name, char **ret_error)
{
	SpdmHeader header;
	SpdmError error;
	ByteReader r;
	int k;

	if (p->request.failed)
		return -ENOSPC;
	k = q->exchange(q->userdata, p->request.start, p->request.used, p->response,
			sizeof(p->response), &p->response_size);
	if (k < 0)
		return refuse(ret_error, k, "%s: the device does not answer: %s", name,
			      strerror(-k));
	r = byte_reader(p->response, p->response_size);
	if (spdm_header_peek(&r, &header) < 0)
		return refuse(ret_error, -EBADMSG, "%s: the device's answer has %zu bytes", name,
			      p->response_size);
	if (header.code != SPDM_ERROR)
		return 0;
	if (spdm_error_take(&r, &error) < 0 || !bytes_taken_all(&r))
		return refuse(ret_error, -EBADMSG, "%s: the device's SPDM ERROR is malformed",
			      name);
	return refuse(ret_error, -EREMOTEIO,
		      "%s: the device answers SPDM ERROR 0x%02x, data 0x%02x", name, error.code,
		      error.data);
}

/* The response is parsed by `taken`, which has to have used all of it. */
static int pair_check(const ByteReader *r, int taken, const char *name, char **ret_error)
{
	if (taken == 0 && bytes_taken_all(r))
		return 0;
	return refuse(ret_error, -EBADMSG, "%s: the device's answer is malformed", name);
}

static int append(Blob *blob, const void *data, size_t size)
{
	uint8_t *more = realloc(blob->data, blob->size + size + 1);

	if (!more)
		return -ENOMEM;
	memcpy(more + blob->size, data, size);
	blob->data = more;
	blob->size += size;
	return 0;
}

static int append_pair(Blob *blob, const Pair *p)
{
	int r = append(blob, p->request.start, p->request.used);

	return r < 0 ? r : append(blob, p->response, p->response_size);
}

int requester_negotiate(Requester *q, char **ret_error)
{
	const SpdmCapabilities capabilities = {
		.data_transfer_size = SPDM_MAX_MESSAGE_SIZE,
		.max_message_size = SPDM_MAX_MESSAGE_SIZE,
	};
	const SpdmAlgorithms offer = {
		.measurement_spec = SPDM_MEASUREMENT_SPEC_DMTF,
		.other_params = SPDM_OPAQUE_FORMAT_1,
		.base_asym = SPDM_ASYM_ECDSA_P384,
		.base_hash = SPDM_HASH_SHA384,
		.dhe = SPDM_DHE_SECP384R1,
		.aead = SPDM_AEAD_AES_256_GCM,
		.key_schedule = SPDM_KEY_SCHEDULE_SPDM,
		.tables = SPDM_TABLE_DHE | SPDM_TABLE_AEAD | SPDM_TABLE_KEY_SCHEDULE,
	};
	_cleanup_blob_ Blob vca = {};
	Vca parsed;
	Pair p;
	int r;

	for (unsigned int step = 0; step < 3; step++) {
		static const char *const names[] = { "GET_VERSION", "GET_CAPABILITIES",
						     "NEGOTIATE_ALGORITHMS" };

		pair_begin(&p);
		if (step == 0)
			spdm_get_version_put(&p.request);
		else if (step == 1)
			spdm_get_capabilities_put(&p.request, &capabilities);
		else
			spdm_negotiate_algorithms_put(&p.request, &offer);
		r = pair_exchange(q, &p, names[step], ret_error);
		if (r == 0)
			r = append_pair(&vca, &p);
		if (r < 0)
			return r;
	}
	r = vca_parse(&parsed, vca.data, vca.size, ret_error);
	if (r < 0)
		return -EBADMSG;
	if (parsed.chosen.base_asym != offer.base_asym ||
	    parsed.chosen.base_hash != offer.base_hash ||
	    parsed.chosen.measurement_hash != SPDM_MEASUREMENT_HASH_SHA384)
		return refuse(ret_error, -EREMOTEIO,
			      "the device does not speak ECDSA P-384 with SHA-384");
	if (!(parsed.responder.flags & SPDM_CAP_CERTIFICATE) ||
	    !(parsed.responder.flags & SPDM_CAP_MEASUREMENTS_SIGNED))
		return refuse(ret_error, -EREMOTEIO,
			      "the device offers no certificates or no signed measurements");
	blob_done(&q->vca);
	q->vca = blob_steal(&vca);
	return 0;
}

static int get_digest(Requester *q, uint8_t slot, Digest *ret, char **ret_error)
{
	SpdmDigests digests;
	ByteReader r;
	size_t before;
	Pair p;
	int k;

	pair_begin(&p);
	spdm_get_digests_put(&p.request);
	k = pair_exchange(q, &p, "GET_DIGESTS", ret_error);
	if (k < 0)
		return k;
	r = byte_reader(p.response, p.response_size);
	k = pair_check(&r, spdm_digests_take(&r, &digests), "GET_DIGESTS", ret_error);
	if (k < 0)
		return k;
	if (!(digests.slot_mask & 1U << slot))
		return refuse(ret_error, -EREMOTEIO,
			      "SPDM certificate slot %u is empty (device provisioned?)", slot);
	before = (size_t)__builtin_popcount(digests.slot_mask & ((1U << slot) - 1));
	memcpy(ret->bytes, digests.digests + before * DIGEST_SIZE, DIGEST_SIZE);
	return 0;
}

/* Appends one portion. 1: that was the last. */
static int get_portion(Requester *q, uint8_t slot, Blob *chain, char **ret_error)
{
	SpdmCertificate certificate;
	SpdmGetCertificate get = {
		.slot = slot,
		.offset = (uint16_t)chain->size,
		.length = UINT16_MAX,
	};
	ByteReader r;
	Pair p;
	int k;

	pair_begin(&p);
	spdm_get_certificate_put(&p.request, &get);
	k = pair_exchange(q, &p, "GET_CERTIFICATE", ret_error);
	if (k < 0)
		return k;
	r = byte_reader(p.response, p.response_size);
	k = pair_check(&r, spdm_certificate_take(&r, &certificate), "GET_CERTIFICATE", ret_error);
	if (k < 0)
		return k;
	if (certificate.slot != slot || certificate.portion_size == 0 ||
	    chain->size + certificate.portion_size + certificate.remainder > UINT16_MAX)
		return refuse(ret_error, -EBADMSG,
			      "GET_CERTIFICATE: slot %u, %u bytes and %u to come make no sense at "
			      "offset %zu",
			      certificate.slot, certificate.portion_size, certificate.remainder,
			      chain->size);
	k = append(chain, certificate.portion, certificate.portion_size);
	if (k < 0)
		return k;
	return certificate.remainder == 0;
}

int requester_certificates(Requester *q, uint8_t slot, Blob *ret, Digest *ret_digest,
			   char **ret_error)
{
	_cleanup_blob_ Blob chain = {};
	Digest said, is;
	int r;

	r = get_digest(q, slot, &said, ret_error);
	for (unsigned int i = 0; r == 0; i++)
		r = i < MAX_PORTIONS ? get_portion(q, slot, &chain, ret_error)
				     : refuse(ret_error, -EBADMSG, "GET_CERTIFICATE: no end");
	if (r < 0)
		return r;
	r = digest_of(&is, chain.data, chain.size);
	if (r < 0)
		return r;
	if (!digest_equal(&said, &is))
		return refuse(ret_error, -EBADMSG,
			      "the certificate chain is not the one that DIGESTS named");
	blob_done(ret);
	*ret = blob_steal(&chain);
	*ret_digest = is;
	return 0;
}

int requester_measure(Requester *q, uint8_t slot, const uint8_t nonce[static SPDM_NONCE_SIZE],
		      EVP_PKEY *key, Blob *ret, char **ret_error)
{
	SpdmGetMeasurements get = { .sign = true, .operation = SPDM_MEASURE_ALL, .slot = slot };
	const MeasurementsCheck check = {
		.vca = q->vca.data,
		.vca_size = q->vca.size,
		.key = key,
		.slot = slot,
		.nonce = nonce,
	};
	_cleanup_blob_ Blob transcript = {};
	_cleanup_free_ MeasurementSet *set = malloc(sizeof(*set));
	Pair p;
	int r;

	if (!set)
		return -ENOMEM;
	memcpy(get.nonce, nonce, sizeof(get.nonce));
	pair_begin(&p);
	spdm_get_measurements_put(&p.request, &get);
	r = pair_exchange(q, &p, "GET_MEASUREMENTS", ret_error);
	if (r == 0)
		r = append_pair(&transcript, &p);
	if (r < 0)
		return r;
	r = measurements_verify(set, transcript.data, transcript.size, &check, ret_error);
	if (r < 0)
		return r == -EIO ? r : -EBADMSG;
	blob_done(ret);
	*ret = blob_steal(&transcript);
	return 0;
}

/* One TDISP request; a TDISP_ERROR is -EREMOTEIO. *ret borrows from *p. */
static int tdisp_exchange(Requester *q, Pair *p, const TdispRequest *request, TdispResponse *ret,
			  char **ret_error)
{
	const char *name = tdisp_message_name(request->message);
	SpdmVendorDefined v = { .protocol = SPDM_PROTOCOL_TDISP };
	uint8_t body[TDISP_REQUEST_MAX];
	ByteReader r;
	size_t size;
	int k;

	k = tdisp_request_encode(request, body, sizeof(body), &size);
	if (k < 0)
		return k;
	v.body = body;
	v.body_size = (uint16_t)size;
	pair_begin(p);
	spdm_vendor_defined_put(&p->request, SPDM_VENDOR_DEFINED_REQUEST, &v);
	k = pair_exchange(q, p, name, ret_error);
	if (k < 0)
		return k;
	r = byte_reader(p->response, p->response_size);
	k = pair_check(&r, spdm_vendor_defined_take(&r, SPDM_VENDOR_DEFINED_RESPONSE, &v), name,
		       ret_error);
	if (k < 0)
		return k;
	if (v.protocol != SPDM_PROTOCOL_TDISP)
		return refuse(ret_error, -EBADMSG, "%s: the device's answer is of protocol %u",
			      name, v.protocol);
	k = tdisp_response_parse(ret, request, v.body, v.body_size, ret_error);
	if (k < 0)
		return k;
	if (ret->message == TDISP_MSG_ERROR)
		return refuse(ret_error, -EREMOTEIO, "%s: the device answers %s (0x%x)", name,
			      tdisp_error_name(ret->error.code), ret->error.code);
	return 0;
}

static int simple(Requester *q, TdispMessage message, uint32_t function_id, TdispResponse *ret,
		  Pair *p, char **ret_error)
{
	const TdispRequest request = { .message = message, .function_id = function_id };

	return tdisp_exchange(q, p, &request, ret, ret_error);
}

int requester_tdisp_check(Requester *q, uint32_t function_id, uint16_t lock_flags, char **ret_error)
{
	static const TdispMessage needed[] = {
		TDISP_MSG_LOCK_INTERFACE,
		TDISP_MSG_GET_DEVICE_INTERFACE_REPORT,
		TDISP_MSG_GET_DEVICE_INTERFACE_STATE,
		TDISP_MSG_START_INTERFACE,
		TDISP_MSG_STOP_INTERFACE,
	};
	TdispResponse response;
	Pair p;
	int r;

	r = simple(q, TDISP_MSG_GET_VERSION, function_id, &response, &p, ret_error);
	if (r < 0)
		return r;
	if (!memchr(response.versions.entries, TDISP_VERSION_1_0, response.versions.n))
		return refuse(ret_error, -EREMOTEIO, "the device does not speak TDISP 1.0");
	r = simple(q, TDISP_MSG_GET_CAPABILITIES, function_id, &response, &p, ret_error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!tdisp_capabilities_has(&response.capabilities, needed[i]))
			return refuse(ret_error, -EREMOTEIO, "the device does not support %s",
				      tdisp_message_name(needed[i]));
	if (lock_flags & ~response.capabilities.lock_flags)
		return refuse(ret_error, -EREMOTEIO,
			      "the device supports lock flags 0x%x, asked for were 0x%x",
			      response.capabilities.lock_flags, lock_flags);
	return 0;
}

int requester_lock(Requester *q, uint32_t function_id, const TdispLock *lock,
		   uint8_t ret_nonce[static TDISP_NONCE_SIZE], char **ret_error)
{
	const TdispRequest request = {
		.message = TDISP_MSG_LOCK_INTERFACE,
		.function_id = function_id,
		.lock = *lock,
	};
	TdispResponse response;
	Pair p;
	int r;

	r = tdisp_exchange(q, &p, &request, &response, ret_error);
	if (r < 0)
		return r;
	memcpy(ret_nonce, response.lock_nonce, TDISP_NONCE_SIZE);
	return 0;
}

int requester_report(Requester *q, uint32_t function_id, Blob *ret, char **ret_error)
{
	_cleanup_free_ uint8_t *buffer = malloc(TDISP_REPORT_MAX);
	TdispReportReader reader;
	int r = 0;

	if (!buffer)
		return -ENOMEM;
	reader = tdisp_report_reader(buffer, TDISP_REPORT_MAX, function_id, REPORT_PORTION);
	for (unsigned int i = 0; r == 0; i++) {
		TdispRequest request = tdisp_report_next(&reader);
		TdispResponse response;
		Pair p;

		if (i == MAX_PORTIONS)
			return refuse(ret_error, -EBADMSG, "DEVICE_INTERFACE_REPORT has no end");
		r = tdisp_exchange(q, &p, &request, &response, ret_error);
		if (r == 0)
			r = tdisp_report_add(&reader, &response, ret_error);
	}
	if (r < 0)
		return r;
	return blob_set(ret, buffer, reader.size);
}

int requester_state(Requester *q, uint32_t function_id, TdispState *ret, char **ret_error)
{
	TdispResponse response;
	Pair p;
	int r;

	r = simple(q, TDISP_MSG_GET_DEVICE_INTERFACE_STATE, function_id, &response, &p, ret_error);
	if (r == 0)
		*ret = response.state;
	return r;
}

int requester_start(Requester *q, uint32_t function_id,
		    const uint8_t nonce[static TDISP_NONCE_SIZE], char **ret_error)
{
	TdispRequest request = { .message = TDISP_MSG_START_INTERFACE, .function_id = function_id };
	TdispResponse response;
	Pair p;

	memcpy(request.start_nonce, nonce, TDISP_NONCE_SIZE);
	return tdisp_exchange(q, &p, &request, &response, ret_error);
}

int requester_stop(Requester *q, uint32_t function_id, char **ret_error)
{
	TdispResponse response;
	Pair p;

	return simple(q, TDISP_MSG_STOP_INTERFACE, function_id, &response, &p, ret_error);
}
