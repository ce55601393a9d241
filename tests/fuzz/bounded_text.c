/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Input: the bound (1 byte), the text up to its first NUL. */
#include "daemon/bounded-text.h"
#include "core/cleanup.h"
#include "fuzz.h"
#include "rpc/json.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL, *bounded = NULL, *again = NULL;
	size_t max;

	if (size == 0)
		return false;
	max = 4 + (size_t)data[0] % 60;
	text = strndup((const char *)data + 1, size - 1);
	bounded = bounded_text(text, max);
	CHECK(bounded && strlen(bounded) <= max);
	CHECK(json_utf8_valid(bounded, strlen(bounded)));
	if (json_utf8_valid(text, strlen(text)) && strlen(text) <= max)
		CHECK(strcmp(text, bounded) == 0);
	again = bounded_text(bounded, max);
	CHECK(again && strcmp(again, bounded) == 0);
	return true;
}
