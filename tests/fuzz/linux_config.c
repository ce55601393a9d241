/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-tsm-linux's configuration */
#include "fuzz.h"
#include "tsm/linux/config.h"

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) Config *config = NULL;
	char *error = NULL;

	if (!fuzz_good_own(config_parse(&config, (const char *)data, size, &error), error))
		return false;
	CHECK(config->socket && config->state && config->root);
	CHECK(!config->tsm || tee_io_tsm_name_valid(config->tsm));
	CHECK(config->allow_uids.n <= SETTINGS_UIDS_MAX);
	CHECK(config->deadlines.connect >= CONFIG_MIN_DEADLINE_MS &&
	      config->deadlines.look <= CONFIG_MAX_DEADLINE_MS);
	return true;
}
