/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TDREPORT from this TD's own TDX module, by Linux's /dev/tdx_guest (>= 6.2). */
#pragma once

#include "agent/tree.h"
#include "core/tdreport.h"

#define TDX_GUEST_DEVICE "/dev/tdx_guest"

/* -ENOENT without a sentence: there is no such device. Other negative errnos with a sentence. */
int tdx_guest_report(uint8_t ret[static TDREPORT_SIZE], const Tree *tree,
		     const uint8_t report_data[static TDREPORT_DATA_SIZE], char **ret_error);
