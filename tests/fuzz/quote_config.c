/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tdi-quoted's configuration, and the addresses in it */
#include "fuzz.h"
#include "quote/config.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) Config *config = NULL;
	char *error = NULL;

	if (!fuzz_good_own(config_parse(&config, (const char *)data, size, &error), error))
		return false;
	CHECK(config->sockets[0] == '/' && config->control[0] == '/' && config->records[0] == '/');
	CHECK(config->n_upstreams >= 1 && config->n_upstreams <= CONFIG_UPSTREAMS_MAX);
	CHECK(config->n_listen <= CONFIG_LISTENERS_MAX);
	CHECK(config->silence_usec + config->deadline_usec <= 22000000);
	CHECK(config->attempt_usec <= config->deadline_usec && config->attempt_usec > 0);
	CHECK(config->limits.rate_per_second && config->limits.burst && config->limits.in_flight);
	for (size_t i = 0; i < config->n_upstreams; i++) {
		char text[ADDRESS_STRING_SIZE];
		Address again;

		CHECK(config->upstreams[i].parallel > 0);
		/* What is shown names the same address. */
		CHECK(address_parse(&again, config->upstreams[i].name, NULL) == 0);
		CHECK(strcmp(address_format(&again, text), config->upstreams[i].name) == 0);
	}
	return true;
}
