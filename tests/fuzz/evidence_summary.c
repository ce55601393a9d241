/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device's evidence as tdictl prints it: nothing in it reaches the terminal as a control. */
#include "cli/evidence-summary.h"
#include "core/cleanup.h"
#include "fuzz.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "certificates", "vca", "measurements", "report" };
	_cleanup_free_ char *words = NULL;
	EvidencePart part;
	bool good;
	FILE *out;
	size_t n;

	if (size == 0)
		return false;
	part = (EvidencePart){ names[data[0] % ELEMENTSOF(names)], (uint8_t *)data + 1, size - 1 };
	out = open_memstream(&words, &n);
	CHECK(out);
	good = evidence_summary_print(&part, out);
	fclose(out);
	CHECK(strlen(words) == n);
	for (char *p = words; *p; p++)
		*p = *p == '\n' ? ' ' : *p;
	CHECK(fuzz_is_shown(words));
	return good;
}
