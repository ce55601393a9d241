/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/token-bucket.h"

#include <criterion/criterion.h>

Test(quote_token_bucket, burst_then_rate)
{
	TokenBucket bucket;

	token_bucket_init(&bucket, 10, 3, 5000);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(token_bucket_take(&bucket, 5000), 0);
	cr_assert_eq(token_bucket_take(&bucket, 5000), 100000);
	cr_assert_eq(token_bucket_take(&bucket, 5000 + 99999), 1);
	cr_assert_eq(token_bucket_take(&bucket, 5000 + 100000), 0);
	cr_assert_gt(token_bucket_take(&bucket, 5000 + 100000), 0);
}

Test(quote_token_bucket, no_more_than_full)
{
	TokenBucket bucket;

	token_bucket_init(&bucket, 10, 3, 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(token_bucket_take(&bucket, UINT64_MAX / 2), 0);
	cr_assert_gt(token_bucket_take(&bucket, UINT64_MAX / 2), 0);
	token_bucket_give_back(&bucket);
	cr_assert_eq(token_bucket_take(&bucket, UINT64_MAX / 2), 0);
	for (int i = 0; i < 10; i++)
		token_bucket_give_back(&bucket);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(token_bucket_take(&bucket, UINT64_MAX / 2), 0);
	cr_assert_gt(token_bucket_take(&bucket, UINT64_MAX / 2), 0);
}

Test(quote_token_bucket, clock_that_goes_back)
{
	TokenBucket bucket;

	token_bucket_init(&bucket, 1, 1, 1000000);
	cr_assert_eq(token_bucket_take(&bucket, 1000000), 0);
	cr_assert_eq(token_bucket_take(&bucket, 0), 1000000);
	cr_assert_eq(token_bucket_take(&bucket, 2000000), 0);
}

/* Over a long time it is the rate, whatever the rounding. */
Test(quote_token_bucket, rate_in_the_long_run)
{
	static const uint32_t rates[] = { 1, 3, 7, 20, 333, 100000 };

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		TokenBucket bucket;
		uint64_t now = 0, taken = 0;

		token_bucket_init(&bucket, rates[i], 1, 0);
		while (now < 10000000) {
			uint64_t wait = token_bucket_take(&bucket, now);

			taken += wait == 0;
			now += wait;
		}
		cr_expect(taken >= 10 * rates[i] && taken <= 10 * rates[i] + rates[i] / 10 + 2,
			  "%u: %lu", rates[i], (unsigned long)taken);
	}
}
