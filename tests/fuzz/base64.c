/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc/base64.h"
#include "core/cleanup.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static void check_encode(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ uint8_t *again = NULL;
	size_t n;

	CHECK(base64_encode(&text, data, size) == 0);
	CHECK(base64_decode(&again, &n, text, size) == 0);
	CHECK(n == size && (n == 0 || memcmp(again, data, n) == 0));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_text(data, size), *encoded = NULL;
	_cleanup_free_ uint8_t *bytes = NULL, *none = NULL;
	size_t n;

	check_encode(data, size);
	if (!text || base64_decode(&bytes, &n, text, size) < 0)
		return false;
	/* Only one text stands for the same bytes. */
	CHECK(base64_encode(&encoded, bytes, n) == 0 && strcmp(encoded, text) == 0);
	CHECK(n == 0 || base64_decode(&none, &n, text, n - 1) == -E2BIG);
	return true;
}
