/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration of the emulated TSM for a made-up host. */
#pragma once

#include "testing-host.h"
#include "tsm/emulated/config.h"

/* extra: more members, "" or beginning with a comma. device_extra: of the TEE-IO device. */
static inline Config *testing_config(const char *extra, const char *device_extra)
{
	_cleanup_free_ char *text = NULL, *error = NULL;
	Config *config = NULL;

	cr_assert_geq(asprintf(&text,
			       "{\"socket\": \"%s/socket\", \"state\": \"%s/state\","
			       " \"keys\": \"%s/keys\", \"sysfs\": \"%s/sys\","
			       " \"devices\": [{\"device\": \"" PF "\", \"tee_io\": true %s},"
			       " {\"device\": \"" PLAIN_PF "\"}] %s}",
			       testing_root, testing_root, testing_root, testing_root, device_extra,
			       extra),
		      0);
	cr_assert_eq(config_parse(&config, text, strlen(text), &error), 0, "%s", error);
	return config;
}
