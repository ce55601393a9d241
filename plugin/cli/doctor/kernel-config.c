/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor/kernel-config.h"

#include "cli/doctor/host-tree.h"
#include "cli/doctor/program.h"
#include "cli/text.h"
#include "core/cleanup.h"

#include <string.h>

/* Debian's has 260 KiB. */
#define CONFIG_SIZE_MAX (4u * 1024 * 1024)
#define GZIP_TIMEOUT_MS 3000
#define CONFIG_BANNER	"CONFIG_"

/* What is no kernel configuration would make every option look unset. */
static bool plausible(const char *text, size_t size)
{
	return strlen(text) == size && strstr(text, "\n" CONFIG_BANNER);
}

static char *read_plain(const char *root, const char *path)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	if (host_tree_read(root, path, CONFIG_SIZE_MAX, &text, &size) < 0 || !plausible(text, size))
		return NULL;
	return steal_ptr(text);
}

static char *read_compressed(const char *root, const char *path)
{
	_cleanup_free_ char *full = host_tree_path(root, path), *text = NULL;
	const char *const arguments[] = { "gzip", "-dc", full, NULL };
	size_t size;

	if (!host_tree_has(root, path, NULL) ||
	    program_output(arguments, GZIP_TIMEOUT_MS, CONFIG_SIZE_MAX, &text, &size) < 0 ||
	    !plausible(text, size))
		return NULL;
	return steal_ptr(text);
}

void kernel_config_load(KernelConfig *ret, const char *root, const char *release)
{
	*ret = (KernelConfig){ .text = read_compressed(root, "/proc/config.gz") };
	if (ret->text)
		ret->origin = text_format("/proc/config.gz");
	/* A name that leads elsewhere is no release. */
	if (!release[0] || strchr(release, '/'))
		return;
	for (int i = 0; !ret->text && i < 2; i++) {
		_cleanup_free_ char *path = i == 0 ? text_format("/boot/config-%s", release)
						   : text_format("/lib/modules/%s/config", release);

		ret->text = read_plain(root, path);
		if (ret->text)
			ret->origin = steal_ptr(path);
	}
}

void kernel_config_done(KernelConfig *config)
{
	free(config->text);
	free(config->origin);
	*config = (KernelConfig){ 0 };
}

KernelOption kernel_config_get(const KernelConfig *config, const char *name)
{
	_cleanup_free_ char *line = text_format(CONFIG_BANNER "%s=", name);
	const char *at = config->text;
	size_t length = strlen(line);

	if (!config->text)
		return KERNEL_OPTION_UNKNOWN;
	for (; (at = strstr(at, line)); at += length) {
		if (at != config->text && at[-1] != '\n')
			continue;
		if (at[length] == 'm' && (at[length + 1] == '\n' || !at[length + 1]))
			return KERNEL_OPTION_MODULE;
		return at[length] == 'n' && (at[length + 1] == '\n' || !at[length + 1])
			       ? KERNEL_OPTION_NO
			       : KERNEL_OPTION_YES;
	}
	return KERNEL_OPTION_NO;
}
