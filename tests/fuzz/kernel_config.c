/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kernel's configuration, against a reading line by line. Input: an option's name, NUL, text. */
#include "cli/doctor/kernel-config.h"
#include "core/cleanup.h"
#include "fuzz.h"

#include <string.h>

static KernelOption model(const char *text, const char *line)
{
	for (const char *at = text; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		size_t n = strlen(line), value = strcspn(at, "\n");

		if (strncmp(at, line, n) != 0 || value < n)
			continue;
		if (value == n + 1 && at[n] == 'm')
			return KERNEL_OPTION_MODULE;
		return value == n + 1 && at[n] == 'n' ? KERNEL_OPTION_NO : KERNEL_OPTION_YES;
	}
	return KERNEL_OPTION_NO;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
	_cleanup_free_ char *line = NULL;
	KernelConfig config = {};
	const char *name = (const char *)data;
	KernelOption option;

	if (!nul || !*name || strchr(name, '\n') || strchr(name, '='))
		return false;
	config.text = strndup((const char *)nul + 1, size - (size_t)(nul + 1 - data));
	CHECK(config.text && asprintf(&line, "CONFIG_%s=", name) > 0);
	option = kernel_config_get(&config, name);
	CHECK(option == model(config.text, line));
	kernel_config_done(&config);
	return option != KERNEL_OPTION_NO;
}
