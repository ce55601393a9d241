/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A function's configuration space, as tdictl reads it through libpci. */
#include "cli/pci-config.h"
#include "folder.h"
#include "fuzz.h"

#include <string.h>

bool fuzz_one(const uint8_t *data, size_t size)
{
	const Bdf bdf = { .bus = 1 };
	PciConfig config = {};

	fuzz_folder_put("bus/pci/devices/0000:01:00.0/config", data, size);
	pci_config_read(&config, fuzz_folder(), bdf);
	CHECK(config.basic || !config.tee_io);
	CHECK(config.extended || !(config.has_ide || config.has_sriov || config.n_doe));
	CHECK(config.has_ide || !(config.link_ide || config.selective_ide));
	CHECK(config.has_sriov || config.vfs_total == 0);
	CHECK(config.n_doe <= PCI_CONFIG_DOE_MAX);
	for (size_t i = 0; i < config.n_doe; i++)
		CHECK(config.doe[i] >= 0x100 && config.doe[i] < 4096);
	CHECK(memchr(config.trouble, '\0', sizeof(config.trouble)));
	return config.basic;
}
