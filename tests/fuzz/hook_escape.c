/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text as the inside of a JSON string, in pieces. Input: the room for each, the text. */
#include "fuzz.h"
#include "hooks/escape.h"
#include "rpc/json.h"

#include <string.h>

/* Escapes all of it between quotes; the buffer is large enough by the bound of escape.h. */
static size_t escape_all(char *out, size_t room, const char *data, size_t size)
{
	static const char begin[] = "{\"x\":\"", end[] = "\"}";
	size_t used = sizeof(begin) - 1;

	memcpy(out, begin, used);
	while (size) {
		const char *before = data;
		size_t n = escape_json(out + used, room, &data, &size);

		CHECK(data > before && n > 0 && n <= room);
		CHECK(n <= ESCAPE_MAX * (size_t)(data - before));
		used += n;
	}
	memcpy(out + used, end, sizeof(end));
	return used + sizeof(end) - 1;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(json_unrefp) json_object *object = NULL;
	_cleanup_free_ char *out = NULL;
	const char *text = (const char *)data + 1;
	bool valid;
	size_t n;

	if (size == 0)
		return false;
	size--;
	out = malloc(ESCAPE_MAX * size + 16 + ESCAPE_MAX + 64);
	CHECK(out);
	n = escape_all(out, ESCAPE_MAX + data[0] % 58, text, size);
	valid = json_utf8_valid(text, size) && (size == 0 || !memchr(text, '\0', size));
	CHECK((json_parse(&object, out, n, NULL) == 0) == valid);
	if (valid) {
		const char *back = json_get_string(object, "x");

		CHECK(strlen(back) == size && memcmp(back, text, size) == 0);
	}
	return valid;
}
