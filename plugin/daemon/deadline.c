/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/deadline.h"

#include "rpc/event-loop.h"

/* It goes into a record as a JSON integer. */
uint64_t deadline_after(uint64_t usec)
{
	uint64_t now = boottime_usec();

	return usec < INT64_MAX - now ? now + usec : INT64_MAX;
}

uint64_t deadline_left(uint64_t deadline)
{
	uint64_t now = boottime_usec();

	return deadline > now ? deadline - now : 0;
}

uint64_t deadline_restored(uint64_t recorded, uint64_t whole)
{
	uint64_t latest = deadline_after(whole);

	return recorded > 0 && recorded < latest ? recorded : latest;
}
