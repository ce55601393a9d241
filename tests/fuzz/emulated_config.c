/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-tsm-emulated's configuration */
#include "fuzz.h"
#include "tsm/emulated/config.h"

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) Config *config = NULL;
	char *error = NULL;

	if (!fuzz_good_own(config_parse(&config, (const char *)data, size, &error), error))
		return false;
	CHECK(config->socket && config->state && config->keys && config->sysfs);
	CHECK(config->n_devices <= CONFIG_MAX_DEVICES);
	CHECK(config->allow_uids.n <= SETTINGS_UIDS_MAX);
	for (size_t i = 0; i < config->n_devices; i++) {
		const ConfigDevice *d = &config->devices[i];

		CHECK(config_find(config, d->device) == d);
		CHECK(d->device.function == 0 && d->firmware);
		CHECK(d->latencies.connect <= CONFIG_MAX_LATENCY_MS);
	}
	return true;
}
