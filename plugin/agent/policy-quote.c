/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/policy-quote.h"

#include "core/cleanup.h"
#include "core/refusal.h"
#include "rpc/json.h"

#include <inttypes.h>

typedef struct QuoteText {
	const char *vsock, *tcp;
	uint32_t timeout_ms;
} QuoteText;

void policy_quote_init(PolicyQuote *ret)
{
	*ret = (PolicyQuote){ .timeout_ms = POLICY_QUOTE_USUAL_TIMEOUT_MS };
	stream_address_vsock(&ret->vsock, "2:4050", NULL);
}

int policy_quote_read(PolicyQuote *ret, json_object *object, char **ret_error)
{
	static const JsonField fields[] = {
		{ "vsock", JSON_FIELD_STRING, 0, offsetof(QuoteText, vsock) },
		{ "tcp", JSON_FIELD_STRING, 0, offsetof(QuoteText, tcp) },
		{ "timeout_ms", JSON_FIELD_U32, 0, offsetof(QuoteText, timeout_ms),
		  POLICY_QUOTE_MIN_TIMEOUT_MS, POLICY_QUOTE_MAX_TIMEOUT_MS },
		{ 0 },
	};
	QuoteText p = { .timeout_ms = POLICY_QUOTE_USUAL_TIMEOUT_MS };
	_cleanup_free_ char *cause = NULL;
	int r;

	policy_quote_init(ret);
	r = json_dispatch(object, fields, &p, 0, ret_error);
	if (r < 0)
		return r;
	ret->timeout_ms = p.timeout_ms;
	if (p.vsock && (r = stream_address_vsock(&ret->vsock, p.vsock, &cause)) < 0)
		return refuse(ret_error, r, "vsock: %s", cause ? cause : "out of memory");
	if (p.tcp && (r = stream_address_tcp(&ret->tcp, p.tcp, &cause)) < 0)
		return refuse(ret_error, r, "tcp: %s", cause ? cause : "out of memory");
	return 0;
}

void policy_quote_describe(const PolicyQuote *quote, FILE *out)
{
	fprintf(out, "quotes: from %s%s%s, %" PRIu32 " ms each\n", quote->vsock.text,
		quote->tcp.size ? ", then " : "", quote->tcp.text, quote->timeout_ms);
}
