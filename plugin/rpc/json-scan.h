/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lexical check in front of json-c, which is lenient even when told to be strict. */
#pragma once

#include <stddef.h>

typedef struct JsonScan {
	size_t start, end; /* of the object, white space left off */
	size_t members;	   /* of all objects in it: json-c's tree has fewer if a name came twice */
} JsonScan;

/*
 * Checks that the bytes are one object in the form json.h describes, except for duplicate names
 * and infinite doubles. Returns 0; -EBADMSG or -E2BIG (depth) with a sentence.
 */
int json_scan(JsonScan *ret, const char *text, size_t len, char **ret_error);

/* Length of the UTF-8 sequence at `text`, 0 if it is malformed. */
size_t json_utf8_length(const char *text, size_t len);
