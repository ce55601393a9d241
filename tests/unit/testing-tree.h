/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A made-up guest's files: sysfs with one function in it, /proc, /run. */
#pragma once

#include "agent/tree.h"

#include "../scratch-folder.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TESTING_BDF	   "0000:01:00.0"
#define TESTING_DEVICE	   "/sys/bus/pci/devices/" TESTING_BDF
#define TESTING_TVM	   "00112233-4455-6677-8899-aabbccddeeff"
#define TESTING_GENERATION 5
#define TESTING_BAR0	   0xfe000000U
#define TESTING_BAR0_SIZE  0x4000U
#define TESTING_BOOT_ID	   "11111111-2222-3333-4444-555555555555"

typedef struct TestingTree {
	char root[64];
	Tree tree;
} TestingTree;

__attribute__((format(printf, 3, 4))) static inline void
testing_put(const TestingTree *t, const char *path, const char *format, ...)
{
	char full[512], *slash;
	va_list arguments;
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", t->root, path);
	for (slash = strchr(full + strlen(t->root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "w");
	cr_assert_not_null(file, "%s", full);
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	fclose(file);
}

static inline void testing_tree_init(TestingTree *t)
{
	cr_assert(scratch_folder(t->root, sizeof(t->root), NULL));
	t->tree.root = t->root;
	testing_put(t, "/proc/sys/kernel/random/boot_id", TESTING_BOOT_ID "\n");
	testing_put(t, "/sys/bus/pci/drivers_autoprobe", "1\n");
	testing_put(t, "/sys/bus/pci/drivers_probe", "%s", "");
	testing_put(t, "/sys/bus/pci/drivers/nvme/unbind", "%s", "");
	testing_put(t, "/sys/bus/pci/devices/.keep", "%s", "");
	testing_put(t, "/run/.keep", "%s", "");
}

static inline void testing_tree_done(TestingTree *t)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", t->root);
	cr_assert_eq(system(command), 0);
}

static inline void testing_put_resource(const TestingTree *t, uint64_t bar0)
{
	testing_put(
		t, TESTING_DEVICE "/resource",
		"0x%016llx 0x%016llx 0x0000000000140204\n"
		"0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n",
		(unsigned long long)bar0, (unsigned long long)bar0 + TESTING_BAR0_SIZE - 1);
}

/* Configuration space with only COMMAND and BAR 0 in it. */
static inline void testing_put_config(const TestingTree *t, uint32_t bar0)
{
	uint8_t config[4096] = { 0 };
	char path[256];
	FILE *file;

	for (unsigned int i = 0; i < 4; i++)
		config[0x10 + i] = (uint8_t)((bar0 | 4U) >> (8 * i));
	snprintf(path, sizeof(path), "%s" TESTING_DEVICE "/config", t->root);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(config, sizeof(config), 1, file), 1);
	fclose(file);
}

/* The function that TESTING_IDENTITY names. */
static inline void testing_put_function(const TestingTree *t)
{
	testing_put(t, TESTING_DEVICE "/vendor", "0x1b36\n");
	testing_put(t, TESTING_DEVICE "/device", "0x0010\n");
	testing_put(t, TESTING_DEVICE "/class", "0x010802\n");
	testing_put(t, TESTING_DEVICE "/revision", "0x02\n");
	testing_put(t, TESTING_DEVICE "/subsystem_vendor", "0x1af4\n");
	testing_put(t, TESTING_DEVICE "/subsystem_device", "0x1100\n");
	testing_put(t, TESTING_DEVICE "/enable", "0\n");
	testing_put_resource(t, TESTING_BAR0);
	testing_put_config(t, TESTING_BAR0);
}

static inline void testing_bind_driver(const TestingTree *t, bool bound)
{
	char path[256];

	snprintf(path, sizeof(path), "%s" TESTING_DEVICE "/driver", t->root);
	if (bound)
		cr_assert_eq(symlink("../../../bus/pci/drivers/nvme", path), 0);
	else
		unlink(path);
}

static inline bool testing_file_is(const TestingTree *t, const char *path, const char *wanted)
{
	char text[256];

	return tree_read_line(&t->tree, text, sizeof(text), "%s", path) == 0 &&
	       strcmp(text, wanted) == 0;
}
