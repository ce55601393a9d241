/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder of a test's own, below /tmp unless it says otherwise. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* `ret` becomes its path, with what mkdtemp(3) puts for the six letters. False: errno says why. */
static inline bool scratch_folder(char *ret, size_t size, const char *above)
{
	int n = snprintf(ret, size, "%s/tdid-test-XXXXXX", above ? above : "/tmp");

	return n > 0 && (size_t)n < size && mkdtemp(ret);
}
