/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of a device that has left the way to RUN, and for how long its guest is waited for.
 *
 * tdid.conf gives the floor; a domain's metadata may only tighten it. From strict to lenient:
 * detach, hold, rebind.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum PolicyAction {
	POLICY_DETACH, /* take it out of the domain */
	POLICY_HOLD,   /* leave it there, unbound, until somebody acts */
	POLICY_REBIND, /* bind it again after a while, so often and no more; then hold */
	POLICY_N_ACTIONS,
} PolicyAction;

const char *policy_action_name(PolicyAction action);
/* -EINVAL on any other word. */
int policy_action_parse(PolicyAction *ret, const char *name);

typedef struct Policy {
	PolicyAction on_reject;	 /* the guest refused it, or took its acceptance back */
	PolicyAction on_timeout; /* the guest did not get ready, or did not validate */
	PolicyAction on_error;	 /* the device or its TSM failed */
	uint32_t rebinds; /* since it was attached, or its guest booted, or it ran steadily */
	uint64_t guest_timeout_usec;
	bool require_tvm; /* true: whatever tdid.conf says, only in a confidential VM */
} Policy;

/* The most lenient of all: what tightens nothing. */
extern const Policy policy_lenient;

/* But for the time that a guest is waited for. */
extern const Policy policy_strictest;

/* The stricter of both in each respect. */
Policy policy_tighten(const Policy *a, const Policy *b);
bool policy_equal(const Policy *a, const Policy *b);
