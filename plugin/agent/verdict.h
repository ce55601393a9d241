/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a relying party's command answers (schemas/relying-party-verdict.schema.json):
 * {"verdict": "accept"} or {"verdict": "reject", "reason": "..."}, and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define VERDICT_MAX_SIZE   65536u /* bytes of the document */
#define VERDICT_REASON_MAX 500u	  /* characters */

typedef struct Verdict {
	bool accepted;
	char *reason; /* NULL: none was given, which only an acceptance may do */
} Verdict;

/*
 * -EBADMSG or -E2BIG (no strict JSON), -EINVAL, with a sentence; -ENOMEM. On success free
 * ret->reason.
 */
int verdict_parse(Verdict *ret, const char *text, size_t size, char **ret_error);
