/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The buffer that a TDX guest shares with its VMM for TDG.VP.VMCALL<GetQuote>.
 *
 *	offset  size
 *	 0      8     version, 1
 *	 8      8     status, written by the VMM
 *	16      4     in_len, bytes of data that are the guest's TDREPORT
 *	20      4     out_len, written by the VMM: bytes of data that are the quote
 *	24            data
 *
 * All little-endian. From the GHCI specification for TDX 1.0, section TDG.VP.VMCALL<GetQuote>, as
 * Linux (drivers/virt/coco/tdx-guest) and QEMU (target/i386/kvm/tdx.c) carry it out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GETQUOTE_HEADER_SIZE 24u
#define GETQUOTE_PAGE_SIZE   4096u
#define GETQUOTE_SIZE_MAX    (128u * 1024) /* Linux's and QEMU's limit for the whole buffer */
#define GETQUOTE_VERSION     1u

/* `status` in the buffer. */
#define GETQUOTE_SUCCESS	     UINT64_C(0)
#define GETQUOTE_IN_FLIGHT	     UINT64_C(0xffffffffffffffff)
#define GETQUOTE_ERROR		     UINT64_C(0x8000000000000000)
#define GETQUOTE_SERVICE_UNAVAILABLE UINT64_C(0x8000000000000001)

/* What the call itself returns in R10. */
#define GETQUOTE_CALL_SUCCESS	      UINT64_C(0)
#define GETQUOTE_CALL_RETRY	      UINT64_C(1)
#define GETQUOTE_CALL_INVALID_OPERAND UINT64_C(0x8000000000000000)
#define GETQUOTE_CALL_ALIGN_ERROR     UINT64_C(0x8000000000000002)

typedef struct GetquoteHeader {
	uint64_t version;
	uint64_t status;
	uint32_t in_len, out_len;
} GetquoteHeader;

/* From and to a private copy: shared memory is for getquote.c, which reads each field once. */
void getquote_header_read(GetquoteHeader *ret, const uint8_t bytes[static GETQUOTE_HEADER_SIZE]);
void getquote_header_write(uint8_t bytes[static GETQUOTE_HEADER_SIZE],
			   const GetquoteHeader *header);

/*
 * What the call has to return for a buffer at this guest-physical address (R12) and of this size
 * (R13), before anybody looks into it: _INVALID_OPERAND when the size is 0, _ALIGN_ERROR when one
 * of them is not a multiple of 4 KiB, _INVALID_OPERAND when the size is above GETQUOTE_SIZE_MAX or
 * the end above 2^64, else GETQUOTE_CALL_SUCCESS. In this order, as QEMU has it.
 */
uint64_t getquote_check_call(uint64_t address, uint64_t size);

/*
 * Whether such a header, in a buffer of this size, asks for something: version 1, and in_len above
 * 0 and within the buffer. Status and out_len are the VMM's to write; the specification has the
 * guest clear them, but QEMU takes whatever stands there, and so a guest that uses its buffer a
 * second time may have left what it was told the first time. NULL if so, else a static sentence.
 */
const char *getquote_check_header(const GetquoteHeader *header, size_t buffer_size);
