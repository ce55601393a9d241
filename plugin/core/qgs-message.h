/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages of Intel's TDX quote generation service (QGS), versions 1.0 and 1.1.
 *
 * On a stream each message follows a frame of four bytes, its size in big-endian; everything else
 * is little-endian. Layouts: qgs_msg_lib.h of Intel's DCAP
 * (QuoteGeneration/quote_wrapper/qgs_msg_lib).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QGS_FRAME_SIZE	4u
#define QGS_HEADER_SIZE 16u
/* Of a message without its frame: a quote fits the 128 KiB that Linux and QEMU allow for one. */
#define QGS_MESSAGE_MAX (256u * 1024)
/* Of a request: report and a list of QE identities. */
#define QGS_REQUEST_MAX (64u * 1024)
#define QGS_MAJOR	1u
#define QGS_MINOR	1u /* QEMU takes no other */

typedef enum QgsType {
	QGS_GET_QUOTE_REQUEST = 0,
	QGS_GET_QUOTE_RESPONSE = 1,
	QGS_GET_COLLATERAL_REQUEST = 2,
	QGS_GET_COLLATERAL_RESPONSE = 3,
	QGS_GET_PLATFORM_INFO_REQUEST = 4,
	QGS_GET_PLATFORM_INFO_RESPONSE = 5,
} QgsType;

#define QGS_TYPES 6u

/* `error` of a response; a service may use others, above all those of its quoting library
 * (0xe000..). */
typedef enum QgsError {
	QGS_SUCCESS = 0,
	QGS_ERROR_UNEXPECTED = 0x12001,
	QGS_ERROR_OUT_OF_MEMORY = 0x12002,
	QGS_ERROR_INVALID_PARAMETER = 0x12003,
	QGS_ERROR_INVALID_VERSION = 0x12004,
	QGS_ERROR_INVALID_TYPE = 0x12005,
	QGS_ERROR_INVALID_SIZE = 0x12006,
	QGS_ERROR_INVALID_CODE = 0x12007,
} QgsError;

/* A run of bytes in somebody else's buffer. */
typedef struct QgsBytes {
	const uint8_t *data;
	size_t size;
} QgsBytes;

#define QGS_COLLATERAL_PARTS 7u

typedef struct QgsMessage {
	uint16_t major, minor;
	QgsType type;
	uint32_t error; /* of responses; 0 in requests */
	union {
		struct {		 /* GET_QUOTE request */
			QgsBytes report; /* not empty */
			QgsBytes ids;	 /* of 16 bytes each, which QE is wanted; may be empty */
		} quote_request;
		struct {		      /* GET_QUOTE response: both empty with an error */
			QgsBytes selected_id; /* may be empty; QEMU takes no other */
			QgsBytes quote;
		} quote_response;
		struct { /* GET_COLLATERAL request: neither empty */
			QgsBytes fmspc;
			QgsBytes pck_ca;
		} collateral_request;
		struct {		       /* GET_COLLATERAL response */
			uint16_t major, minor; /* of the collateral */
			/* PCK CRL's issuers, root CRL, PCK CRL, TCB info's issuers, TCB info, QE
			 * identity's issuers, QE identity: all of them, or with an error none */
			QgsBytes parts[QGS_COLLATERAL_PARTS];
			/* Four zero bytes behind them: DCAP's library of version 1.0 counts the
			 * collateral's version twice, and takes nothing else. Never with an
			 * error. */
			bool padded;
		} collateral_response;
		struct { /* GET_PLATFORM_INFO response; the request carries nothing */
			uint16_t qe_svn, pce_svn;
			QgsBytes platform_id;
			QgsBytes cpu_svn;
		} platform_info;
	};
} QgsMessage;

/*
 * The size of the message that follows these four bytes.
 * Returns 0; -EMSGSIZE when it is below QGS_HEADER_SIZE or above `max`, *ret then being what they
 * say.
 */
int qgs_frame_parse(uint32_t *ret, const uint8_t frame[static QGS_FRAME_SIZE], size_t max);

/*
 * A whole message without its frame; *ret points into `data`. Every byte has to be accounted for.
 * Returns 0; -EBADMSG with *ret_why (static, may be NULL) saying what does not fit;
 * -EPROTONOSUPPORT when it is not of major version 1; -EOPNOTSUPP for an unknown type. On failure
 * *ret is empty but for the header's fields, which are what the first 16 bytes say, if there are
 * as many.
 */
int qgs_message_parse(QgsMessage *ret, const void *data, size_t size, const char **ret_why);

/*
 * *ret is allocated, frame included; the caller frees it. Returns 0, -EMSGSIZE above
 * QGS_MESSAGE_MAX, -EINVAL for what qgs_message_parse() would refuse, -ENOMEM.
 */
int qgs_message_format(uint8_t **ret, size_t *ret_size, const QgsMessage *message);

/* "success", "invalid parameter (0x12003)": `buffer` or a static string. */
#define QGS_ERROR_TEXT_SIZE 80
const char *qgs_error_text(uint32_t error, char buffer[static QGS_ERROR_TEXT_SIZE]);

/* "GET_QUOTE request"; "unknown" when it is none. */
const char *qgs_type_text(QgsType type);
