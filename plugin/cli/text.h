/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text of others on a terminal: made harmless, measured and cut. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A copy in which whatever could steer a terminal or forge a line (C0, DEL, C1 in UTF-8, bytes
 * that are not UTF-8) is a '?'. NULL gives NULL. Memory that is out ends the process, here and
 * below.
 */
char *text_clean(const char *text);

/* Columns on a terminal (wcwidth(3): the locale's LC_CTYPE should be UTF-8). */
size_t text_width(const char *text);

/* How many bytes of `text` fit into `columns`, whole characters only. */
size_t text_cut(const char *text, size_t columns);

/* "1.234 s", "12.345 ms", "67 us". Returns `buffer`. */
#define TEXT_DURATION_SIZE 32
const char *text_duration(uint64_t usec, char buffer[static TEXT_DURATION_SIZE]);

/* An allocated string, as asprintf(3). */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
