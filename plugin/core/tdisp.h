/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TDISP 1.0 messages (PCIe 6.x, "TEE Device Interface Security Protocol"): what a TSM and a DSM say
 * to each other about one TDI. Little-endian; offsets and sizes include the 16-byte header.
 *
 *   header    0 version (0x10)  1 message  2 reserved(2)
 *             4 FUNCTION_ID(4): 15:0 requester id, 23:16 segment, 24 segment valid
 *             8 reserved(8)
 *
 * Each side encodes what it sends and parses what it gets: a device parses requests, a TSM parses
 * responses. Parsing is strict: exact size, version 0x10, reserved fields 0.
 */
#pragma once

#include "core/bdf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TDISP_VERSION_1_0  0x10
#define TDISP_HEADER_SIZE  16
#define TDISP_NONCE_SIZE   32
#define TDISP_REQUEST_MAX  48	      /* the longest request here: START_INTERFACE */
#define TDISP_REPORT_MAX   UINT16_MAX /* OFFSET and REMAINDER_LENGTH are 16 bits wide */
#define TDISP_RESPONSE_MAX (TDISP_HEADER_SIZE + 4 + TDISP_REPORT_MAX)

/* TDI_STATE. The names are those of schemas/io.tdid.Tsm.varlink. */
typedef enum TdispState {
	TDISP_CONFIG_UNLOCKED = 0,
	TDISP_CONFIG_LOCKED = 1,
	TDISP_RUN = 2,
	TDISP_ERROR = 3,
	TDISP_N_STATES,
} TdispState;

/* "config_unlocked", "config_locked", "run", "error"; "?" for any other value. */
const char *tdisp_state_name(TdispState state);
/* -EINVAL on any other word. */
int tdisp_state_parse(TdispState *ret, const char *name);

/* Message codes: a request is its response with bit 7 set. */
typedef enum TdispMessage {
	TDISP_MSG_VERSION = 0x01,
	TDISP_MSG_CAPABILITIES = 0x02,
	TDISP_MSG_LOCK_INTERFACE_RESPONSE = 0x03,
	TDISP_MSG_DEVICE_INTERFACE_REPORT = 0x04,
	TDISP_MSG_DEVICE_INTERFACE_STATE = 0x05,
	TDISP_MSG_START_INTERFACE_RESPONSE = 0x06,
	TDISP_MSG_STOP_INTERFACE_RESPONSE = 0x07,
	TDISP_MSG_ERROR = 0x7F,
	TDISP_MSG_GET_VERSION = 0x81,
	TDISP_MSG_GET_CAPABILITIES = 0x82,
	TDISP_MSG_LOCK_INTERFACE = 0x83,
	TDISP_MSG_GET_DEVICE_INTERFACE_REPORT = 0x84,
	TDISP_MSG_GET_DEVICE_INTERFACE_STATE = 0x85,
	TDISP_MSG_START_INTERFACE = 0x86,
	TDISP_MSG_STOP_INTERFACE = 0x87,
} TdispMessage;

/* The specification's name; "?" for a code that is not above. */
const char *tdisp_message_name(TdispMessage message);

/* ERROR_CODE */
typedef enum TdispError {
	TDISP_ERROR_INVALID_REQUEST = 0x01,
	TDISP_ERROR_BUSY = 0x03,
	TDISP_ERROR_INVALID_INTERFACE_STATE = 0x04,
	TDISP_ERROR_UNSPECIFIED = 0x05,
	TDISP_ERROR_UNSUPPORTED_REQUEST = 0x07, /* ERROR_DATA: the request's code */
	TDISP_ERROR_VERSION_MISMATCH = 0x41,
	TDISP_ERROR_VENDOR_SPECIFIC = 0xFF,
	TDISP_ERROR_INVALID_INTERFACE = 0x101, /* FUNCTION_ID is not hosted here */
	TDISP_ERROR_INVALID_NONCE = 0x102,
	TDISP_ERROR_INSUFFICIENT_ENTROPY = 0x103,
	TDISP_ERROR_INVALID_DEVICE_CONFIGURATION = 0x104,
} TdispError;

/* The specification's name; "?" for a code that is not above. */
const char *tdisp_error_name(uint32_t error);

/* FLAGS of LOCK_INTERFACE */
enum {
	TDISP_LOCK_NO_FW_UPDATE = 1 << 0,
	TDISP_LOCK_SYSTEM_CACHE_LINE_SIZE = 1 << 1,
	TDISP_LOCK_MSIX = 1 << 2,
	TDISP_LOCK_BIND_P2P = 1 << 3,
	TDISP_LOCK_ALL_REQUEST_REDIRECT = 1 << 4,
	TDISP_LOCK_ALL = 0x1F,
};

/*
 * FUNCTION_ID of a host function. "Segment valid" is set for segments other than 0.
 * -ERANGE: the segment is above 255, for which FUNCTION_ID has no room.
 */
int tdisp_function_id_from_bdf(uint32_t *ret, Bdf bdf);
/* -EINVAL: reserved bits, or a segment that is not marked valid. */
int tdisp_function_id_to_bdf(Bdf *ret, uint32_t function_id);

/*
 *   LOCK_INTERFACE (36)          16 FLAGS(2)  18 default stream id  19 reserved
 *                                20 MMIO_REPORTING_OFFSET(8, signed bytes)
 *                                28 BIND_P2P_ADDRESS_MASK(8)
 */
typedef struct TdispLock {
	uint16_t flags; /* TDISP_LOCK_* */
	uint8_t default_stream_id;
	int64_t mmio_reporting_offset;
	uint64_t bind_p2p_address_mask;
} TdispLock;

/*
 *   GET_VERSION (16)             -
 *   GET_CAPABILITIES (20)        16 TSM_CAPS(4), 0
 *   GET_DEVICE_INTERFACE_REPORT (20)   16 OFFSET(2)  18 LENGTH(2), not 0
 *   GET_DEVICE_INTERFACE_STATE (16)    -
 *   START_INTERFACE (48)         16 START_INTERFACE_NONCE(32)
 *   STOP_INTERFACE (16)          -
 */
typedef struct TdispRequest {
	TdispMessage message;
	uint32_t function_id;
	union {
		TdispLock lock;
		struct {
			uint16_t offset, length;
		} report;
		uint8_t start_nonce[TDISP_NONCE_SIZE];
	};
} TdispRequest;

/*
 *   CAPABILITIES (44)            16 DSM_CAPS(4)  20 REQ_MSGS_SUPPORTED(16)
 *                                36 LOCK_INTERFACE_FLAGS_SUPPORTED(2)  38 reserved(3)
 *                                41 DEV_ADDR_WIDTH  42 NUM_REQ_THIS  43 NUM_REQ_ALL
 */
typedef struct TdispCapabilities {
	uint32_t dsm_caps;
	uint8_t requests[16];  /* bit n: request 0x80 + n */
	uint16_t lock_flags;   /* TDISP_LOCK_* */
	uint8_t address_width; /* bits */
	uint8_t num_req_this;  /* outstanding requests for this TDI */
	uint8_t num_req_all;   /* and for all TDIs of the device */
} TdispCapabilities;

/* requests[0] of a device that understands the seven mandatory ones. */
#define TDISP_REQUESTS_MANDATORY 0xFE

bool tdisp_capabilities_has(const TdispCapabilities *capabilities, TdispMessage request);

/*
 *   VERSION (17+n)               16 count(1), not 0  17 versions(1 each)
 *   LOCK_INTERFACE_RESPONSE (48) 16 START_INTERFACE_NONCE(32)
 *   DEVICE_INTERFACE_REPORT (20+n)     16 PORTION_LENGTH(2)  18 REMAINDER_LENGTH(2)  20 bytes
 *   DEVICE_INTERFACE_STATE (17)  16 TDI_STATE(1)
 *   START_INTERFACE_RESPONSE, STOP_INTERFACE_RESPONSE (16)   -
 *   TDISP_ERROR (24, more if VENDOR_SPECIFIC)    16 ERROR_CODE(4)  20 ERROR_DATA(4)
 *                                24 registry(1)  25 length n of the vendor's id(1)  26 id(n)  data
 *
 * Pointers go into the message that was parsed, or to what the encoding side owns.
 */
typedef struct TdispResponse {
	TdispMessage message;
	uint32_t function_id;
	union {
		struct {
			const uint8_t *entries;
			uint8_t n;
		} versions;
		TdispCapabilities capabilities;
		uint8_t lock_nonce[TDISP_NONCE_SIZE];
		struct {
			const uint8_t *portion;
			uint16_t portion_length, remainder_length;
		} report;
		TdispState state;
		struct {
			uint32_t code; /* TdispError, or a code that is not known here */
			uint32_t data;
			/* From offset 24 on; NULL unless VENDOR_SPECIFIC. */
			const uint8_t *extended;
			size_t extended_size;
		} error;
	};
} TdispResponse;

/* 0 and the size (*ret_size), -ENOBUFS, or -EINVAL for what the parser would refuse. */
int tdisp_request_encode(const TdispRequest *request, void *buffer, size_t capacity,
			 size_t *ret_size);
int tdisp_response_encode(const TdispResponse *response, void *buffer, size_t capacity,
			  size_t *ret_size);

/*
 * Device's side. 0; -EBADMSG when it is shorter than a header, so that nothing can be answered in
 * TDISP; or a positive TdispError to answer with: then `message` and `function_id` are set as they
 * came. VERSION_MISMATCH, UNSUPPORTED_REQUEST (also for the optional requests: P2P streams,
 * SET_MMIO_ATTRIBUTE, VDM), INVALID_REQUEST, in this order.
 */
int tdisp_request_parse(TdispRequest *ret, const void *data, size_t size);

/* Whether the request is legal in this state; if not, INVALID_INTERFACE_STATE is the answer. */
bool tdisp_request_is_legal(TdispMessage request, TdispState state);

/* The TDISP_ERROR that answers `request`. */
TdispResponse tdisp_error_response(const TdispRequest *request, TdispError code);

/*
 * TSM's side: what came in answer to `request`: its response, or TDISP_ERROR, for the same
 * FUNCTION_ID. A report's portion is not longer than was asked for. 0, or -EBADMSG with a sentence
 * in *ret_error (ret_error may be NULL, as everywhere; see refusal.h).
 */
int tdisp_response_parse(TdispResponse *ret, const TdispRequest *request, const void *data,
			 size_t size, char **ret_error);

/*
 * Device's side of GET_DEVICE_INTERFACE_REPORT: the portion that `request` asks for, at most
 * `max_portion` bytes of it (not 0). 0, or a positive TdispError (OFFSET at or beyond the end).
 */
int tdisp_report_portion(TdispResponse *ret, const TdispRequest *request, const uint8_t *report,
			 uint16_t report_size, uint16_t max_portion);

/* TSM's side: collects a report from its portions. The buffer stays the caller's. */
typedef struct TdispReportReader {
	uint8_t *buffer;
	size_t capacity;
	uint32_t function_id;
	uint16_t max_portion;
	size_t size;  /* collected so far */
	size_t total; /* as the first portion said; 0 before */
} TdispReportReader;

/* max_portion is what one response may carry, not 0. */
TdispReportReader tdisp_report_reader(void *buffer, size_t capacity, uint32_t function_id,
				      uint16_t max_portion);
TdispRequest tdisp_report_next(const TdispReportReader *reader);

/*
 * Takes the answer to the last request. 1: the report is complete, `size` bytes; 0: ask for the
 * next portion; -EBADMSG (a portion of 0 bytes, a total that changes) or -EMSGSIZE (longer than the
 * buffer) with a sentence in *ret_error (may be NULL).
 */
int tdisp_report_add(TdispReportReader *reader, const TdispResponse *response, char **ret_error);
