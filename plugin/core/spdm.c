/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Offsets in the comments count from the start of the message, whose first four bytes are version,
 * code, param1, param2. Reserved bytes have to be zero: a 1.2 peer has no reason to set them.
 */
#include "core/spdm.h"

#include <errno.h>

#define VENDOR_REGISTRY_PCI_SIG 3
#define VENDOR_ID_PCI_SIG	1

#define NEGOTIATE_FIXED_SIZE  32
#define ALGORITHMS_FIXED_SIZE 36
#define TABLE_FIRST	      2
#define TABLE_LAST	      5
#define TABLE_COUNT_BYTE      0x20 /* 2 bytes of fixed algorithms, no external ones */

#define MIN_TRANSFER_SIZE 42

static int taken(ByteReader *r)
{
	return r->failed ? -EBADMSG : 0;
}

static int broken(ByteReader *r)
{
	r->failed = true;
	return -EBADMSG;
}

int spdm_header_peek(const ByteReader *r, SpdmHeader *ret)
{
	if (r->failed || r->left < sizeof(SpdmHeader))
		return -EBADMSG;
	*ret = (SpdmHeader){ r->at[0], r->at[1], r->at[2], r->at[3] };
	return 0;
}

static int header_take(ByteReader *r, uint8_t version, uint8_t code, SpdmHeader *ret)
{
	if (spdm_header_peek(r, ret) < 0 || ret->code != code)
		return broken(r);
	if (ret->version != version) {
		r->failed = true;
		return -EPROTONOSUPPORT;
	}
	bytes_take(r, sizeof(SpdmHeader));
	return 0;
}

static void header_put(ByteWriter *w, uint8_t version, uint8_t code, uint8_t param1, uint8_t param2)
{
	bytes_put_u8(w, version);
	bytes_put_u8(w, code);
	bytes_put_u8(w, param1);
	bytes_put_u8(w, param2);
}

/* A message that is nothing but its header. */
static int bare_take(ByteReader *r, uint8_t version, uint8_t code)
{
	SpdmHeader h;
	int k = header_take(r, version, code, &h);

	if (k < 0)
		return k;
	return h.param1 || h.param2 ? broken(r) : 0;
}

int spdm_get_version_take(ByteReader *r)
{
	return bare_take(r, SPDM_VERSION_1_0, SPDM_GET_VERSION);
}

void spdm_get_version_put(ByteWriter *w)
{
	header_put(w, SPDM_VERSION_1_0, SPDM_GET_VERSION, 0, 0);
}

/* 4 reserved, 5 count, 6 entries of 2 bytes */
int spdm_version_take(ByteReader *r, SpdmVersions *ret)
{
	SpdmVersions versions = {};
	SpdmHeader h;
	int k = header_take(r, SPDM_VERSION_1_0, SPDM_VERSION, &h);

	if (k < 0)
		return k;
	bytes_take_zero(r, 1);
	versions.n_entries = bytes_take_u8(r);
	if (h.param1 || h.param2 || versions.n_entries == 0 ||
	    versions.n_entries > SPDM_MAX_VERSIONS)
		return broken(r);
	for (unsigned int i = 0; i < versions.n_entries; i++)
		versions.entries[i] = bytes_take_u16(r);
	if (taken(r) == 0)
		*ret = versions;
	return taken(r);
}

void spdm_version_put(ByteWriter *w, const SpdmVersions *versions)
{
	if (versions->n_entries == 0 || versions->n_entries > SPDM_MAX_VERSIONS) {
		w->failed = true;
		return;
	}
	header_put(w, SPDM_VERSION_1_0, SPDM_VERSION, 0, 0);
	bytes_put_zero(w, 1);
	bytes_put_u8(w, (uint8_t)versions->n_entries);
	for (unsigned int i = 0; i < versions->n_entries; i++)
		bytes_put_u16(w, versions->entries[i]);
}

/* 4 reserved, 5 CT exponent, 6 reserved (2), 8 flags, 12 data transfer size, 16 message size */
static int either_capabilities_take(ByteReader *r, uint8_t code, SpdmCapabilities *ret)
{
	SpdmCapabilities c;
	SpdmHeader h;
	int k = header_take(r, SPDM_VERSION_1_2, code, &h);

	if (k < 0)
		return k;
	bytes_take_zero(r, 1);
	c.ct_exponent = bytes_take_u8(r);
	bytes_take_zero(r, 2);
	c.flags = bytes_take_u32(r);
	c.data_transfer_size = bytes_take_u32(r);
	c.max_message_size = bytes_take_u32(r);
	if (h.param1 || h.param2 || c.data_transfer_size < MIN_TRANSFER_SIZE ||
	    c.max_message_size < c.data_transfer_size)
		return broken(r);
	if (!(c.flags & SPDM_CAP_CHUNK) && c.max_message_size != c.data_transfer_size)
		return broken(r);
	if (taken(r) == 0)
		*ret = c;
	return taken(r);
}

static void either_capabilities_put(ByteWriter *w, uint8_t code, const SpdmCapabilities *c)
{
	header_put(w, SPDM_VERSION_1_2, code, 0, 0);
	bytes_put_zero(w, 1);
	bytes_put_u8(w, c->ct_exponent);
	bytes_put_zero(w, 2);
	bytes_put_u32(w, c->flags);
	bytes_put_u32(w, c->data_transfer_size);
	bytes_put_u32(w, c->max_message_size);
}

int spdm_get_capabilities_take(ByteReader *r, SpdmCapabilities *ret)
{
	return either_capabilities_take(r, SPDM_GET_CAPABILITIES, ret);
}

int spdm_capabilities_take(ByteReader *r, SpdmCapabilities *ret)
{
	return either_capabilities_take(r, SPDM_CAPABILITIES, ret);
}

void spdm_get_capabilities_put(ByteWriter *w, const SpdmCapabilities *capabilities)
{
	either_capabilities_put(w, SPDM_GET_CAPABILITIES, capabilities);
}

void spdm_capabilities_put(ByteWriter *w, const SpdmCapabilities *capabilities)
{
	either_capabilities_put(w, SPDM_CAPABILITIES, capabilities);
}

static uint16_t *table_value(SpdmAlgorithms *a, unsigned int type)
{
	switch (type) {
	case 2: return &a->dhe;
	case 3: return &a->aead;
	case 4: return &a->request_asym;
	case 5: return &a->key_schedule;
	default: return NULL;
	}
}

/* `n` tables: type, 0x20, supported (2), types ascending */
static void tables_take(ByteReader *r, unsigned int n, SpdmAlgorithms *a)
{
	unsigned int before = TABLE_FIRST - 1;

	for (unsigned int i = 0; i < n; i++) {
		unsigned int type = bytes_take_u8(r);
		uint8_t count = bytes_take_u8(r);
		uint16_t value = bytes_take_u16(r);

		if (type <= before || type > TABLE_LAST || count != TABLE_COUNT_BYTE) {
			r->failed = true;
			return;
		}
		*table_value(a, type) = value;
		a->tables |= (uint8_t)(1U << type);
		before = type;
	}
}

static void tables_put(ByteWriter *w, const SpdmAlgorithms *algorithms)
{
	SpdmAlgorithms a = *algorithms;

	for (unsigned int type = TABLE_FIRST; type <= TABLE_LAST; type++) {
		if (!(a.tables & (1U << type)))
			continue;
		bytes_put_u8(w, (uint8_t)type);
		bytes_put_u8(w, TABLE_COUNT_BYTE);
		bytes_put_u16(w, *table_value(&a, type));
	}
}

static unsigned int tables_count(const SpdmAlgorithms *a)
{
	const unsigned int all = SPDM_TABLE_DHE | SPDM_TABLE_AEAD | SPDM_TABLE_REQUEST_ASYM |
				 SPDM_TABLE_KEY_SCHEDULE;

	return (unsigned int)__builtin_popcount(a->tables & all);
}

/*
 * 4 length (2), 6 measurement specification, 7 other parameters, 8 base asym, 12 base hash,
 * 16 reserved (12), 28 external asym count, 29 external hash count, 30 reserved (2), 32 tables
 */
int spdm_negotiate_algorithms_take(ByteReader *r, SpdmAlgorithms *ret)
{
	SpdmAlgorithms a = {};
	SpdmHeader h;
	uint16_t length;
	int k = header_take(r, SPDM_VERSION_1_2, SPDM_NEGOTIATE_ALGORITHMS, &h);

	if (k < 0)
		return k;
	length = bytes_take_u16(r);
	a.measurement_spec = bytes_take_u8(r);
	a.other_params = bytes_take_u8(r);
	a.base_asym = bytes_take_u32(r);
	a.base_hash = bytes_take_u32(r);
	bytes_take_zero(r, 16);
	if (h.param2 || length != NEGOTIATE_FIXED_SIZE + 4U * h.param1)
		return broken(r);
	tables_take(r, h.param1, &a);
	if (taken(r) == 0)
		*ret = a;
	return taken(r);
}

void spdm_negotiate_algorithms_put(ByteWriter *w, const SpdmAlgorithms *a)
{
	unsigned int n = tables_count(a);

	header_put(w, SPDM_VERSION_1_2, SPDM_NEGOTIATE_ALGORITHMS, (uint8_t)n, 0);
	bytes_put_u16(w, (uint16_t)(NEGOTIATE_FIXED_SIZE + 4 * n));
	bytes_put_u8(w, a->measurement_spec);
	bytes_put_u8(w, a->other_params);
	bytes_put_u32(w, a->base_asym);
	bytes_put_u32(w, a->base_hash);
	bytes_put_zero(w, 16);
	tables_put(w, a);
}

/*
 * 4 length (2), 6 measurement specification, 7 other parameters, 8 measurement hash, 12 base asym,
 * 16 base hash, 20 reserved (12), 32 external asym count, 33 external hash count, 34 reserved (2),
 * 36 tables
 */
int spdm_algorithms_take(ByteReader *r, SpdmAlgorithms *ret)
{
	SpdmAlgorithms a = {};
	SpdmHeader h;
	uint16_t length;
	int k = header_take(r, SPDM_VERSION_1_2, SPDM_ALGORITHMS, &h);

	if (k < 0)
		return k;
	length = bytes_take_u16(r);
	a.measurement_spec = bytes_take_u8(r);
	a.other_params = bytes_take_u8(r);
	a.measurement_hash = bytes_take_u32(r);
	a.base_asym = bytes_take_u32(r);
	a.base_hash = bytes_take_u32(r);
	bytes_take_zero(r, 16);
	if (h.param2 || length != ALGORITHMS_FIXED_SIZE + 4U * h.param1)
		return broken(r);
	tables_take(r, h.param1, &a);
	if (taken(r) == 0)
		*ret = a;
	return taken(r);
}

void spdm_algorithms_put(ByteWriter *w, const SpdmAlgorithms *a)
{
	unsigned int n = tables_count(a);

	header_put(w, SPDM_VERSION_1_2, SPDM_ALGORITHMS, (uint8_t)n, 0);
	bytes_put_u16(w, (uint16_t)(ALGORITHMS_FIXED_SIZE + 4 * n));
	bytes_put_u8(w, a->measurement_spec);
	bytes_put_u8(w, a->other_params);
	bytes_put_u32(w, a->measurement_hash);
	bytes_put_u32(w, a->base_asym);
	bytes_put_u32(w, a->base_hash);
	bytes_put_zero(w, 16);
	tables_put(w, a);
}

int spdm_get_digests_take(ByteReader *r)
{
	return bare_take(r, SPDM_VERSION_1_2, SPDM_GET_DIGESTS);
}

void spdm_get_digests_put(ByteWriter *w)
{
	header_put(w, SPDM_VERSION_1_2, SPDM_GET_DIGESTS, 0, 0);
}

/* param2: slot mask; 4 one digest per slot */
int spdm_digests_take(ByteReader *r, SpdmDigests *ret)
{
	SpdmDigests d;
	SpdmHeader h;
	int k = header_take(r, SPDM_VERSION_1_2, SPDM_DIGESTS, &h);

	if (k < 0)
		return k;
	d.slot_mask = h.param2;
	d.n_digests = (unsigned int)__builtin_popcount(h.param2);
	d.digests = bytes_take(r, (size_t)d.n_digests * DIGEST_SIZE);
	if (h.param1)
		return broken(r);
	if (taken(r) == 0)
		*ret = d;
	return taken(r);
}

void spdm_digests_put(ByteWriter *w, const SpdmDigests *digests)
{
	if (digests->n_digests != (unsigned int)__builtin_popcount(digests->slot_mask)) {
		w->failed = true;
		return;
	}
	header_put(w, SPDM_VERSION_1_2, SPDM_DIGESTS, 0, digests->slot_mask);
	bytes_put(w, digests->digests, (size_t)digests->n_digests * DIGEST_SIZE);
}

/* param1: slot; 4 offset (2), 6 length (2) */
int spdm_get_certificate_take(ByteReader *r, SpdmGetCertificate *ret)
{
	SpdmGetCertificate g;
	SpdmHeader h;
	int k = header_take(r, SPDM_VERSION_1_2, SPDM_GET_CERTIFICATE, &h);

	if (k < 0)
		return k;
	g.slot = h.param1;
	g.offset = bytes_take_u16(r);
	g.length = bytes_take_u16(r);
	if (h.param1 >= SPDM_SLOTS || h.param2)
		return broken(r);
	if (taken(r) == 0)
		*ret = g;
	return taken(r);
}

void spdm_get_certificate_put(ByteWriter *w, const SpdmGetCertificate *request)
{
	header_put(w, SPDM_VERSION_1_2, SPDM_GET_CERTIFICATE, request->slot, 0);
	bytes_put_u16(w, request->offset);
	bytes_put_u16(w, request->length);
}

/* param1: slot; 4 portion size (2), 6 remainder (2), 8 portion */
int spdm_certificate_take(ByteReader *r, SpdmCertificate *ret)
{
	SpdmCertificate c;
	SpdmHeader h;
	int k = header_take(r, SPDM_VERSION_1_2, SPDM_CERTIFICATE, &h);

	if (k < 0)
		return k;
	c.slot = h.param1;
	c.portion_size = bytes_take_u16(r);
	c.remainder = bytes_take_u16(r);
	c.portion = bytes_take(r, c.portion_size);
	/* An empty portion with more to come would keep a requester asking for ever. */
	if (h.param1 >= SPDM_SLOTS || h.param2 || (c.portion_size == 0 && c.remainder))
		return broken(r);
	if (taken(r) == 0)
		*ret = c;
	return taken(r);
}

void spdm_certificate_put(ByteWriter *w, const SpdmCertificate *certificate)
{
	header_put(w, SPDM_VERSION_1_2, SPDM_CERTIFICATE, certificate->slot, 0);
	bytes_put_u16(w, certificate->portion_size);
	bytes_put_u16(w, certificate->remainder);
	bytes_put(w, certificate->portion, certificate->portion_size);
}

/* param1: bit 0 sign, bit 1 raw; param2: operation; if signed: 4 nonce (32), 36 slot */
int spdm_get_measurements_take(ByteReader *r, SpdmGetMeasurements *ret)
{
	SpdmGetMeasurements g = {};
	SpdmHeader h;
	int k = header_take(r, SPDM_VERSION_1_2, SPDM_GET_MEASUREMENTS, &h);

	if (k < 0)
		return k;
	g.sign = h.param1 & 1;
	g.raw = h.param1 & 2;
	g.operation = h.param2;
	if (h.param1 & ~3)
		return broken(r);
	if (g.sign) {
		bytes_take_copy(r, g.nonce, SPDM_NONCE_SIZE);
		g.slot = bytes_take_u8(r);
		if (g.slot >= SPDM_SLOTS)
			return broken(r);
	}
	if (taken(r) == 0)
		*ret = g;
	return taken(r);
}

void spdm_get_measurements_put(ByteWriter *w, const SpdmGetMeasurements *request)
{
	header_put(w, SPDM_VERSION_1_2, SPDM_GET_MEASUREMENTS,
		   (uint8_t)((request->sign ? 1 : 0) | (request->raw ? 2 : 0)), request->operation);
	if (!request->sign)
		return;
	bytes_put(w, request->nonce, SPDM_NONCE_SIZE);
	bytes_put_u8(w, request->slot);
}

/*
 * param1: total count; param2: 3:0 slot, 5:4 content changed; 4 blocks, 5 record size (3), 8
 * record, then nonce (32), opaque size (2), opaque, signature if asked for
 */
int spdm_measurements_take(ByteReader *r, size_t signature_size, SpdmMeasurements *ret)
{
	SpdmMeasurements m = {};
	SpdmHeader h;
	int k = header_take(r, SPDM_VERSION_1_2, SPDM_MEASUREMENTS, &h);

	if (k < 0)
		return k;
	m.total = h.param1;
	m.slot = h.param2 & 0xf;
	m.content_changed = h.param2 >> 4 & 3;
	m.n_blocks = bytes_take_u8(r);
	m.record_size = (uint32_t)bytes_take_le(r, 3);
	m.record = bytes_take(r, m.record_size);
	bytes_take_copy(r, m.nonce, SPDM_NONCE_SIZE);
	m.opaque_size = bytes_take_u16(r);
	m.opaque = bytes_take(r, m.opaque_size);
	m.signature_size = signature_size;
	if (signature_size)
		m.signature = bytes_take(r, signature_size);
	if (h.param2 >> 6 || m.slot >= SPDM_SLOTS || m.content_changed > SPDM_CONTENT_UNCHANGED ||
	    (m.n_blocks == 0) != (m.record_size == 0))
		return broken(r);
	if (taken(r) == 0)
		*ret = m;
	return taken(r);
}

void spdm_measurements_put(ByteWriter *w, const SpdmMeasurements *m)
{
	header_put(w, SPDM_VERSION_1_2, SPDM_MEASUREMENTS, m->total,
		   (uint8_t)(m->slot | m->content_changed << 4));
	bytes_put_u8(w, m->n_blocks);
	bytes_put_le(w, m->record_size, 3);
	bytes_put(w, m->record, m->record_size);
	bytes_put(w, m->nonce, SPDM_NONCE_SIZE);
	bytes_put_u16(w, m->opaque_size);
	bytes_put(w, m->opaque, m->opaque_size);
}

/* 4 registry (2), 6 vendor id size = 2, 7 vendor id (2), 9 payload size (2), 11 protocol, 12 body
 */
int spdm_vendor_defined_take(ByteReader *r, SpdmCode code, SpdmVendorDefined *ret)
{
	SpdmVendorDefined v;
	SpdmHeader h;
	uint16_t registry, vendor, size;
	uint8_t vendor_size;
	int k = header_take(r, SPDM_VERSION_1_2, (uint8_t)code, &h);

	if (k < 0)
		return k;
	registry = bytes_take_u16(r);
	vendor_size = bytes_take_u8(r);
	vendor = bytes_take_u16(r);
	size = bytes_take_u16(r);
	v.protocol = bytes_take_u8(r);
	if (h.param1 || h.param2 || registry != VENDOR_REGISTRY_PCI_SIG || vendor_size != 2 ||
	    vendor != VENDOR_ID_PCI_SIG || size == 0)
		return broken(r);
	v.body_size = (uint16_t)(size - 1);
	v.body = bytes_take(r, v.body_size);
	if (taken(r) == 0)
		*ret = v;
	return taken(r);
}

void spdm_vendor_defined_put(ByteWriter *w, SpdmCode code, const SpdmVendorDefined *message)
{
	if (message->body_size == UINT16_MAX) {
		w->failed = true;
		return;
	}
	header_put(w, SPDM_VERSION_1_2, (uint8_t)code, 0, 0);
	bytes_put_u16(w, VENDOR_REGISTRY_PCI_SIG);
	bytes_put_u8(w, 2);
	bytes_put_u16(w, VENDOR_ID_PCI_SIG);
	bytes_put_u16(w, (uint16_t)(message->body_size + 1));
	bytes_put_u8(w, message->protocol);
	bytes_put(w, message->body, message->body_size);
}

static uint8_t error_extended_size(uint8_t code)
{
	switch (code) {
	case SPDM_ERROR_LARGE_RESPONSE: return 1;
	case SPDM_ERROR_RESPONSE_NOT_READY: return 4;
	default: return 0;
	}
}

/* param1: code; param2: data; 4 extended data of those codes that have it */
int spdm_error_take(ByteReader *r, SpdmError *ret)
{
	SpdmError e = {};
	SpdmHeader h;
	/* Before the version is agreed upon an ERROR carries 1.0. */
	bool early = spdm_header_peek(r, &h) == 0 && h.version == SPDM_VERSION_1_0;
	int k = header_take(r, early ? SPDM_VERSION_1_0 : SPDM_VERSION_1_2, SPDM_ERROR, &h);

	if (k < 0)
		return k;
	e.code = h.param1;
	e.data = h.param2;
	e.extended_size = error_extended_size(e.code);
	bytes_take_copy(r, e.extended, e.extended_size);
	if (taken(r) == 0)
		*ret = e;
	return taken(r);
}

void spdm_error_put(ByteWriter *w, const SpdmError *error)
{
	header_put(w, SPDM_VERSION_1_2, SPDM_ERROR, error->code, error->data);
	bytes_put(w, error->extended, error_extended_size(error->code));
}
