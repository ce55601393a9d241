/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/verdict.h"
#include "fuzz.h"

#include "core/cleanup.h"

#include <errno.h>
#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	Verdict verdict = { .accepted = true };
	_cleanup_free_ char *reason = NULL;
	char *error = NULL;
	int r = verdict_parse(&verdict, (const char *)data, size, &error);

	if (!fuzz_good(r, error)) {
		CHECK(r == -EINVAL || r == -EBADMSG || r == -E2BIG);
		CHECK(!verdict.reason);
		return false;
	}
	reason = verdict.reason;
	CHECK(verdict.accepted || reason);
	/* It goes to a log and to the host as it is. */
	CHECK(!reason || (*reason && fuzz_is_shown(reason)));
	CHECK(!reason || strlen(reason) <= 4 * VERDICT_REASON_MAX);
	return true;
}
