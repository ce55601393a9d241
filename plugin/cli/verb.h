/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A call that a verb of the TSM stands behind, and the wait for what comes of it. */
#pragma once

#include "cli/cli.h"

#define VERB_TIMEOUT_USEC (300 * 1000000ULL)

typedef struct VerbCall {
	const char *method;    /* of CLI_INTERFACE */
	const char *verb;      /* for people: device_connect */
	const char *parameter; /* the only one, and the name of the object that is answered */
	/* One line about that object, allocated. */
	char *(*line)(json_object *object);
	/* For a call with more to it: what it is called with (borrowed), and what is answered. */
	json_object *parameters;
	const char *object;
	void (*print)(json_object *object); /* instead of `line`, where one is not enough */
	/* With `more`: a line about what came before the answer, allocated; NULL: none. */
	char *(*progress)(json_object *parameters);
	bool timed; /* tdid has been told of the timeout, and answers itself */
} VerbCall;

/*
 * Calls it for the device at `address` (with `parameters`, only for people), and prints the object.
 * After a second standard error says what is waited for; after cli->timeout_usec (0:
 * VERB_TIMEOUT_USEC) the wait is over, and what was asked for goes on.
 */
CliStatus verb_run(const Cli *cli, const VerbCall *call, const char *address);

/* For the help of whatever waits so. */
#define VERB_TIMEOUT_HELP                                                                          \
	"\n"                                                                                       \
	"  --timeout SECONDS  wait no longer than that, and end with 4 (300); it goes on\n"
