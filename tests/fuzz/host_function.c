/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A PCI function in sysfs. Input: which of its files is another than usual, and what is in it. */
#include "tsm/common/host-function.h"
#include "folder.h"
#include "fuzz.h"

#include <string.h>

#define FOLDER "bus/pci/devices/0000:01:00.0/"
#define NO_BAR "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"

static const struct {
	const char *path, *text;
} files[] = {
	{ FOLDER "vendor", "0x8086\n" },
	{ FOLDER "device", "0x10c9\n" },
	{ FOLDER "class", "0x020000\n" },
	{ FOLDER "revision", "0x01\n" },
	{ FOLDER "subsystem_vendor", "0x8086\n" },
	{ FOLDER "subsystem_device", "0xa03c\n" },
	{ FOLDER "resource",
	  "0x00000000fe800000 0x00000000fe81ffff 0x0000000000040200\n" NO_BAR NO_BAR NO_BAR NO_BAR
		  NO_BAR },
	{ FOLDER "config", "" },
};

#define N_FILES (sizeof(files) / sizeof(files[0]))

static void check_function(const HostFunction *f)
{
	const HostMsix *m = &f->msix;

	CHECK(!f->is_virtual && bdf_equal(f->bdf, f->physical));
	CHECK(f->identity.class_code <= 0xffffff);
	CHECK(!m->present || (m->table_bar < HOST_FUNCTION_N_BARS &&
			      m->pba_bar < HOST_FUNCTION_N_BARS && m->table_size <= 2048 * 16));
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	static size_t changed = N_FILES;
	const Bdf bdf = { .bus = 1 };
	char *error = NULL;
	HostFunction f;

	if (size == 0)
		return false;
	for (size_t i = 0; i < N_FILES; i++)
		if (changed == N_FILES || changed == i)
			fuzz_folder_put(files[i].path, files[i].text, strlen(files[i].text));
	changed = data[0] % N_FILES;
	fuzz_folder_put(files[changed].path, data + 1, size - 1);
	if (!fuzz_good(host_function_read(&f, fuzz_folder(), bdf, &error), error))
		return false;
	check_function(&f);
	return true;
}
