/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a child says on standard error, as lines of our log: bounded, whoever the child is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CHILD_LOG_LINE_MAX  400	  /* bytes; the rest of a longer line is left out */
#define CHILD_LOG_MAX	    8192u /* bytes in all; what comes after that is left out */
#define CHILD_LOG_TITLE_MAX 96

typedef struct ChildLog {
	char title[CHILD_LOG_TITLE_MAX + 1];
	char line[CHILD_LOG_LINE_MAX + 1];
	size_t used; /* of the line */
	size_t total;
	bool cut; /* the line */
	bool full;
} ChildLog;

/* title: before each line; copied, as far as there is room. */
void child_log_init(ChildLog *log, const char *title);
void child_log_add(ChildLog *log, const char *text, size_t size);
/* A line that has no end gets one. */
void child_log_end(ChildLog *log);
