/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SPDM 1.2 messages of a CMA requester and responder (DMTF DSP0274; PCIe base specification,
 * "Component Measurement and Authentication"), for SHA-384.
 *
 * x_take() reads one message from a reader and leaves the reader behind it, because an SPDM
 * message's length comes from its own fields: this is how a transcript is walked. Whoever has a
 * single message asks bytes_taken_all() afterwards. They return 0, -EBADMSG for a message that
 * breaks the format, -EPROTONOSUPPORT for another SPDM version, and on error leave *ret alone. What
 * points into the message (digests, portions, records) is borrowed from it.
 *
 * x_put() appends one message to a writer, which remembers if it did not fit.
 */
#pragma once

#include "core/bytes.h"
#include "core/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPDM_VERSION_1_0 0x10 /* in GET_VERSION and VERSION only */
#define SPDM_VERSION_1_2 0x12

#define SPDM_NONCE_SIZE	      32
#define SPDM_SLOTS	      8
#define SPDM_SIGNATURE_SIZE   96 /* r || s of P-384 */
#define SPDM_MAX_VERSIONS     16
#define SPDM_MAX_MESSAGE_SIZE 0x1200 /* what QEMU's backend carries */

typedef enum SpdmCode {
	SPDM_DIGESTS = 0x01,
	SPDM_CERTIFICATE = 0x02,
	SPDM_VERSION = 0x04,
	SPDM_MEASUREMENTS = 0x60,
	SPDM_CAPABILITIES = 0x61,
	SPDM_ALGORITHMS = 0x63,
	SPDM_VENDOR_DEFINED_RESPONSE = 0x7e,
	SPDM_ERROR = 0x7f,
	SPDM_GET_DIGESTS = 0x81,
	SPDM_GET_CERTIFICATE = 0x82,
	SPDM_GET_VERSION = 0x84,
	SPDM_GET_MEASUREMENTS = 0xe0,
	SPDM_GET_CAPABILITIES = 0xe1,
	SPDM_NEGOTIATE_ALGORITHMS = 0xe3,
	SPDM_VENDOR_DEFINED_REQUEST = 0xfe,
} SpdmCode;

typedef enum SpdmErrorCode {
	SPDM_ERROR_INVALID_REQUEST = 0x01,
	SPDM_ERROR_BUSY = 0x03,
	SPDM_ERROR_UNEXPECTED_REQUEST = 0x04,
	SPDM_ERROR_UNSPECIFIED = 0x05,
	SPDM_ERROR_DECRYPT = 0x06,
	SPDM_ERROR_UNSUPPORTED_REQUEST = 0x07, /* data: the request's code */
	SPDM_ERROR_SESSION_REQUIRED = 0x0b,
	SPDM_ERROR_LARGE_RESPONSE = 0x0f, /* 1 more byte: handle */
	SPDM_ERROR_VERSION_MISMATCH = 0x41,
	SPDM_ERROR_RESPONSE_NOT_READY = 0x42, /* 4 more: RDT exponent, code, token, RDTM */
} SpdmErrorCode;

enum {
	SPDM_CAP_CACHE = 1 << 0,
	SPDM_CAP_CERTIFICATE = 1 << 1,
	SPDM_CAP_CHALLENGE = 1 << 2,
	SPDM_CAP_MEASUREMENTS_UNSIGNED = 1 << 3,
	SPDM_CAP_MEASUREMENTS_SIGNED = 1 << 4,
	SPDM_CAP_MEASUREMENTS_FRESH = 1 << 5,
	SPDM_CAP_ENCRYPT = 1 << 6,
	SPDM_CAP_MAC = 1 << 7,
	SPDM_CAP_KEY_EXCHANGE = 1 << 9,
	SPDM_CAP_CHUNK = 1 << 17,
};

enum {
	SPDM_MEASUREMENT_SPEC_DMTF = 1,
	SPDM_OPAQUE_FORMAT_1 = 2,
	SPDM_ASYM_RSASSA_3072 = 0x04,
	SPDM_ASYM_ECDSA_P256 = 0x10,
	SPDM_ASYM_ECDSA_P384 = 0x80,
	SPDM_HASH_SHA256 = 1,
	SPDM_HASH_SHA384 = 2,
	SPDM_MEASUREMENT_HASH_RAW = 1,
	SPDM_MEASUREMENT_HASH_SHA384 = 4,
	SPDM_DHE_SECP256R1 = 0x08,
	SPDM_DHE_SECP384R1 = 0x10,
	SPDM_AEAD_AES_128_GCM = 1,
	SPDM_AEAD_AES_256_GCM = 2,
	SPDM_KEY_SCHEDULE_SPDM = 1,
};

/* Vendor-defined messages of PCI-SIG: registry 3, vendor id 1. */
enum {
	SPDM_PROTOCOL_IDE_KM = 0,
	SPDM_PROTOCOL_TDISP = 1,
};

typedef struct SpdmHeader {
	uint8_t version;
	uint8_t code;
	uint8_t param1;
	uint8_t param2;
} SpdmHeader;

typedef struct SpdmVersions {
	unsigned int n_entries;
	uint16_t entries[SPDM_MAX_VERSIONS]; /* 15:12 major, 11:8 minor, 7:4 update, 3:0 alpha */
} SpdmVersions;

typedef struct SpdmCapabilities {
	uint8_t ct_exponent; /* a cryptographic answer takes at most 2^ct_exponent us */
	uint32_t flags;
	uint32_t data_transfer_size; /* at least 42 */
	uint32_t max_message_size;   /* equal to data_transfer_size without SPDM_CAP_CHUNK */
} SpdmCapabilities;

/* In a request what is offered (sets), in the response what was chosen (one bit or zero each). */
typedef struct SpdmAlgorithms {
	uint8_t measurement_spec;
	uint8_t other_params;
	uint32_t measurement_hash; /* response only */
	uint32_t base_asym;
	uint32_t base_hash;
	/* Zero: the table is not in the message. */
	uint16_t dhe;
	uint16_t aead;
	uint16_t request_asym;
	uint16_t key_schedule;
	/* Which of the tables 2..5 are in the message, bit n for table n. A table may hold zero. */
	uint8_t tables;
} SpdmAlgorithms;

#define SPDM_TABLE_DHE		(1U << 2)
#define SPDM_TABLE_AEAD		(1U << 3)
#define SPDM_TABLE_REQUEST_ASYM (1U << 4)
#define SPDM_TABLE_KEY_SCHEDULE (1U << 5)

typedef struct SpdmDigests {
	uint8_t slot_mask;
	unsigned int n_digests; /* one per bit of the mask, in slot order */
	const uint8_t *digests; /* n_digests x DIGEST_SIZE */
} SpdmDigests;

typedef struct SpdmGetCertificate {
	uint8_t slot;
	uint16_t offset;
	uint16_t length;
} SpdmGetCertificate;

typedef struct SpdmCertificate {
	uint8_t slot;
	uint16_t portion_size;
	uint16_t remainder;
	const uint8_t *portion;
} SpdmCertificate;

#define SPDM_MEASURE_COUNT 0x00
#define SPDM_MEASURE_ALL   0xff

typedef struct SpdmGetMeasurements {
	bool sign;
	bool raw;
	uint8_t operation;		/* SPDM_MEASURE_COUNT, an index, or SPDM_MEASURE_ALL */
	uint8_t nonce[SPDM_NONCE_SIZE]; /* only if `sign` */
	uint8_t slot;			/* only if `sign` */
} SpdmGetMeasurements;

typedef enum SpdmContentChanged {
	SPDM_CONTENT_CHANGE_NOT_DETECTABLE = 0,
	SPDM_CONTENT_CHANGED = 1,
	SPDM_CONTENT_UNCHANGED = 2,
} SpdmContentChanged;

typedef struct SpdmMeasurements {
	uint8_t total; /* how many there are, only in the answer to SPDM_MEASURE_COUNT */
	uint8_t slot;
	uint8_t content_changed; /* SpdmContentChanged; says something only when signed */
	uint8_t n_blocks;
	uint32_t record_size;
	const uint8_t *record;
	uint8_t nonce[SPDM_NONCE_SIZE]; /* the responder's */
	uint16_t opaque_size;
	const uint8_t *opaque;
	size_t signature_size; /* zero: unsigned */
	const uint8_t *signature;
} SpdmMeasurements;

typedef struct SpdmVendorDefined {
	uint8_t protocol;   /* SPDM_PROTOCOL_* */
	uint16_t body_size; /* without the protocol byte */
	const uint8_t *body;
} SpdmVendorDefined;

typedef struct SpdmError {
	uint8_t code;
	uint8_t data;
	uint8_t extended_size; /* 0, 1 (LARGE_RESPONSE) or 4 (RESPONSE_NOT_READY) */
	uint8_t extended[4];
} SpdmError;

/* The header of the message at hand, without taking it: -EBADMSG if there are fewer than 4 bytes.
 */
int spdm_header_peek(const ByteReader *r, SpdmHeader *ret);

int spdm_get_version_take(ByteReader *r);
int spdm_version_take(ByteReader *r, SpdmVersions *ret);
int spdm_get_capabilities_take(ByteReader *r, SpdmCapabilities *ret);
int spdm_capabilities_take(ByteReader *r, SpdmCapabilities *ret);
int spdm_negotiate_algorithms_take(ByteReader *r, SpdmAlgorithms *ret);
int spdm_algorithms_take(ByteReader *r, SpdmAlgorithms *ret);
int spdm_get_digests_take(ByteReader *r);
int spdm_digests_take(ByteReader *r, SpdmDigests *ret);
int spdm_get_certificate_take(ByteReader *r, SpdmGetCertificate *ret);
int spdm_certificate_take(ByteReader *r, SpdmCertificate *ret);
int spdm_get_measurements_take(ByteReader *r, SpdmGetMeasurements *ret);
/* signature_size: of the negotiated algorithm if the request asked to sign, else 0. */
int spdm_measurements_take(ByteReader *r, size_t signature_size, SpdmMeasurements *ret);
/* code: SPDM_VENDOR_DEFINED_REQUEST or _RESPONSE. Only PCI-SIG's. */
int spdm_vendor_defined_take(ByteReader *r, SpdmCode code, SpdmVendorDefined *ret);
int spdm_error_take(ByteReader *r, SpdmError *ret);

void spdm_get_version_put(ByteWriter *w);
void spdm_version_put(ByteWriter *w, const SpdmVersions *versions);
void spdm_get_capabilities_put(ByteWriter *w, const SpdmCapabilities *capabilities);
void spdm_capabilities_put(ByteWriter *w, const SpdmCapabilities *capabilities);
void spdm_negotiate_algorithms_put(ByteWriter *w, const SpdmAlgorithms *algorithms);
void spdm_algorithms_put(ByteWriter *w, const SpdmAlgorithms *algorithms);
void spdm_get_digests_put(ByteWriter *w);
void spdm_digests_put(ByteWriter *w, const SpdmDigests *digests);
void spdm_get_certificate_put(ByteWriter *w, const SpdmGetCertificate *request);
void spdm_certificate_put(ByteWriter *w, const SpdmCertificate *certificate);
void spdm_get_measurements_put(ByteWriter *w, const SpdmGetMeasurements *request);
/* Without the signature (which signs these bytes): append it with bytes_put(). */
void spdm_measurements_put(ByteWriter *w, const SpdmMeasurements *measurements);
void spdm_vendor_defined_put(ByteWriter *w, SpdmCode code, const SpdmVendorDefined *message);
void spdm_error_put(ByteWriter *w, const SpdmError *error);
