/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/pci-config.h"

#include "core/cleanup.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include <pci/pci.h>

/* PCIe 6.1, 7.5.3.3; not in libpci 3.9's header. */
#define DEVICE_CAPABILITIES_TEE_IO (1u << 30)
/* Integrity and Data Encryption Extended Capability, PCIe 6.1, 7.9.26. */
#define EXT_CAP_ID_IDE	   0x30
#define IDE_CAPABILITY	   0x04
#define IDE_CAP_LINK	   (1u << 0)
#define IDE_CAP_SELECTIVE  (1u << 1)
#define FIRST_EXTENDED	   0x100
#define FIRST_UNPRIVILEGED 0x40 /* from here on the kernel wants CAP_SYS_ADMIN */

/* libpci's callbacks have no argument of their own; this process reads one function at a time. */
static PciConfig *current;

__attribute__((noreturn, format(printf, 1, 2))) static void on_error(char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(current->trouble, sizeof(current->trouble), format, ap);
	va_end(ap);
	_exit(EXIT_FAILURE);
}

__attribute__((format(printf, 1, 2))) static void on_warning(char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(current->trouble, sizeof(current->trouble), format, ap);
	va_end(ap);
}

/* False too where the file ends before. */
static bool readable(struct pci_dev *device, int at, uint32_t *ret)
{
	uint8_t bytes[4];

	if (!pci_read_block(device, at, bytes, sizeof(bytes)))
		return false;
	*ret = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
	return true;
}

static void read_extended(PciConfig *ret, struct pci_dev *device)
{
	uint32_t value;

	/* All ones: not the function answers, but a bridge for it. */
	ret->extended = readable(device, FIRST_EXTENDED, &value) && value != UINT32_MAX;
	if (!ret->extended)
		return;
	for (const struct pci_cap *cap = device->first_cap; cap; cap = cap->next) {
		int at = (int)cap->addr;

		/* A malformed chain may lead back to below; there is none. */
		if (cap->type != PCI_CAP_EXTENDED || at < FIRST_EXTENDED)
			continue;
		switch (cap->id) {
		case EXT_CAP_ID_IDE:
			if (!readable(device, at + IDE_CAPABILITY, &value))
				break;
			ret->has_ide = true;
			ret->link_ide = value & IDE_CAP_LINK;
			ret->selective_ide = value & IDE_CAP_SELECTIVE;
			break;
		case PCI_EXT_CAP_ID_SRIOV:
			if (!readable(device, at + PCI_IOV_INITIALVF, &value))
				break;
			ret->has_sriov = true;
			ret->vfs_total = (uint16_t)(value >> 16);
			break;
		case PCI_EXT_CAP_ID_DOE:
			if (ret->n_doe < PCI_CONFIG_DOE_MAX)
				ret->doe[ret->n_doe++] = (uint16_t)at;
			break;
		default: break;
		}
	}
}

static void read_device(PciConfig *ret, struct pci_dev *device)
{
	const struct pci_cap *express;
	uint32_t value;

	/* Not the identity: a virtual function's reads as all ones (PCIe 6.1, 9.3.4.1.1). */
	if (!readable(device, PCI_COMMAND, &value))
		return;
	if (value == UINT32_MAX) {
		snprintf(ret->trouble, sizeof(ret->trouble), "the function does not answer");
		return;
	}
	if (!readable(device, FIRST_UNPRIVILEGED, &value))
		return;
	pci_fill_info(device, PCI_FILL_CAPS | PCI_FILL_EXT_CAPS);
	express = pci_find_cap(device, PCI_CAP_ID_EXP, PCI_CAP_NORMAL);
	if (!express) {
		ret->basic = ret->extended = true;
		return;
	}
	ret->pcie = true;
	ret->basic = readable(device, (int)express->addr + PCI_EXP_DEVCAP, &value);
	ret->tee_io = ret->basic && (value & DEVICE_CAPABILITIES_TEE_IO);
	if (ret->basic)
		read_extended(ret, device);
}

void pci_config_read(PciConfig *ret, const char *sysfs, Bdf bdf)
{
	static char parameter[] = "sysfs.path";
	struct pci_access *access;
	struct pci_dev *device;
	char path[PATH_MAX];

	current = ret;
	if (snprintf(path, sizeof(path), "%s/bus/pci", sysfs) >= (int)sizeof(path))
		return;
	access = pci_alloc();
	access->method = PCI_ACCESS_SYS_BUS_PCI;
	access->error = on_error;
	access->warning = on_warning;
	pci_set_param(access, parameter, path);
	pci_init(access);
	device = pci_get_dev(access, bdf.segment, bdf.bus, bdf.device, bdf.function);
	read_device(ret, device);
	pci_free_dev(device);
	pci_cleanup(access);
	if (ret->basic)
		ret->trouble[0] = '\0';
}
