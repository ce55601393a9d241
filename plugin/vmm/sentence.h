/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An error message beside an error code. */
#pragma once

/* Puts the sentence into *ret_error (allocated, NULL without memory; nothing when ret_error is
 * NULL) and returns r, so that a refusal is one statement. What *ret_error had is not freed. */
int sentence(char **ret_error, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
