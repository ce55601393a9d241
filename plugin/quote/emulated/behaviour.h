/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the service is to behave now (io.tdid.QeEmulated), and what it has done so far. */
#pragma once

#include "mishap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Behaviour {
	Mishap mishap;
	uint64_t times; /* how many requests it still hits; BEHAVIOUR_ALL */
	uint32_t delay_ms;
	size_t quote_size; /* 0: their own */
	bool lose_split_requests;
	bool stop_accepting; /* at the next connection */

	uint64_t requests, answered, refused, mishaps;
} Behaviour;

#define BEHAVIOUR_ALL UINT64_MAX

/* What goes wrong with the request whose turn it is. Counts. */
static inline Mishap behaviour_take_mishap(Behaviour *behaviour)
{
	if (behaviour->mishap.kind == MISHAP_NONE || behaviour->times == 0)
		return (Mishap){};
	if (behaviour->times != BEHAVIOUR_ALL)
		behaviour->times--;
	behaviour->mishaps++;
	return behaviour->mishap;
}
