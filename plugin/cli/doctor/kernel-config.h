/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options that the running kernel was built with. */
#pragma once

#include <stddef.h>

typedef struct KernelConfig {
	char *text;   /* NULL: it cannot be read, which says nothing about the options */
	char *origin; /* the file that it is of */
} KernelConfig;

typedef enum KernelOption {
	KERNEL_OPTION_UNKNOWN, /* the configuration is not readable */
	KERNEL_OPTION_NO,      /* also where the kernel has no such option */
	KERNEL_OPTION_MODULE,
	KERNEL_OPTION_YES, /* built in, or a number or string */
} KernelOption;

/*
 * /proc/config.gz (through gzip), /boot/config-RELEASE or /lib/modules/RELEASE/config, whichever
 * can be read first, below `root`.
 */
void kernel_config_load(KernelConfig *ret, const char *root, const char *release);
void kernel_config_done(KernelConfig *config);

/* `name` without CONFIG_. */
KernelOption kernel_config_get(const KernelConfig *config, const char *name);
