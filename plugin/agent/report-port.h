/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A socket on which the running agent hands out TDREPORTs of the emulated platform, made by its
 * TSM, to this VM's root: to `tdi-agent quote`.
 *
 * The agent does it, and not the program that wants one, because it owns both ways there: the guest
 * port can be open once, and the sealed messages of this TVM are counted. A second program would
 * have to open a session of its own with the TSM, which ends the agent's in the middle of a
 * verification. Without an agent there is no report.
 *
 * SOCK_SEQPACKET, one exchange per connection:
 *	asked	 64 bytes of report data
 *	answered u8 0, the report (1,024 bytes); or u8 1, a sentence in UTF-8 without a NUL
 */
#pragma once

#include "agent/loop.h"
#include "agent/tree.h"
#include "agent/tsm-client.h"
#include "core/cleanup.h"
#include "core/tdreport.h"

#include <stdbool.h>

#define REPORT_PORT_FOLDER	"/run/tdi-agent"
#define REPORT_PORT_PATH	REPORT_PORT_FOLDER "/tdreport"
#define REPORT_PORT_CLIENTS	8u
#define REPORT_PORT_ANSWER_MAX	(1 + TDREPORT_SIZE)
#define REPORT_PORT_ANSWER_USEC (25 * USEC_PER_SEC)	  /* from the connection on */
#define REPORT_PORT_FDS		(1 + REPORT_PORT_CLIENTS) /* places in the event loop */

enum {
	REPORT_PORT_OK = 0,
	REPORT_PORT_REFUSED = 1,
};

typedef struct ReportPort ReportPort;

typedef struct ReportPortOptions {
	Loop *loop;
	const Tree *tree;
	TsmClient *client;
	bool allow_emulated; /* the policy's: no TSM but an emulated one makes TDREPORTs */
	uint64_t answer_usec;
} ReportPortOptions;

/*
 * Everything in *options is borrowed, and has to outlive the port; what was there under that path
 * is replaced. Negative errno.
 */
int report_port_new(ReportPort **ret, const ReportPortOptions *options);
ReportPort *report_port_free(ReportPort *port);
DEFINE_CLEANUP(ReportPort, report_port_free);
