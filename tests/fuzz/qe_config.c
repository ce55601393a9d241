/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-qe-emulated's configuration */
#include "fuzz.h"
#include "quote/emulated/config.h"

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) Config *config = NULL;
	char *error = NULL;

	if (!fuzz_good_own(config_parse(&config, (const char *)data, size, &error), error))
		return false;
	CHECK(config->socket[0] == '/' && config->state[0] == '/' &&
	      config->platform_key[0] == '/');
	CHECK(!config->control || config->control[0] == '/');
	CHECK(config->tcp.any.sa_family == AF_INET || config->tcp.any.sa_family == AF_INET6);
	CHECK(config->vsock_port != UINT32_MAX);
	CHECK(config->allow_uids.n <= SETTINGS_UIDS_MAX);
	return true;
}
