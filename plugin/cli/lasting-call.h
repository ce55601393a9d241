/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A call of CLI_INTERFACE that outlives tdid: it is made again when tdid is back. */
#pragma once

#include "cli/cli.h"

typedef struct LastingCall LastingCall;

typedef struct LastingCallOptions {
	const char *method;
	unsigned flags; /* VARLINK_CALL_* */
	/* Also when the first connection ends before any answer; else that is a failure. */
	bool patient;
	/* For this attempt. 0, or a negative errno, which is a failure. */
	int (*parameters)(json_object **ret, void *userdata);
	/* An answer or an error of tdid's. The call may be freed in here. */
	void (*replied)(const VarlinkReply *reply, void *userdata);
	/* It is over, and standard error has been told why. */
	void (*failed)(CliStatus status, void *userdata);
} LastingCallOptions;

/*
 * Connects at once; that this fails is told on standard error, and is the result. The options are
 * copied, and what they point to has to last.
 */
CliStatus lasting_call_new(LastingCall **ret, const Cli *cli, sd_event *event,
			   const LastingCallOptions *options, void *userdata);
LastingCall *lasting_call_free(LastingCall *call);
DEFINE_CLEANUP(LastingCall, lasting_call_free);
