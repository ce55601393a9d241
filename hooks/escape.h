/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text as the inside of a JSON string (RFC 8259 section 7), piece by piece. */
#pragma once

#include <stddef.h>

/* No byte becomes longer than this ("\u001f"). */
#define ESCAPE_MAX 6

/*
 * Escapes from *data (advancing *data and *size) into `out` for as long as whole characters fit
 * into `room`. What is not UTF-8 is passed on as it is: the receiver refuses it.
 * Returns how many bytes were written; with room >= ESCAPE_MAX at least one byte is taken.
 */
size_t escape_json(char *out, size_t room, const char **data, size_t *size);
