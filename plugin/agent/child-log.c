/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/child-log.h"

#include "rpc/log.h"

#include <stdio.h>
#include <string.h>

void child_log_init(ChildLog *log, const char *title)
{
	memset(log, 0, sizeof(*log));
	snprintf(log->title, sizeof(log->title), "%s", title);
}

/* Less what a cut has left of a UTF-8 character. */
static size_t whole_characters(const char *text, size_t size)
{
	while (size && ((unsigned char)text[size] & 0xc0) == 0x80)
		size--;
	return size;
}

static void line_end(ChildLog *log)
{
	if (log->used) {
		log->line[log->used] = '\0';
		log_info("%s: %s%s", log->title, log->line, log->cut ? "..." : "");
	}
	log->used = 0;
	log->cut = false;
}

static void line_add(ChildLog *log, char c)
{
	if (log->cut)
		return;
	if (log->used < CHILD_LOG_LINE_MAX) {
		log->line[log->used++] = c;
		return;
	}
	log->line[CHILD_LOG_LINE_MAX] = c;
	log->used = whole_characters(log->line, CHILD_LOG_LINE_MAX);
	log->cut = true;
}

void child_log_add(ChildLog *log, const char *text, size_t size)
{
	for (size_t i = 0; i < size && !log->full; i++) {
		if (++log->total > CHILD_LOG_MAX) {
			line_end(log);
			log_warning("%s: says more than %u bytes, the rest is left out", log->title,
				    CHILD_LOG_MAX);
			log->full = true;
		} else if (text[i] == '\n') {
			line_end(log);
		} else {
			/* A NUL would end the line for everybody else. */
			line_add(log, text[i] ? text[i] : ' ');
		}
	}
}

void child_log_end(ChildLog *log)
{
	line_end(log);
}
