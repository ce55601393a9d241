/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verifier walks the transcript twice: first only as far as needed to find the last pair and
 * its signature, and only when that has been verified are the blocks inside looked at.
 */
#include "core/measurements.h"
#include "core/refusal.h"
#include "core/spdm-signature.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

typedef struct Pair {
	SpdmGetMeasurements request;
	SpdmMeasurements response;
} Pair;

static int pair_take(ByteReader *r, size_t signature_size, Pair *ret, char **ret_error)
{
	int k = spdm_get_measurements_take(r, &ret->request);

	if (k < 0)
		return refuse(ret_error, -EBADMSG,
			      k == -EPROTONOSUPPORT ? "GET_MEASUREMENTS is not of SPDM 1.2"
						    : "GET_MEASUREMENTS is malformed");
	k = spdm_measurements_take(r, ret->request.sign ? signature_size : 0, &ret->response);
	if (k < 0)
		return refuse(ret_error, -EBADMSG,
			      k == -EPROTONOSUPPORT ? "MEASUREMENTS is not of SPDM 1.2"
						    : "MEASUREMENTS is malformed");
	return 0;
}

/* Only the last pair is signed: a signature ends a transcript. */
static int last_pair(Pair *ret, const void *data, size_t size, size_t signature_size,
		     char **ret_error)
{
	ByteReader r = byte_reader(data, size);
	int k;

	if (size == 0)
		return refuse(ret_error, -EBADMSG, "the measurement transcript is empty");
	do {
		k = pair_take(&r, signature_size, ret, ret_error);
		if (k < 0)
			return k;
		if (ret->request.sign && r.left)
			return refuse(ret_error, -EBADMSG,
				      "%zu bytes after the signed MEASUREMENTS", r.left);
	} while (r.left);
	if (!ret->request.sign)
		return refuse(ret_error, -EBADMSG,
			      "the last GET_MEASUREMENTS asks for no signature");
	return 0;
}

static int check_signature(const void *data, size_t size, const SpdmMeasurements *last,
			   const MeasurementsCheck *check, char **ret_error)
{
	struct iovec parts[] = {
		{ (void *)check->vca, check->vca_size },
		{ (void *)data, size - last->signature_size },
	};
	Digest transcript;
	int k = digest_of_parts(&transcript, parts, 2);

	if (k < 0)
		return refuse(ret_error, k, "libcrypto could not hash the measurement transcript");
	k = spdm_signature_verify(last->signature, last->signature_size, check->key,
				  SPDM_CONTEXT_MEASUREMENTS, &transcript);
	if (k < 0)
		return refuse(ret_error, k == -EIO ? -EIO : -EKEYREJECTED,
			      "the signature over the measurements does not verify with the leaf "
			      "certificate's key");
	return 0;
}

static int check_last(const Pair *last, const MeasurementsCheck *check, char **ret_error)
{
	if (CRYPTO_memcmp(last->request.nonce, check->nonce, SPDM_NONCE_SIZE) != 0)
		return refuse(ret_error, -ESTALE,
			      "the measurements answer another nonce than the verifier's");
	if (last->request.slot != check->slot || last->response.slot != check->slot)
		return refuse(
			ret_error, -ESTALE,
			"measurements asked of slot %u and signed by slot %u, expected slot %u",
			last->request.slot, last->response.slot, check->slot);
	return 0;
}

/* The blocks of one pair, and whether they are what the request asked for. */
static int add_blocks(MeasurementSet *set, const Pair *pair, char **ret_error)
{
	const SpdmMeasurements *m = &pair->response;
	uint8_t operation = pair->request.operation;
	size_t n_before = set->n_blocks;
	int k;

	if (m->content_changed == SPDM_CONTENT_CHANGED)
		return refuse(ret_error, -ESTALE,
			      "the device says that its measurements changed while they were read");
	if (operation == SPDM_MEASURE_COUNT ? m->n_blocks != 0 : m->total != 0)
		return refuse(ret_error, -EBADMSG,
			      "MEASUREMENTS to operation 0x%02x has %u blocks and a total of %u",
			      operation, m->n_blocks, m->total);
	k = measurement_set_add(set, m->record, m->record_size, m->n_blocks, ret_error);
	if (k < 0 || operation == SPDM_MEASURE_COUNT || operation == SPDM_MEASURE_ALL)
		return k;
	if (m->n_blocks != 1 || set->blocks[n_before].index != operation)
		return refuse(ret_error, -EBADMSG,
			      "asked for measurement block 0x%02x, got %u blocks%s", operation,
			      m->n_blocks, m->n_blocks == 1 ? ", another one" : "");
	return 0;
}

int measurements_verify(MeasurementSet *ret, const void *data, size_t size,
			const MeasurementsCheck *check, char **ret_error)
{
	ByteReader r = byte_reader(data, size);
	size_t signature_size = spdm_signature_size(check->key);
	Pair pair;
	int k;

	ret->n_blocks = 0;
	if (signature_size == 0)
		return refuse(ret_error, -EKEYREJECTED,
			      "the leaf certificate's key is neither P-384 nor P-256");
	k = last_pair(&pair, data, size, signature_size, ret_error);
	if (k == 0)
		k = check_last(&pair, check, ret_error);
	if (k == 0)
		k = check_signature(data, size, &pair.response, check, ret_error);
	while (k == 0 && r.left) {
		k = pair_take(&r, signature_size, &pair, ret_error);
		if (k == 0)
			k = add_blocks(ret, &pair, ret_error);
	}
	if (k < 0)
		ret->n_blocks = 0;
	return k;
}

/* Which part of the record answers the operation. */
static int select_blocks(SpdmMeasurements *m, const MeasurementsSource *source, uint8_t operation)
{
	ByteReader r = byte_reader(source->record, source->record_size);

	switch (operation) {
	case SPDM_MEASURE_COUNT: m->total = (uint8_t)source->n_blocks; return 0;
	case SPDM_MEASURE_ALL:
		m->n_blocks = (uint8_t)source->n_blocks;
		m->record = source->record;
		m->record_size = (uint32_t)source->record_size;
		return 0;
	}
	while (r.left) {
		const uint8_t *start = r.at;
		uint8_t index = bytes_take_u8(&r);

		bytes_take_u8(&r);
		bytes_take(&r, bytes_take_u16(&r));
		if (r.failed)
			return -ENOENT;
		if (index == operation) {
			m->n_blocks = 1;
			m->record = start;
			m->record_size = (uint32_t)(r.at - start);
			return 0;
		}
	}
	return -ENOENT;
}

static int append_signature(ByteWriter *w, const MeasurementsSource *source, const void *request,
			    size_t request_size, const uint8_t *response, size_t response_size)
{
	struct iovec parts[] = {
		{ (void *)source->vca, source->vca_size },
		{ (void *)source->earlier, source->earlier_size },
		{ (void *)request, request_size },
		{ (void *)response, response_size },
	};
	uint8_t signature[SPDM_SIGNATURE_MAX_SIZE];
	Digest transcript;
	int k = digest_of_parts(&transcript, parts, 4);

	if (k < 0)
		return k;
	k = spdm_signature_make(signature, source->key, SPDM_CONTEXT_MEASUREMENTS, &transcript);
	if (k < 0)
		return -EIO;
	bytes_put(w, signature, spdm_signature_size(source->key));
	return 0;
}

int measurements_answer(ByteWriter *w, const MeasurementsSource *source, const void *request,
			size_t request_size)
{
	ByteReader r = byte_reader(request, request_size);
	SpdmMeasurements m = {};
	SpdmGetMeasurements g;
	size_t start = w->used;
	int k;

	if (spdm_get_measurements_take(&r, &g) < 0 || !bytes_taken_all(&r))
		return -EBADMSG;
	if (g.sign && g.slot != source->slot)
		return -ENOENT;
	k = select_blocks(&m, source, g.operation);
	if (k < 0)
		return k;
	memcpy(m.nonce, source->nonce, SPDM_NONCE_SIZE);
	if (g.sign) {
		m.slot = g.slot;
		m.content_changed = source->content_changed;
	}
	spdm_measurements_put(w, &m);
	if (w->failed)
		return -ENOSPC;
	if (g.sign) {
		k = append_signature(w, source, request, request_size, w->start + start,
				     w->used - start);
		if (k < 0)
			return k;
	}
	return w->failed ? -ENOSPC : 0;
}
