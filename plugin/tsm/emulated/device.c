/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The SPDM connection goes through these states, moved by the requester alone:
 *
 *	START --GET_VERSION--> VERSION --GET_CAPABILITIES--> CAPABILITIES
 *	      --NEGOTIATE_ALGORITHMS--> NEGOTIATED: everything else
 *
 * GET_VERSION is legal in all of them and begins anew; what was agreed before is lost, and with it
 * every TDI that was locked. The six messages are kept as they went by ("VCA"): later signatures
 * cover them, as they do GET_MEASUREMENTS without a signature that came before one with, unless
 * something else was asked in between.
 */
#include "device.h"

#include "common/random.h"
#include "core/measurements.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#define VCA_MAX		  256
#define EARLIER_MAX	  4096
#define CERT_PORTION	  1024
#define VERSION_ENTRY_1_2 0x1200
#define SLOT		  0

typedef enum ConnectionState {
	CONNECTION_START,
	CONNECTION_VERSION,
	CONNECTION_CAPABILITIES,
	CONNECTION_NEGOTIATED,
} ConnectionState;

struct Device {
	EVP_PKEY *key;
	Blob chain;
	Digest chain_digest;
	Blob record;
	unsigned int n_blocks;
	DeviceFindFunction find_function;
	void *userdata;

	ConnectionState state;
	uint8_t vca[VCA_MAX];
	size_t vca_size;
	uint8_t earlier[EARLIER_MAX]; /* unsigned GET_MEASUREMENTS and their answers */
	size_t earlier_size;

	DeviceInterface **interfaces;
	size_t n_interfaces;
};

int device_new(Device **ret, const DeviceOptions *options)
{
	_cleanup_(device_freep) Device *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	r = blob_set(&d->chain, options->chain, options->chain_size);
	if (r == 0)
		r = digest_of(&d->chain_digest, d->chain.data, d->chain.size);
	if (r == 0)
		r = blob_set(&d->record, options->record, options->record_size);
	if (r < 0)
		return r;
	if (EVP_PKEY_up_ref(options->key) != 1)
		return -EIO;
	d->key = options->key;
	d->n_blocks = options->n_blocks;
	d->find_function = options->find_function;
	d->userdata = options->userdata;
	*ret = steal_ptr(d);
	return 0;
}

Device *device_free(Device *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < d->n_interfaces; i++) {
		device_interface_done(d->interfaces[i]);
		free(d->interfaces[i]);
	}
	free(d->interfaces);
	blob_done(&d->chain);
	blob_done(&d->record);
	EVP_PKEY_free(d->key);
	free(d);
	return NULL;
}

DeviceInterface *device_interface(Device *d, Bdf bdf)
{
	DeviceInterface **list, *interface;

	for (size_t i = 0; i < d->n_interfaces; i++)
		if (bdf_equal(d->interfaces[i]->bdf, bdf))
			return d->interfaces[i];
	list = reallocarray(d->interfaces, d->n_interfaces + 1, sizeof(*list));
	if (!list)
		return NULL;
	d->interfaces = list;
	interface = calloc(1, sizeof(*interface));
	if (!interface)
		return NULL;
	interface->bdf = bdf;
	d->interfaces[d->n_interfaces++] = interface;
	return interface;
}

void device_reset(Device *d)
{
	d->state = CONNECTION_START;
	d->vca_size = d->earlier_size = 0;
	for (size_t i = 0; i < d->n_interfaces; i++)
		device_interface_violate(d->interfaces[i]);
}

/* A request in hand. The handlers return 0 or an SpdmErrorCode. */
typedef struct Exchange {
	Device *device;
	const void *request;
	size_t request_size;
	SpdmHeader header;
	ByteWriter *response;
} Exchange;

static int answer_version(Exchange *x)
{
	const SpdmVersions versions = { .n_entries = 1, .entries = { VERSION_ENTRY_1_2 } };
	ByteReader r = byte_reader(x->request, x->request_size);

	if (spdm_get_version_take(&r) < 0 || !bytes_taken_all(&r))
		return SPDM_ERROR_INVALID_REQUEST;
	device_reset(x->device);
	spdm_version_put(x->response, &versions);
	x->device->state = CONNECTION_VERSION;
	return 0;
}

static int answer_capabilities(Exchange *x)
{
	const SpdmCapabilities mine = {
		.flags = SPDM_CAP_CERTIFICATE | SPDM_CAP_MEASUREMENTS_SIGNED |
			 SPDM_CAP_MEASUREMENTS_FRESH,
		.data_transfer_size = DEVICE_MESSAGE_MAX,
		.max_message_size = DEVICE_MESSAGE_MAX,
	};
	ByteReader r = byte_reader(x->request, x->request_size);
	SpdmCapabilities theirs;

	if (spdm_get_capabilities_take(&r, &theirs) < 0 || !bytes_taken_all(&r))
		return SPDM_ERROR_INVALID_REQUEST;
	spdm_capabilities_put(x->response, &mine);
	x->device->state = CONNECTION_CAPABILITIES;
	return 0;
}

static int answer_algorithms(Exchange *x)
{
	ByteReader r = byte_reader(x->request, x->request_size);
	SpdmAlgorithms offered, chosen;

	if (spdm_negotiate_algorithms_take(&r, &offered) < 0 || !bytes_taken_all(&r))
		return SPDM_ERROR_INVALID_REQUEST;
	chosen = (SpdmAlgorithms){
		.measurement_spec = offered.measurement_spec & SPDM_MEASUREMENT_SPEC_DMTF,
		.other_params = offered.other_params & SPDM_OPAQUE_FORMAT_1,
		.measurement_hash = SPDM_MEASUREMENT_HASH_SHA384,
		.base_asym = offered.base_asym & SPDM_ASYM_ECDSA_P384,
		.base_hash = offered.base_hash & SPDM_HASH_SHA384,
		.dhe = offered.dhe & SPDM_DHE_SECP384R1,
		.aead = offered.aead & SPDM_AEAD_AES_256_GCM,
		.key_schedule = offered.key_schedule & SPDM_KEY_SCHEDULE_SPDM,
		.tables = offered.tables,
	};
	if (!chosen.measurement_spec || !chosen.base_asym || !chosen.base_hash)
		return SPDM_ERROR_INVALID_REQUEST;
	spdm_algorithms_put(x->response, &chosen);
	x->device->state = CONNECTION_NEGOTIATED;
	return 0;
}

static int answer_digests(Exchange *x)
{
	ByteReader r = byte_reader(x->request, x->request_size);

	if (spdm_get_digests_take(&r) < 0 || !bytes_taken_all(&r))
		return SPDM_ERROR_INVALID_REQUEST;
	spdm_digests_put(x->response, &(SpdmDigests){ .slot_mask = 1 << SLOT,
						      .n_digests = 1,
						      .digests = x->device->chain_digest.bytes });
	return 0;
}

static int answer_certificate(Exchange *x)
{
	ByteReader r = byte_reader(x->request, x->request_size);
	const Blob *chain = &x->device->chain;
	SpdmGetCertificate g;
	size_t left, n;

	if (spdm_get_certificate_take(&r, &g) < 0 || !bytes_taken_all(&r) || g.slot != SLOT ||
	    g.offset >= chain->size || g.length == 0)
		return SPDM_ERROR_INVALID_REQUEST;
	left = chain->size - g.offset;
	n = g.length < CERT_PORTION ? g.length : CERT_PORTION;
	n = n < left ? n : left;
	spdm_certificate_put(x->response, &(SpdmCertificate){ .slot = SLOT,
							      .portion_size = (uint16_t)n,
							      .remainder = (uint16_t)(left - n),
							      .portion = chain->data + g.offset });
	return 0;
}

/* What an unsigned request adds to the next signature's transcript. */
static int remember_earlier(Exchange *x, size_t start)
{
	Device *d = x->device;
	ByteWriter w = byte_writer(d->earlier, sizeof(d->earlier));

	w.used = d->earlier_size;
	bytes_put(&w, x->request, x->request_size);
	bytes_put(&w, x->response->start + start, x->response->used - start);
	if (w.failed) {
		d->earlier_size = 0;
		return SPDM_ERROR_UNSPECIFIED;
	}
	d->earlier_size = w.used;
	return 0;
}

static int answer_measurements(Exchange *x)
{
	Device *d = x->device;
	ByteReader r = byte_reader(x->request, x->request_size);
	MeasurementsSource source = {
		.vca = d->vca,
		.vca_size = d->vca_size,
		.earlier = d->earlier,
		.earlier_size = d->earlier_size,
		.record = d->record.data,
		.record_size = d->record.size,
		.n_blocks = d->n_blocks,
		.content_changed = SPDM_CONTENT_UNCHANGED,
		.slot = SLOT,
		.key = d->key,
	};
	size_t start = x->response->used;
	SpdmGetMeasurements g;
	int k;

	if (spdm_get_measurements_take(&r, &g) < 0 || !bytes_taken_all(&r))
		return SPDM_ERROR_INVALID_REQUEST;
	if (random_public(source.nonce, sizeof(source.nonce)) < 0)
		return SPDM_ERROR_UNSPECIFIED;
	k = measurements_answer(x->response, &source, x->request, x->request_size);
	if (k == -EBADMSG || k == -ENOENT)
		return SPDM_ERROR_INVALID_REQUEST;
	if (k < 0)
		return SPDM_ERROR_UNSPECIFIED;
	if (!g.sign)
		return remember_earlier(x, start);
	d->earlier_size = 0;
	return 0;
}

/* 0, or a TdispError to answer with. */
static int find_interface(Device *d, const TdispRequest *request, HostFunction *function,
			  DeviceInterface **ret)
{
	Bdf bdf;

	if (tdisp_function_id_to_bdf(&bdf, request->function_id) < 0)
		return TDISP_ERROR_INVALID_INTERFACE;
	/* A function that is gone (VFs disabled) can still be stopped. */
	if (d->find_function(d->userdata, bdf, function) < 0 &&
	    request->message != TDISP_MSG_STOP_INTERFACE &&
	    request->message != TDISP_MSG_GET_DEVICE_INTERFACE_STATE)
		return TDISP_ERROR_INVALID_INTERFACE;
	*ret = device_interface(d, bdf);
	return *ret ? 0 : TDISP_ERROR_UNSPECIFIED;
}

static int answer_vendor_defined(Exchange *x)
{
	ByteReader r = byte_reader(x->request, x->request_size);
	uint8_t body[TDISP_HEADER_SIZE + 4 + 256];
	DeviceInterface *interface;
	HostFunction function;
	TdispResponse response;
	SpdmVendorDefined v;
	TdispRequest request;
	size_t size;
	int k;

	if (spdm_vendor_defined_take(&r, SPDM_VENDOR_DEFINED_REQUEST, &v) < 0 ||
	    !bytes_taken_all(&r) || v.protocol != SPDM_PROTOCOL_TDISP)
		return SPDM_ERROR_INVALID_REQUEST;
	k = tdisp_request_parse(&request, v.body, v.body_size);
	if (k < 0)
		return SPDM_ERROR_INVALID_REQUEST;
	if (k == 0)
		k = find_interface(x->device, &request, &function, &interface);
	if (k == 0)
		device_interface_answer(interface, &function, &request, &response);
	else
		response = tdisp_error_response(&request, k);
	if (tdisp_response_encode(&response, body, sizeof(body), &size) < 0)
		return SPDM_ERROR_UNSPECIFIED;
	spdm_vendor_defined_put(x->response, SPDM_VENDOR_DEFINED_RESPONSE,
				&(SpdmVendorDefined){ .protocol = SPDM_PROTOCOL_TDISP,
						      .body_size = (uint16_t)size,
						      .body = body });
	return 0;
}

static int answer(Exchange *x)
{
	static const struct {
		uint8_t code;
		ConnectionState state;
		int (*answer)(Exchange *x);
	} requests[] = {
		{ SPDM_GET_CAPABILITIES, CONNECTION_VERSION, answer_capabilities },
		{ SPDM_NEGOTIATE_ALGORITHMS, CONNECTION_CAPABILITIES, answer_algorithms },
		{ SPDM_GET_DIGESTS, CONNECTION_NEGOTIATED, answer_digests },
		{ SPDM_GET_CERTIFICATE, CONNECTION_NEGOTIATED, answer_certificate },
		{ SPDM_GET_MEASUREMENTS, CONNECTION_NEGOTIATED, answer_measurements },
		{ SPDM_VENDOR_DEFINED_REQUEST, CONNECTION_NEGOTIATED, answer_vendor_defined },
	};
	ByteReader r = byte_reader(x->request, x->request_size);

	if (spdm_header_peek(&r, &x->header) < 0)
		return SPDM_ERROR_INVALID_REQUEST;
	if (x->header.code == SPDM_GET_VERSION)
		return answer_version(x);
	if (x->header.version != SPDM_VERSION_1_2)
		return SPDM_ERROR_VERSION_MISMATCH;
	for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
		if (requests[i].code != x->header.code)
			continue;
		return requests[i].state == x->device->state ? requests[i].answer(x)
							     : SPDM_ERROR_UNEXPECTED_REQUEST;
	}
	return SPDM_ERROR_UNSUPPORTED_REQUEST;
}

static void put_error(Exchange *x, int code)
{
	x->response->used = 0;
	x->response->failed = false;
	x->device->earlier_size = 0;
	spdm_error_put(x->response,
		       &(SpdmError){ .code = (uint8_t)code,
				     .data = code == SPDM_ERROR_UNSUPPORTED_REQUEST ? x->header.code
										    : 0 });
}

/* GET_VERSION to ALGORITHMS, as long as they are going on. */
static void remember_vca(Exchange *x, ConnectionState before)
{
	Device *d = x->device;
	ByteWriter w = byte_writer(d->vca, sizeof(d->vca));

	if (before == CONNECTION_NEGOTIATED && d->state == CONNECTION_NEGOTIATED)
		return;
	w.used = d->vca_size;
	bytes_put(&w, x->request, x->request_size);
	bytes_put(&w, x->response->start, x->response->used);
	d->vca_size = w.used;
}

int device_exchange(Device *device, const void *request, size_t request_size, void *response,
		    size_t capacity, size_t *ret_size)
{
	ByteWriter w = byte_writer(response, capacity);
	Exchange x = {
		.device = device,
		.request = request,
		.request_size = request_size,
		.response = &w,
	};
	ConnectionState before = device->state;
	int code = answer(&x);

	if (code == 0 && w.failed)
		code = SPDM_ERROR_UNSPECIFIED;
	if (code == 0 && x.header.code != SPDM_GET_MEASUREMENTS)
		device->earlier_size = 0;
	if (code)
		put_error(&x, code);
	else
		remember_vca(&x, before);
	if (w.failed)
		return -ENOSPC;
	*ret_size = w.used;
	return 0;
}
