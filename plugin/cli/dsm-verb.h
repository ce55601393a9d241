/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A verb on one DSM, and the wait for what comes of it: what connect and reclaim share. */
#pragma once

#include "cli/verb.h"
#include "core/bdf.h"

/* The address that the argument is. Else it is told. */
CliStatus dsm_verb_address(const Cli *cli, const char *argument, char ret[static BDF_STRING_SIZE]);

/*
 * Calls `method` (Connect, Reclaim) for the DSM at `address` and prints the Dsm that it has become.
 * `verb` is its name in messages: device_connect, device_reclaim. As verb_run().
 */
CliStatus dsm_verb_run(const Cli *cli, const char *method, const char *verb, const char *address);

/* For the help of both. */
#define DSM_VERB_HELP                                                                              \
	VERB_TIMEOUT_HELP                                                                          \
	"\n"                                                                                       \
	"--json prints {dsm, tsm, state, connected, pinned, pinned_by,\n"                          \
	"connected_by, reason}.\n"
