/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A verb on one DSM, and the wait for what comes of it: what connect and reclaim share. */
#pragma once

#include "cli/cli.h"

/*
 * Calls `method` (Connect, Reclaim) for the DSM at `address` and prints the Dsm that it has become.
 * `verb` is its name in messages: device_connect, device_reclaim. After a second standard error
 * says what is waited for; after cli->timeout_usec (0: DSM_VERB_TIMEOUT_USEC) the wait is over, and
 * what was asked for goes on.
 */
#define DSM_VERB_TIMEOUT_USEC (300 * 1000000ULL)
CliStatus dsm_verb_run(const Cli *cli, const char *method, const char *verb, const char *address);

/* For the help of both. */
#define DSM_VERB_HELP                                                                              \
	"\n"                                                                                       \
	"  --timeout SECONDS  wait no longer than that, and end with 4 (300); it goes on\n"        \
	"\n"                                                                                       \
	"--json prints {dsm, tsm, state, connected, pinned, reason}.\n"
