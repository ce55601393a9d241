/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A made-up host for tests of the TSM providers: a sysfs tree in a folder. */
#pragma once

#include "core/bdf.h"
#include "core/bytes.h"
#include "core/cleanup.h"
#include "core/uuid.h"

#include "../scratch-folder.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define PF	 "0000:01:00.0"
#define VF0	 "0000:01:10.0"
#define VF1	 "0000:01:10.2"
#define PLAIN_PF "0000:02:00.0" /* configured, tee_io false */
#define OTHER_PF "0000:03:00.0" /* on the host, not configured */
#define ABSENT	 "0000:04:00.0"

#define TVM_A "11111111-2222-3333-4444-555555555555"
#define TVM_B "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

static char testing_root[64];

static inline const char *testing_path(const char *format, ...)
{
	static char path[PATH_MAX];
	va_list arguments;
	size_t n;

	n = (size_t)snprintf(path, sizeof(path), "%s/", testing_root);
	va_start(arguments, format);
	vsnprintf(path + n, sizeof(path) - n, format, arguments);
	va_end(arguments);
	return path;
}

static inline void testing_write(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f, "%s", path);
	cr_assert_eq(fwrite(data, 1, size, f), size);
	fclose(f);
}

static inline void testing_attribute(const char *bdf, const char *name, const char *text)
{
	testing_write(testing_path("sys/bus/pci/devices/%s/%s", bdf, name), text, strlen(text));
}

static inline void testing_link(const char *bdf, const char *name, const char *target)
{
	cr_assert_eq(symlink(target, testing_path("sys/bus/pci/devices/%s/%s", bdf, name)), 0);
}

/* Configuration space with an MSI-X capability: table in BAR 3 at 0, PBA in BAR 3 at 0x2000. */
static inline void testing_config_space(const char *bdf)
{
	uint8_t config[256] = {};

	config[0x06] = 0x10;
	config[0x34] = 0x40;
	config[0x40] = 0x01; /* power management first */
	config[0x41] = 0x70;
	config[0x70] = 0x11;
	config[0x72] = 2; /* three vectors */
	config[0x74] = 3;
	config[0x78] = 3;
	config[0x79] = 0x20;
	testing_write(testing_path("sys/bus/pci/devices/%s/config", bdf), config, sizeof(config));
}

static inline void testing_function(const char *bdf, const char *device, const char *resource)
{
	cr_assert_eq(mkdir(testing_path("sys/bus/pci/devices/%s", bdf), 0755), 0);
	testing_attribute(bdf, "vendor", "0x8086\n");
	testing_attribute(bdf, "device", device);
	testing_attribute(bdf, "class", "0x020000\n");
	testing_attribute(bdf, "revision", "0x01\n");
	testing_attribute(bdf, "subsystem_vendor", "0x8086\n");
	testing_attribute(bdf, "subsystem_device", "0xa03c\n");
	testing_attribute(bdf, "resource", resource);
	testing_config_space(bdf);
}

#define TESTING_NO_BAR "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"

#define TESTING_PF_RESOURCE                                                                        \
	"0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n" TESTING_NO_BAR                \
	"0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"                               \
	"0x00000000fe820000 0x00000000fe823fff 0x0000000000040200\n" TESTING_NO_BAR TESTING_NO_BAR

static inline void testing_virtual(const char *bdf, unsigned int number)
{
	char resource[1024], link[32], target[64];
	unsigned long long start = 0x800000000ULL + number * 0x4000ULL;

	snprintf(resource, sizeof(resource),
		 "0x%016llx 0x%016llx 0x000000000014220c\n" TESTING_NO_BAR TESTING_NO_BAR
		 "0x%016llx 0x%016llx 0x000000000014220c\n" TESTING_NO_BAR TESTING_NO_BAR,
		 start, start + 0x3fff, start + 0x20000, start + 0x23fff);
	testing_function(bdf, "0x10ca\n", resource);
	testing_link(bdf, "physfn", "../" PF);
	testing_link(bdf, "iommu_group", "../../../../kernel/iommu_groups/17");
	testing_link(bdf, "driver", "../../../../bus/pci/drivers/vfio-pci");
	snprintf(link, sizeof(link), "virtfn%u", number);
	snprintf(target, sizeof(target), "../%s", bdf);
	testing_link(PF, link, target);
}

static inline void testing_host_new(void)
{
	cr_assert(scratch_folder(testing_root, sizeof(testing_root), getenv("TMPDIR")));
	mkdir(testing_path("sys"), 0755);
	mkdir(testing_path("sys/bus"), 0755);
	mkdir(testing_path("sys/bus/pci"), 0755);
	mkdir(testing_path("sys/bus/pci/devices"), 0755);
	testing_function(PF, "0x10c9\n", TESTING_PF_RESOURCE);
	testing_virtual(VF0, 0);
	testing_virtual(VF1, 1);
	testing_function(PLAIN_PF, "0x10d3\n", TESTING_PF_RESOURCE);
	testing_function(OTHER_PF, "0x10d3\n", TESTING_PF_RESOURCE);
}

static inline int testing_remove(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static inline void testing_host_remove(void)
{
	nftw(testing_root, testing_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline Bdf testing_bdf(const char *text)
{
	Bdf bdf;

	cr_assert_eq(bdf_parse(&bdf, text), 0, "%s", text);
	return bdf;
}

static inline Uuid testing_uuid(const char *text)
{
	Uuid uuid;

	cr_assert_eq(uuid_from_string(&uuid, text), 0, "%s", text);
	return uuid;
}
