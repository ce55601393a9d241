/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bounded waits on condition variables, by CLOCK_MONOTONIC. */
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline void deadline_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

/* For pthread_cond_timedwait on a condition made above. */
static inline struct timespec deadline_from_now(uint64_t wait_usec)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += (long)(wait_usec % 1000000) * 1000;
	t.tv_sec += (time_t)(wait_usec / 1000000) + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}
