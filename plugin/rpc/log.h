/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages on standard error: for the journal where systemd listens, else for a person. */
#pragma once

/* The numbers are syslog's (RFC 5424 section 6.2.1), as sd-daemon(3) prefixes them. */
typedef enum LogLevel {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
} LogLevel;

/* Messages above `level` are dropped; the start value is LOG_LEVEL_INFO. */
void log_set_level(LogLevel level);

/*
 * One line: "<N>text" when $JOURNAL_STREAM is set, else "program: level: text". Control characters
 * in the finished text are shown as \xNN, so that what a guest or a device says cannot forge a
 * line. Secrets must not be passed in: nothing is filtered. errno is preserved.
 */
void log_message(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)
