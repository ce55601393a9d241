/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How often somebody may: so many times a second on the average, so many at once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct TokenBucket {
	uint32_t rate;	     /* tokens a second, at least 1 */
	uint32_t burst;	     /* tokens that a full bucket has, at least 1 */
	uint64_t level_usec; /* what it holds, in the time that it takes to fill with it */
	uint64_t at_usec;    /* of a monotonic clock */
} TokenBucket;

/* A full one. */
static inline void token_bucket_init(TokenBucket *bucket, uint32_t rate, uint32_t burst,
				     uint64_t now_usec)
{
	*bucket = (TokenBucket){
		.rate = rate,
		.burst = burst,
		.level_usec = UINT64_C(1000000) * burst / rate,
		.at_usec = now_usec,
	};
}

/* 0: a token has been taken. Else microseconds until there is one. */
static inline uint64_t token_bucket_take(TokenBucket *bucket, uint64_t now_usec)
{
	uint64_t full = UINT64_C(1000000) * bucket->burst / bucket->rate;
	uint64_t one = UINT64_C(1000000) / bucket->rate ?: 1;
	uint64_t passed = now_usec > bucket->at_usec ? now_usec - bucket->at_usec : 0;

	bucket->at_usec = now_usec > bucket->at_usec ? now_usec : bucket->at_usec;
	bucket->level_usec =
		passed < full - bucket->level_usec ? bucket->level_usec + passed : full;
	if (bucket->level_usec < one)
		return one - bucket->level_usec;
	bucket->level_usec -= one;
	return 0;
}

/* One that was not used after all. */
static inline void token_bucket_give_back(TokenBucket *bucket)
{
	uint64_t full = UINT64_C(1000000) * bucket->burst / bucket->rate;
	uint64_t one = UINT64_C(1000000) / bucket->rate ?: 1;

	bucket->level_usec = bucket->level_usec + one < full ? bucket->level_usec + one : full;
}
