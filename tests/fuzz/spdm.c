/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDM messages, one behind the other as in a transcript. Input: size of signatures, messages. */
#include "core/spdm.h"
#include "fuzz.h"

#include <errno.h>

static uint8_t buffer[0x20000];

/* Taken from the reader, and put again: only the same bytes say the same. */
#define TAKE(Type, noun)                                                                           \
	({                                                                                         \
		Type m;                                                                            \
		int taken = spdm_##noun##_take(&r, &m);                                            \
                                                                                                   \
		if (taken == 0)                                                                    \
			spdm_##noun##_put(&w, &m);                                                 \
		taken;                                                                             \
	})

#define TAKE_BARE(noun)                                                                            \
	({                                                                                         \
		int taken = spdm_##noun##_take(&r);                                                \
                                                                                                   \
		if (taken == 0)                                                                    \
			spdm_##noun##_put(&w);                                                     \
		taken;                                                                             \
	})

static int take_measurements(ByteReader *r, ByteWriter *w, size_t signature_size)
{
	SpdmMeasurements m;
	int k = spdm_measurements_take(r, signature_size, &m);

	if (k < 0)
		return k;
	spdm_measurements_put(w, &m);
	bytes_put(w, m.signature, m.signature_size);
	return 0;
}

static int take_vendor(ByteReader *r, ByteWriter *w, SpdmCode code)
{
	SpdmVendorDefined m;
	int k = spdm_vendor_defined_take(r, code, &m);

	if (k == 0)
		spdm_vendor_defined_put(w, code, &m);
	return k;
}

static int take_one(ByteReader *reader, size_t signature_size)
{
	const uint8_t *start = reader->at;
	ByteWriter w = byte_writer(buffer, sizeof(buffer));
	ByteReader r = *reader;
	SpdmHeader h;
	int k;

	if (spdm_header_peek(&r, &h) < 0)
		return -EBADMSG;
	switch (h.code) {
	case SPDM_GET_VERSION: k = TAKE_BARE(get_version); break;
	case SPDM_VERSION: k = TAKE(SpdmVersions, version); break;
	case SPDM_GET_CAPABILITIES: k = TAKE(SpdmCapabilities, get_capabilities); break;
	case SPDM_CAPABILITIES: k = TAKE(SpdmCapabilities, capabilities); break;
	case SPDM_NEGOTIATE_ALGORITHMS: k = TAKE(SpdmAlgorithms, negotiate_algorithms); break;
	case SPDM_ALGORITHMS: k = TAKE(SpdmAlgorithms, algorithms); break;
	case SPDM_GET_DIGESTS: k = TAKE_BARE(get_digests); break;
	case SPDM_DIGESTS: k = TAKE(SpdmDigests, digests); break;
	case SPDM_GET_CERTIFICATE: k = TAKE(SpdmGetCertificate, get_certificate); break;
	case SPDM_CERTIFICATE: k = TAKE(SpdmCertificate, certificate); break;
	case SPDM_GET_MEASUREMENTS: k = TAKE(SpdmGetMeasurements, get_measurements); break;
	case SPDM_MEASUREMENTS: k = take_measurements(&r, &w, signature_size); break;
	case SPDM_VENDOR_DEFINED_REQUEST:
	case SPDM_VENDOR_DEFINED_RESPONSE: k = take_vendor(&r, &w, h.code); break;
	case SPDM_ERROR: k = TAKE(SpdmError, error); break;
	default: return -EBADMSG;
	}
	if (k < 0) {
		CHECK(k == -EBADMSG || k == -EPROTONOSUPPORT);
		return k;
	}
	/* An ERROR before the version is agreed upon carries 1.0, and we send none that early. */
	if (h.code == SPDM_ERROR)
		buffer[0] = h.version;
	CHECK(!w.failed && r.at == start + w.used && memcmp(start, buffer, w.used) == 0);
	*reader = r;
	return 0;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	ByteReader r = byte_reader(data, size);
	size_t signature_size = bytes_take_u8(&r) ? SPDM_SIGNATURE_SIZE : 0;

	do {
		if (take_one(&r, signature_size) < 0)
			return false;
	} while (r.left);
	return true;
}
