/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The member "quote" of the agent's policy: where `tdi-agent quote` asks. */
#pragma once

#include "agent/stream-address.h"

#include <json-c/json.h>

#include <stdint.h>
#include <stdio.h>

#define POLICY_QUOTE_MIN_TIMEOUT_MS   100
#define POLICY_QUOTE_MAX_TIMEOUT_MS   600000
#define POLICY_QUOTE_USUAL_TIMEOUT_MS 30000 /* Linux waits as long for a quote of its own */

typedef struct PolicyQuote {
	StreamAddress vsock; /* the host's port 4050 unless it says otherwise */
	/*
	 * None unless it says so. Nobody has to listen at the default gateway's port 4050, and who
	 * does sees the report data: that is for the owner to want.
	 */
	StreamAddress tcp;
	uint32_t timeout_ms; /* of one way */
} PolicyQuote;

/* What holds without the member. */
void policy_quote_init(PolicyQuote *ret);

/* 0, -EINVAL with a sentence. */
int policy_quote_read(PolicyQuote *ret, json_object *object, char **ret_error);

/* Says in words what it means. */
void policy_quote_describe(const PolicyQuote *quote, FILE *out);
