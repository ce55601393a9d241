/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's or a provider's words on their way into records and lists that others have to read. */
#pragma once

#include <stddef.h>

/*
 * An allocated copy of at most `max` bytes (at least 4), always valid UTF-8: what is not becomes
 * '?', and what is too long ends in "..." at a whole character. NULL when memory is out.
 */
char *bounded_text(const char *text, size_t max);
