/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A longer message ends in "...": one message, one write, one line. */
#define LOG_LINE_MAX 2048

static LogLevel log_max_level = LOG_LEVEL_INFO;

void log_set_level(LogLevel level)
{
	log_max_level = level;
}

static const char *level_name(LogLevel level)
{
	switch (level) {
	case LOG_LEVEL_ERROR: return "error";
	case LOG_LEVEL_WARNING: return "warning";
	case LOG_LEVEL_INFO: return "info";
	case LOG_LEVEL_DEBUG: return "debug";
	}
	return "message";
}

/* C0, DEL, and C1 as UTF-8 encodes it (C2 80..9F): terminals act on all three. */
static size_t control_length(const unsigned char *p)
{
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	return p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f ? 2 : 0;
}

static size_t append_visible(char *line, size_t used, size_t size, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	/* Each round writes at most eight bytes; "...", newline and NUL must still fit. */
	while (*p && used + 8 + 5 <= size) {
		size_t n = control_length(p);

		if (n == 0)
			line[used++] = (char)*p++;
		for (; n > 0; n--)
			used += (size_t)snprintf(line + used, size - used, "\\x%02x", *p++);
	}
	if (*p)
		used += (size_t)snprintf(line + used, size - used, "...");
	return used;
}

void log_message(LogLevel level, const char *format, ...)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 128];
	int saved_errno = errno;
	size_t used;
	va_list ap;

	if (level > log_max_level)
		return;

	va_start(ap, format);
	errno = saved_errno; /* for %m */
	if (vsnprintf(text, sizeof(text), format, ap) < 0)
		text[0] = '\0';
	va_end(ap);

	if (getenv("JOURNAL_STREAM"))
		used = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
	else
		used = (size_t)snprintf(line, sizeof(line),
					"%.64s: %s: ", program_invocation_short_name,
					level_name(level));
	used = append_visible(line, used, sizeof(line), text);
	line[used++] = '\n';

	/* One write, so that lines of several processes on one stream stay whole. */
	for (const char *p = line; used > 0;) {
		ssize_t n = write(STDERR_FILENO, p, used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		p += n;
		used -= (size_t)n;
	}
	errno = saved_errno;
}
