/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder of a test's own, below /tmp unless it says otherwise. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* `ret` becomes its path. False: errno says why. */
static inline bool scratch_folder(char *ret, size_t size, const char *above)
{
	/* mkdtemp(3) wants six of them, and puts others in their place. */
	static const char letters[7] = { [0 ... 5] = 'X' };
	int n = snprintf(ret, size, "%s/tdid-test-%s", above ? above : "/tmp", letters);

	return n > 0 && (size_t)n < size && mkdtemp(ret);
}
