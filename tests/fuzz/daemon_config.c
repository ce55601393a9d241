/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdid.conf */
#include "daemon/config.h"
#include "fuzz.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) Config *config = NULL;
	char *error = NULL;
	int r = config_parse(&config, (const char *)data, size, "tdid.conf", &error);

	CHECK(r == 0 || !error || strstr(error, "tdid.conf"));
	if (!fuzz_good_own(r, error))
		return false;
	CHECK(config->records && config->sockets && config->libvirt);
	CHECK(config->sysfs && config->require_tvm <= CONFIG_REQUIRE_TVM_NEVER);
	for (size_t i = 0; i < config->n_tsms; i++)
		CHECK(config->tsms[i].name && config->tsms[i].socket);
	return true;
}
