/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hook's search: the same markers however read(2) cut the text. Input: how it is cut, text. */
#include "fuzz.h"
#include "hooks/scan.h"

#include <string.h>

static void check_words(unsigned int found, size_t size)
{
	char words[SCAN_WORDS_SIZE];

	CHECK(scan_words(found, words, size) == words);
	CHECK(strlen(words) < size);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	unsigned int wanted = 0, step;
	Scan scan = {};

	if (size == 0)
		return false;
	step = *data++;
	size--;
	for (unsigned int i = 0; i < SCAN_MARKERS; i++) {
		const char *text = scan_marker_text(i);

		if (memmem(data, size, text, strlen(text)))
			wanted |= 1u << i;
	}
	for (size_t at = 0; at < size;) {
		size_t n = step % 23 ? step % 23 : 64;

		n = n < size - at ? n : size - at;
		scan_feed(&scan, (const char *)data + at, n);
		at += n;
		step = step / 23 + data[at - 1];
	}
	CHECK(scan.found == wanted);
	check_words(wanted, SCAN_WORDS_SIZE);
	check_words(wanted, 1 + size % SCAN_WORDS_SIZE);
	return wanted;
}
