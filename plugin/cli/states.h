/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of io.tdid.Assignments.State on the command line. */
#pragma once

#include "cli/cli.h"
#include "core/engine.h"

typedef struct States {
	bool is[ASSIGNMENT_N_STATES];
} States;

/* "locked,running". `option` is for the message about a word that is no state. */
CliStatus states_parse(const Cli *cli, const char *option, const char *text, States *ret);

/* "locked or running", allocated. */
char *states_words(const States *states);
