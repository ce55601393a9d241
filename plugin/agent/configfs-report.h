/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A quote from the kernel: configfs-tsm (Linux >= 6.7, Documentation/ABI/testing/
 * configfs-tsm-report), which asks the VMM by TDG.VP.VMCALL<GetQuote>. Waits as long as the kernel
 * does, 30 s; not for the agent's event loop.
 */
#pragma once

#include "agent/tree.h"
#include "core/tdreport.h"

#define CONFIGFS_REPORTS "/sys/kernel/config/tsm/report"

/*
 * *ret is allocated: the quote as the kernel gave it, unread. -ENOENT without a sentence: this
 * kernel offers none. Other negative errnos with a sentence.
 */
int configfs_report_quote(uint8_t **ret, size_t *ret_size, const Tree *tree,
			  const uint8_t report_data[static TDREPORT_DATA_SIZE], char **ret_error);

/* The same from a report's folder that is there already; `name`: its own, below CONFIGFS_REPORTS.
 */
int configfs_report_read(uint8_t **ret, size_t *ret_size, const Tree *tree, const char *name,
			 const uint8_t report_data[static TDREPORT_DATA_SIZE], char **ret_error);
