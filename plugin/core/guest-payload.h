/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the sealed messages between a TVM and its TSM say (guest-message.h). All little-endian.
 *
 * Every response begins with u32 status, u32 zero; the body follows if the status is OK, and only
 * then. rid: guest requester id, segment << 16 | bus << 8 | device << 3 | function.
 *
 *   TDI_INFO       0 u32 rid, 4 u32 zero, 8 u8[32] nonce                              40 bytes
 *     answer body  the statement                                                     376
 *   TDI_VALIDATE   0 u32 rid, 4 u8 action, 5 u8[3] zero, 8 u64 generation,
 *                  16 u8[48] digests of certificates, 64 VCA, 112 measurements,
 *                  160 report, 208 u64 sequences of identity, 216 measurements,
 *                  224 report (for revoke digests and sequences are zero)            232
 *     answer body  0 u8 TDISP state, 1 u8 accepted, 2 u8 request of the TVM that the
 *                  host has not carried yet (1 LOCK, in CONFIG_UNLOCKED; 2 START, in
 *                  CONFIG_LOCKED; not accepted), 3 u8[5] zero, 8 u64 generation       16
 *   MMIO_VALIDATE  0 u32 rid, 4 u16 index of the range in the report, 6 u16 zero,
 *                  8 u64 generation, 16 u64 guest-physical address, 24 u64 pages      32
 *     answer body  none; of a TDI that runs accepted, OK says that it was validated just so
 *   TDI_STATE      0 u32 rid, 4 u32 zero                                               8
 *     answer body  as TDI_VALIDATE's
 *   TDI_LOCK       0 u32 rid, 4 u32 zero, 8 u64 generation                            16
 *     answer body  as TDI_VALIDATE's: it is locked, or LOCK has been asked for
 *   TDREPORT       0 u8[64] report data                                               64
 *     answer body  the report (tdreport.h)                                          1024
 *
 * Parsers return 0 or -EBADMSG and are strict; writers cannot fail.
 */
#pragma once

#include "core/guest-message.h"
#include "core/statement.h"
#include "core/tdreport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_TDI_INFO_SIZE	 40
#define GUEST_TDI_VALIDATE_SIZE	 232
#define GUEST_MMIO_VALIDATE_SIZE 32
#define GUEST_TDI_STATE_SIZE	 8
#define GUEST_TDI_LOCK_SIZE	 16
#define GUEST_TDREPORT_SIZE	 TDREPORT_DATA_SIZE
#define GUEST_RESPONSE_HEAD_SIZE 8
#define GUEST_TDI_STATUS_SIZE	 16
#define GUEST_RESPONSE_MAX_BODY	 TDREPORT_SIZE
#define GUEST_RESPONSE_MAX_SIZE	 (GUEST_RESPONSE_HEAD_SIZE + GUEST_RESPONSE_MAX_BODY)
#define GUEST_PAGE_SIZE		 4096

typedef enum GuestStatus {
	GUEST_STATUS_OK,
	GUEST_STATUS_INVALID_TDI,   /* not a TDI of this TVM */
	GUEST_STATUS_INVALID_STATE, /* not in the TDI's present state */
	GUEST_STATUS_STALE,	    /* a quoted generation, digest or sequence is not current */
	GUEST_STATUS_MMIO_MISMATCH,
	GUEST_STATUS_MMIO_MISSING, /* a range of TEE memory has not been validated yet */
	GUEST_STATUS_DEVICE_FAILED,
	GUEST_STATUS_MALFORMED,
	GUEST_STATUS_UNSUPPORTED,
	GUEST_STATUS_BUSY,
	GUEST_STATUS_NOT_LOCKED, /* bound, and its TVM's to ask for LOCK */
	_GUEST_STATUS_MAX,
} GuestStatus;

/* "invalid_tdi" and so on; a sentence for an operator. Out of range: "unknown". */
const char *guest_status_name(GuestStatus status);
const char *guest_status_sentence(GuestStatus status);

typedef struct GuestTdiInfo {
	uint32_t rid;
	uint8_t nonce[STATEMENT_NONCE_SIZE];
} GuestTdiInfo;

typedef enum GuestValidateAction {
	GUEST_VALIDATE_ACCEPT = 1,
	GUEST_VALIDATE_REVOKE = 2,
} GuestValidateAction;

typedef struct GuestTdiValidate {
	uint32_t rid;
	uint8_t action; /* GuestValidateAction */
	uint64_t generation;
	StatementEvidence evidence; /* all zero for revoke */
} GuestTdiValidate;

typedef struct GuestMmioValidate {
	uint32_t rid;
	uint16_t range;
	uint64_t generation;
	uint64_t address; /* page-aligned */
	uint64_t pages;	  /* at least 1 */
} GuestMmioValidate;

typedef struct GuestTdiState {
	uint32_t rid;
} GuestTdiState;

typedef struct GuestTdiLock {
	uint32_t rid;
	uint64_t generation;
} GuestTdiLock;

typedef struct GuestTdreport {
	uint8_t report_data[TDREPORT_DATA_SIZE];
} GuestTdreport;

typedef enum GuestRequested {
	GUEST_REQUESTED_NOTHING,
	GUEST_REQUESTED_LOCK,
	GUEST_REQUESTED_START,
} GuestRequested;

typedef struct GuestTdiStatus {
	uint8_t tdisp_state;
	bool accepted;
	uint64_t generation;
	uint8_t requested; /* GuestRequested */
} GuestTdiStatus;

int guest_tdi_info_parse(GuestTdiInfo *ret, const void *data, size_t size);
int guest_tdi_validate_parse(GuestTdiValidate *ret, const void *data, size_t size);
int guest_mmio_validate_parse(GuestMmioValidate *ret, const void *data, size_t size);
int guest_tdi_state_parse(GuestTdiState *ret, const void *data, size_t size);
int guest_tdi_lock_parse(GuestTdiLock *ret, const void *data, size_t size);
int guest_tdreport_parse(GuestTdreport *ret, const void *data, size_t size);

void guest_tdi_info_write(const GuestTdiInfo *request, uint8_t ret[static GUEST_TDI_INFO_SIZE]);
void guest_tdi_validate_write(const GuestTdiValidate *request,
			      uint8_t ret[static GUEST_TDI_VALIDATE_SIZE]);
void guest_mmio_validate_write(const GuestMmioValidate *request,
			       uint8_t ret[static GUEST_MMIO_VALIDATE_SIZE]);
void guest_tdi_state_write(const GuestTdiState *request, uint8_t ret[static GUEST_TDI_STATE_SIZE]);
void guest_tdi_lock_write(const GuestTdiLock *request, uint8_t ret[static GUEST_TDI_LOCK_SIZE]);
void guest_tdreport_write(const GuestTdreport *request, uint8_t ret[static GUEST_TDREPORT_SIZE]);

/*
 * The status of any response; *ret_body and *ret_body_size: what follows it, borrowed (nothing
 * unless OK).
 */
int guest_response_parse(GuestStatus *ret, const uint8_t **ret_body, size_t *ret_body_size,
			 const void *data, size_t size);

/*
 * Writes a response with that status, and body only if it is OK. Returns its size, 0 if body is
 * larger than GUEST_RESPONSE_MAX_BODY.
 */
size_t guest_response_write(GuestStatus status, const void *body, size_t body_size,
			    uint8_t ret[static GUEST_RESPONSE_MAX_SIZE]);

int guest_tdi_status_parse(GuestTdiStatus *ret, const void *body, size_t size);
void guest_tdi_status_write(const GuestTdiStatus *status,
			    uint8_t ret[static GUEST_TDI_STATUS_SIZE]);
