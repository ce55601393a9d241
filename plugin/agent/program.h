/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program of the TVM owner's that answers one question: bytes on its standard input, an answer
 * on its standard output, within a time. The event loop goes on meanwhile.
 */
#pragma once

#include "agent/loop.h"
#include "core/cleanup.h"

#include <stddef.h>
#include <stdint.h>

#define PROGRAM_FDS 4 /* places in the event loop that one takes */

typedef struct Program Program;

typedef enum ProgramEnd {
	PROGRAM_EXITED,	     /* value: its exit status */
	PROGRAM_SIGNALLED,   /* value: the signal that ended it */
	PROGRAM_NOT_STARTED, /* value: the errno of execve */
	PROGRAM_LATE,	     /* the time was over */
	PROGRAM_FLOOD,	     /* it wrote more than output_max bytes */
	PROGRAM_LOST,	     /* value: the errno of whatever failed here */
} ProgramEnd;

typedef struct ProgramResult {
	ProgramEnd end;
	int value;
	/* What it had written to standard output, with a NUL behind. Borrowed. */
	const char *output;
	size_t output_size;
} ProgramResult;

typedef struct ProgramOptions {
	const char *title;	/* of the log's lines; copied */
	char *const *arguments; /* [0]: an absolute path; no shell and no search. Borrowed for the
				   call */
	const void *input;	/* copied */
	size_t input_size;
	size_t output_max;
	uint64_t time_usec;
	/* Called once, never from within program_new(); the receiver may free the program. */
	void (*ended)(void *userdata, const ProgramResult *result);
	void *userdata;
} ProgramOptions;

/*
 * It starts in /, in a process group of its own, with PATH and LANG as its environment, every
 * signal at its default and no descriptor but 0 to 2. SIGPIPE has to be ignored in this process: a
 * program need not read its input. It has ended when its first process has; whatever it has started
 * in its group is killed then. It does not outlive this process. Negative errno: none runs.
 */
int program_new(Program **ret, Loop *loop, const ProgramOptions *options);

/* One that still runs is killed with its process group. The handler is not called any more. */
Program *program_free(Program *program);
DEFINE_CLEANUP(Program, program_free);
