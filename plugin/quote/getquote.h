/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TDG.VP.VMCALL<GetQuote> for a VMM that has none of its own: carries a TDX guest's TDREPORT to a
 * quoting service and its quote back into the buffer that the guest shares. QEMU 10.1 and later
 * does this itself.
 *
 *	in the VMM's handler of the exit (with KVM: KVM_EXIT_TDX, run->tdx.get_quote):
 *		buffer = shared memory at [R12, R12 + R13), or NULL;
 *		R10 = getquote_submit(g, R12, buffer, R13, event);
 *	when `event` becomes readable:
 *		inject the vector of SetupEventNotifyInterrupt, if the guest asked for one
 *	before the guest's memory is unmapped:
 *		g = getquote_free(g);
 *
 * The service is Intel's QGS, or whatever speaks its protocol: tdi-quoted, for one, which limits
 * each domain and knows more than one QGS. Each request is a connection of its own.
 *
 * Link with libgetquote.a and -pthread; nothing but libc is behind it. The layout of the guest's
 * buffer and the numbers that the guest sees are in core/getquote-buffer.h.
 */
#pragma once

#include "core/getquote-buffer.h"

#include <stdint.h>

/* Requests of one guest at a time: TDX_MAX_GET_QUOTE_REQUEST of QEMU's target/i386/kvm/tdx.c. */
#define GETQUOTE_IN_FLIGHT_DEFAULT 16u
#define GETQUOTE_IN_FLIGHT_MAX	   64u

/*
 * Milliseconds that a request may take, from getquote_submit() on. Linux waits 30 s for its quote
 * (getquote_timeout of drivers/virt/coco/tdx-guest/tdx-guest.c), and what it finds in flight then
 * makes each later quote of that guest fail.
 */
#define GETQUOTE_DEADLINE_DEFAULT_MS 25000u
#define GETQUOTE_DEADLINE_MAX_MS     29000u

/* Port of QGS on vsock: qgs.conf of Intel's DCAP. */
#define GETQUOTE_VSOCK_PORT 4050u

/*
 * The largest TDREPORT that is taken, in bytes. Today's have 1,024. A larger in_len is an invalid
 * operand.
 */
#define GETQUOTE_REPORT_MAX (32u * 1024)

typedef struct GetquoteOptions {
	/*
	 * Where the service listens: a unix stream socket, or if this is NULL a vsock address,
	 * where port 0 stands for GETQUOTE_VSOCK_PORT. The text is copied. Nothing needs to listen
	 * yet.
	 */
	const char *unix_path;
	uint32_t vsock_cid, vsock_port;

	unsigned int in_flight;	  /* 0: GETQUOTE_IN_FLIGHT_DEFAULT */
	unsigned int deadline_ms; /* 0: GETQUOTE_DEADLINE_DEFAULT_MS */

	/*
	 * Told why a guest got no quote, in one line without newline, UTF-8, that is the caller's
	 * only during the call. May be NULL. Runs on the library's thread, and holds up all
	 * requests while it does; it must not call the library. However often a guest asks in vain,
	 * there are at most 20 lines in 10 seconds.
	 */
	void (*log)(void *userdata, const char *line);
	void *userdata;
} GetquoteOptions;

/* One guest's requests. */
typedef struct Getquote Getquote;

/*
 * Starts a thread, which blocks all signals. One of these for each guest; nothing is shared between
 * them. Returns 0 and *ret, which getquote_free() frees; -EINVAL for an option out of its range or
 * an empty path, -ENAMETOOLONG when the path does not fit a socket address (107 bytes), or what
 * eventfd() and pthread_create() fail with.
 */
int getquote_new(Getquote **ret, const GetquoteOptions *options);

/*
 * A guest's call. `address` and `size` are R12 (without the shared bit) and R13 as the guest gave
 * them, in bytes; the checks are made here. `buffer` is the VMM's own mapping of all of that range,
 * in one piece, writable and aligned to 8 bytes; NULL when the range is not shared memory of this
 * guest. `event` is an eventfd that gets 1 added when the request is done, or -1.
 *
 * Returns what the call returns in R10:
 *   GETQUOTE_CALL_SUCCESS          The buffer's status is GETQUOTE_IN_FLIGHT, and will be, within
 *                                  the deadline and whatever the service does: GETQUOTE_SUCCESS
 *                                  with out_len and the quote; or GETQUOTE_ERROR (refused,
 *                                  malformed, late, or larger than the buffer) or
 *                                  GETQUOTE_SERVICE_UNAVAILABLE (nobody there), each with out_len 0
 *                                  and data as the guest left it.
 *   GETQUOTE_CALL_RETRY            As many as allowed are in flight, or a buffer that overlaps this
 *                                  one is, or memory is short.
 *   GETQUOTE_CALL_INVALID_OPERAND  size is 0 or above GETQUOTE_SIZE_MAX, buffer is NULL or
 *                                  misaligned, version is not 1, in_len is 0 or more than fits.
 *   GETQUOTE_CALL_ALIGN_ERROR      address or size is not a multiple of 4 KiB.
 * With the latter three the buffer has not been written to.
 *
 * From success to the request's end, or to the return of getquote_free(), the mapping has to stay,
 * and `event` has to stay open: both are borrowed. The guest may write to the buffer whenever it
 * likes: each of its fields is read once, here, and what is written later does not depend on it.
 * What the guest does to the buffer it does to itself.
 *
 * Does not block on anything but another call's copying; any thread may call it, and several at the
 * same time.
 */
uint64_t getquote_submit(Getquote *g, uint64_t address, void *buffer, uint64_t size, int event);

/*
 * Ends all requests: what is in flight gets GETQUOTE_SERVICE_UNAVAILABLE, and its event. When it
 * has returned no thread is left and no buffer and no event is touched any more. It waits for no
 * service. Not at the same time as any other call for `g`. Returns NULL; g may be NULL.
 */
Getquote *getquote_free(Getquote *g);
