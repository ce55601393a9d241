/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes a TDI's DEVICE_INTERFACE_REPORT out of the BARs that its function really has.
 *
 * Each memory BAR becomes one range, unless it holds the MSI-X table or PBA: the pages of these are
 * ranges of their own, of TEE memory and marked as what they are if MSI-X is locked, and
 * IS_NON_TEE_MEM without a mark if it is not. A BAR smaller than a page counts as one page.
 */
#pragma once

#include "common/blob.h"
#include "core/interface-report.h"
#include "core/tdisp.h"
#include "tsm/common/host-function.h"

/* In the report's device-specific information, without the NUL. */
#define INTERFACE_LAYOUT_INFO "emulated by tdid"

/*
 * 0; TDISP_ERROR_INVALID_DEVICE_CONFIGURATION for BARs that no report can describe (two in one
 * page, too large); TDISP_ERROR_INVALID_REQUEST for a reporting offset that is not of whole pages
 * or leads out of the address space; -ENOMEM.
 */
int interface_layout(Blob *ret, const HostFunction *function, const TdispLock *lock);

/* The ranges alone, with no reporting offset. Fills *ret's ranges and n_ranges. */
int interface_layout_ranges(InterfaceReport *ret, const HostFunction *function, bool lock_msix);
