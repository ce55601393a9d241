/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is explored: who may be where, and how much may happen. */
#pragma once

#include "core/policy.h"

#include <stdbool.h>
#include <stdint.h>

#define MAX_TVMS	2
#define MAX_DSMS	2
#define MAX_TDIS	3
#define MAX_ASSIGNMENTS 6

/* Who may be where, and how much may happen. `trouble` is shared by everything that goes wrong. */
typedef struct Scenario {
	const char *name;
	uint8_t tvms, dsms, tdis, assignments;
	uint8_t tvm_of[MAX_ASSIGNMENTS], tdi_of[MAX_ASSIGNMENTS];
	uint8_t dsm_of[MAX_TDIS];
	uint8_t arrivals;      /* per assignment */
	uint8_t hotplugs;      /* altogether; 0: no limit but that */
	uint8_t trouble, deep; /* more of it with --deep */
	uint8_t requests;      /* to connect or reclaim a DSM, altogether */
	uint8_t clears;	       /* requests to clear a TDI, altogether */
	bool clears_any;       /* also of one that is not quarantined */
	uint8_t changes;       /* of a live domain's metadata, altogether */
	uint8_t refusals;      /* arrivals that admission refuses, altogether */
	Policy policy, other;  /* a change is from one to the other */
	bool ready_at_once;    /* the TSM binds without waiting for the guest */
	bool errors_untold;    /* by the TSM, of a session that is lost: only that it is */
	bool host_carries;     /* a bind leaves CONFIG_UNLOCKED; LOCK and START are the host's to
				  issue, when the guest asks for them */
} Scenario;
