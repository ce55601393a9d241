/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the running agent for a TDREPORT (report-port.h). Waits; not for the agent's event loop. */
#pragma once

#include "agent/tree.h"
#include "core/tdreport.h"

/*
 * Negative errno with a sentence. time_usec: longer than REPORT_PORT_ANSWER_USEC, or its reasons
 * are not heard.
 */
int report_call(uint8_t ret[static TDREPORT_SIZE], const Tree *tree,
		const uint8_t report_data[static TDREPORT_DATA_SIZE], uint64_t time_usec,
		char **ret_error);
