/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two users of the tsm-proxy kernel module (plugin/kmod) have agreed on beyond its header.
 * The kernel looks at none of it.
 *
 *	BIND, flags		the bind's generation
 *	GUEST_REQ, request	the TVM's sealed message, as it is
 *	GUEST_REQ, reply	a JSON object: the parameters of the reply to GuestRequest of
 *				io.tdid.Tsm; with an error of the TSM's: {"error", "parameters"}
 *	error of any reply	proxy_errno() of the outcome
 */
#pragma once

#include "tsm/common/tsm-refusal.h"

#include <stdint.h>

/* `flags` has 32 bits. */
#define PROXY_GENERATION_MAX UINT32_MAX

/*
 * A positive errno for an outcome that is not success. None of them is one that the module uses
 * for something of its own.
 */
int proxy_errno(TsmOutcome outcome);

/* The outcome of a positive errno, or -ENOENT: it is not one of the above. */
int proxy_outcome(int error);
