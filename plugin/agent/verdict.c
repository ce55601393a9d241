/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/verdict.h"

#include "core/refusal.h"
#include "rpc/json.h"

#include <errno.h>
#include <string.h>

typedef struct VerdictText {
	const char *verdict, *reason;
} VerdictText;

/* It goes to a log and to the host's operator: one line, not a long one. */
static int reason_check(const char *text, char **ret_error)
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		/* C0, DEL, and C1 as UTF-8 has it. */
		if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
			return refuse(ret_error, -EINVAL,
				      "\"reason\" has control characters: it is one line");
		n += (*p & 0xc0) != 0x80;
	}
	if (n == 0 || n > VERDICT_REASON_MAX)
		return refuse(ret_error, -EINVAL, "\"reason\" has %zu characters, expected 1 to %u",
			      n, VERDICT_REASON_MAX);
	return 0;
}

int verdict_parse(Verdict *ret, const char *text, size_t size, char **ret_error)
{
	static const JsonField fields[] = {
		{ "verdict", JSON_FIELD_STRING, JSON_REQUIRED, offsetof(VerdictText, verdict) },
		{ "reason", JSON_FIELD_STRING, 0, offsetof(VerdictText, reason) },
		{ 0 },
	};
	_cleanup_(json_unrefp) json_object *object = NULL;
	VerdictText p = { 0 };
	bool accepted;
	int r;

	r = json_parse_limited(&object, text, size, VERDICT_MAX_SIZE, ret_error);
	if (r == 0)
		r = json_dispatch(object, fields, &p, 0, ret_error);
	if (r < 0)
		return r;
	accepted = strcmp(p.verdict, "accept") == 0;
	if (!accepted && strcmp(p.verdict, "reject") != 0)
		return refuse(ret_error, -EINVAL,
			      "\"verdict\" is \"%s\", expected \"accept\" or \"reject\"",
			      json_shown(p.verdict));
	if (!accepted && !p.reason)
		return refuse(ret_error, -EINVAL, "\"reason\" is missing from a rejection");
	r = p.reason ? reason_check(p.reason, ret_error) : 0;
	if (r < 0)
		return r;
	*ret = (Verdict){ .accepted = accepted };
	if (p.reason)
		ret->reason = strdup(p.reason);
	return p.reason && !ret->reason ? -ENOMEM : 0;
}
