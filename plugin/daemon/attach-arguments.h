/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parameters of io.tdid.Assignments.Attach, read; and how far an assignment has come by them.
 */
#pragma once

#include "core/bdf.h"
#include "core/engine.h"
#include "rpc/varlink-server.h"

typedef struct AttachArguments {
	const char *domain; /* name or UUID; borrowed, like the token */
	Bdf device;
	char *alias; /* with its prefix */
	bool named;  /* by the caller */
	const char *token;
	AssignmentState wait_for;
	bool dry_run;
	int64_t timeout_ms; /* 0: not given */
} AttachArguments;

/* 0; 1 when the call has been answered, because a parameter is none; -ENOMEM. */
int attach_arguments_read(AttachArguments *ret, VarlinkCall *call, json_object *parameters);
void attach_arguments_done(AttachArguments *arguments);

/* The state's place on the way from attached to running; -1: off it. */
int attach_progress(AssignmentState state);
