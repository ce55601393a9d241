/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * systemd's units. What has failed too often (by default 5 times in 10 s) systemd gives up, and the
 * socket that starts it, too: whoever calls is refused then instead of waiting for the next start.
 */
#include "core/cleanup.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value that counts, allocated: the last one of this section; NULL: there is none. */
static char *setting(const char *path, const char *section, const char *name)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[512], *value = NULL;
	bool here = false;

	cr_assert_not_null(f, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '[')
			here = strncmp(line + 1, section, strlen(section)) == 0 &&
			       strcmp(line + 1 + strlen(section), "]") == 0;
		if (!here || strncmp(line, name, strlen(name)) != 0 || line[strlen(name)] != '=')
			continue;
		free(value);
		value = strdup(line + strlen(name) + 1);
	}
	return value;
}

static void assert_tried_for_ever(const char *path)
{
	_cleanup_free_ char *limit = setting(path, "Unit", "StartLimitIntervalSec");
	_cleanup_free_ char *pause = setting(path, "Service", "RestartSec");
	_cleanup_free_ char *restart = setting(path, "Service", "Restart");

	cr_assert(restart && (strcmp(restart, "on-failure") == 0 || strcmp(restart, "always") == 0),
		  "%s", path);
	cr_assert(limit && strcmp(limit, "0") == 0, "%s: StartLimitIntervalSec=%s", path,
		  limit ?: "(10s)");
	/* By default 100 ms: a loop of crashes would be a busy one. */
	cr_assert(pause && strcmp(pause, "1") == 0, "%s: RestartSec=%s", path, pause ?: "(100ms)");
}

Test(units, are_tried_for_ever)
{
	assert_tried_for_ever(TESTING_REPOSITORY "/plugin/daemon/units/tdid.service.in");
	assert_tried_for_ever(TESTING_REPOSITORY
			      "/plugin/tsm/linux/units/tdi-tsm-linux.service.in");
	assert_tried_for_ever(TESTING_REPOSITORY
			      "/plugin/tsm/emulated/units/tdi-tsm-emulated.service.in");
	assert_tried_for_ever(TESTING_REPOSITORY "/plugin/agent/units/tdi-agent.service.in");
	assert_tried_for_ever(TESTING_REPOSITORY "/plugin/quote/units/tdi-quoted.service.in");
	assert_tried_for_ever(TESTING_REPOSITORY
			      "/plugin/quote/emulated/units/tdi-qe-emulated.service.in");
}
