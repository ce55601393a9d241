/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The TDREPORT of an emulated TVM. Nothing of it was measured, and it says so:
 *
 *	ATTRIBUTES	DEBUG, the bit by which a verifier knows that the host can look inside
 *	XFAM		x87 and SSE, the least that a TD can have
 *	MRTD		SHA-384 of "tdid emulated TVM, nothing measured"
 *	MRCONFIGID	SHA-384 of "tdid emulated TVM " and the domain's UUID in lower case
 *	the rest	zero: MROWNER, MROWNERCONFIG, RTMR0 to RTMR3
 *
 * So MRTD is the same for all of them, and MRCONFIGID tells which TVM asked: the report was asked
 * for over a channel whose key only that TVM (and the host's root) has.
 */
#pragma once

#include "core/tdreport.h"
#include "core/uuid.h"

#define TVM_REPORT_ATTRIBUTES_DEBUG UINT64_C(1)
#define TVM_REPORT_XFAM		    UINT64_C(3)

/* 0 or -EIO. */
int tvm_report_make(uint8_t ret[static TDREPORT_SIZE], Uuid tvm,
		    const uint8_t report_data[static TDREPORT_DATA_SIZE],
		    const uint8_t key[static TDREPORT_KEY_SIZE]);
