/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Why both sysfs `enable` and configuration space. Writing 1 to `enable` calls pci_enable_device()
 * for us: power state D0, memory decoding, and a count that outlives every driver. A driver's own
 * pci_enable_device() then only adds to the count and leaves COMMAND alone, and, what matters more,
 * its pci_disable_device() does not bring the count to zero: that is where the kernel would clear
 * bus mastering (drivers/pci/pci.c, do_pci_disable_device()), which puts a running TDI into ERROR.
 * So drivers can come and go while the TDI stays in RUN. The count is part of struct pci_dev: it
 * vanishes with the function, and an agent that starts again finds it above zero and adds nothing.
 * Bus mastering has no attribute of its own, so it is set in COMMAND; pci_set_master() later finds
 * it set and writes nothing.
 */
#include "agent/function.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"

#define DEVICE "/sys/bus/pci/devices/%s/"

/* Configuration space (PCI Express base specification, 7.5.1) */
#define CONFIG_COMMAND		  0x04
#define CONFIG_COMMAND_MEMORY	  0x0002
#define CONFIG_COMMAND_BUS_MASTER 0x0004
#define CONFIG_BAR0		  0x10
#define CONFIG_BAR_MEMORY_MASK	  0xfffffff0U
#define CONFIG_EXTENDED		  0x100
#define CONFIG_EXTENDED_MAX_CAPS  64
#define CONFIG_CAP_SERIAL	  0x0003

/* Columns of sysfs `resource` (include/linux/ioport.h) */
#define RESOURCE_MEMORY	  0x00000200ULL
#define RESOURCE_64BIT	  0x00100000ULL
#define RESOURCE_UNSET	  0x20000000ULL
#define RESOURCE_TEXT_MAX 4096

static int config_read(int fd, off_t at, void *ret, size_t size)
{
	ssize_t n = pread(fd, ret, size, at);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENODATA;
}

static int config_read_u32(int fd, off_t at, uint32_t *ret)
{
	uint32_t raw;
	int r = config_read(fd, at, &raw, sizeof(raw));

	if (r == 0)
		*ret = le32toh(raw);
	return r;
}

static int read_number(const Tree *tree, const char *address, const char *attribute, uint64_t max,
		       uint64_t *ret)
{
	int r = tree_read_number(tree, ret, DEVICE "%s", address, attribute);

	if (r < 0)
		return r;
	return *ret <= max ? 0 : -EBADMSG;
}

/* The Device Serial Number capability, if there is one: without extended space there is not. */
static void read_serial(int config, DeviceIdentity *identity)
{
	uint32_t header = 0, low = 0, high = 0, at = CONFIG_EXTENDED;

	for (unsigned int i = 0; i < CONFIG_EXTENDED_MAX_CAPS && at >= CONFIG_EXTENDED; i++) {
		if (config_read_u32(config, at, &header) < 0 || header == 0 || header == UINT32_MAX)
			return;
		if ((header & 0xffff) == CONFIG_CAP_SERIAL) {
			if (config_read_u32(config, at + 4, &low) < 0 ||
			    config_read_u32(config, at + 8, &high) < 0)
				return;
			identity->has_serial = true;
			identity->serial = (uint64_t)high << 32 | low;
			return;
		}
		at = header >> 20 & 0xffc;
	}
}

static int read_identity(const Tree *tree, const char *address, int config, DeviceIdentity *ret)
{
	uint64_t vendor = 0, device = 0, class_code = 0, revision = 0;
	uint64_t subsystem_vendor = 0, subsystem = 0;
	int r;

	r = read_number(tree, address, "vendor", UINT16_MAX, &vendor);
	if (r == 0)
		r = read_number(tree, address, "device", UINT16_MAX, &device);
	if (r == 0)
		r = read_number(tree, address, "class", 0xffffff, &class_code);
	if (r == 0)
		r = read_number(tree, address, "revision", UINT8_MAX, &revision);
	if (r == 0)
		r = read_number(tree, address, "subsystem_vendor", UINT16_MAX, &subsystem_vendor);
	if (r == 0)
		r = read_number(tree, address, "subsystem_device", UINT16_MAX, &subsystem);
	if (r < 0)
		return r;
	*ret = (DeviceIdentity){ .vendor = (uint16_t)vendor,
				 .device = (uint16_t)device,
				 .class_code = (uint32_t)class_code,
				 .revision = (uint8_t)revision,
				 .subsystem_vendor = (uint16_t)subsystem_vendor,
				 .subsystem = (uint16_t)subsystem };
	read_serial(config, ret);
	return 0;
}

/* What configuration space has to say is where the kernel believes the BAR to be. */
static int check_bar(int config, unsigned int i, uint64_t start, bool is_64bit)
{
	uint32_t low = 0, high = 0;
	int r;

	r = config_read_u32(config, CONFIG_BAR0 + 4 * (off_t)i, &low);
	if (r == 0 && is_64bit)
		r = config_read_u32(config, CONFIG_BAR0 + 4 * (off_t)i + 4, &high);
	if (r < 0)
		return r;
	return ((uint64_t)high << 32 | (low & CONFIG_BAR_MEMORY_MASK)) == start ? 0 : -EAGAIN;
}

static int read_bars(const Tree *tree, const char *address, int config, Function *ret)
{
	_cleanup_free_ char *text = NULL;
	bool upper_half = false;
	size_t size;
	char *line, *rest;
	int r;

	r = tree_read(tree, &text, &size, RESOURCE_TEXT_MAX, DEVICE "resource", address);
	if (r < 0)
		return r;
	line = strtok_r(text, "\n", &rest);
	for (unsigned int i = 0; i < INTERFACE_REPORT_N_BARS;
	     i++, line = strtok_r(NULL, "\n", &rest)) {
		uint64_t start, end, flags;

		ret->bars[i] = (InterfaceBar){ 0 };
		if (!line || sscanf(line, "0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64, &start, &end,
				    &flags) != 3)
			return -EBADMSG;
		if (upper_half || flags == 0) {
			upper_half = false;
			continue;
		}
		ret->bars[i].present = true;
		if (!(flags & RESOURCE_MEMORY))
			continue;
		upper_half = flags & RESOURCE_64BIT;
		if (upper_half && i == INTERFACE_REPORT_N_BARS - 1)
			return -EBADMSG;
		if (start == 0 || flags & RESOURCE_UNSET)
			return -EAGAIN;
		if (end < start || end - start == UINT64_MAX)
			return -EBADMSG;
		r = check_bar(config, i, start, upper_half);
		if (r < 0)
			return r;
		ret->bars[i].is_memory = true;
		ret->bars[i].is_64bit = upper_half;
		ret->bars[i].size = end - start + 1;
		ret->starts[i] = start;
	}
	return 0;
}

int function_read(Function *ret, const Tree *tree, Bdf address)
{
	char text[BDF_STRING_SIZE];
	_cleanup_close_ int config = -1;
	Function f = { .address = address };
	int r;

	bdf_format(address, text);
	config = tree_open(tree, O_RDONLY, DEVICE "config", text);
	if (config < 0)
		return config;
	r = read_identity(tree, text, config, &f.identity);
	if (r == 0)
		r = read_bars(tree, text, config, &f);
	if (r < 0)
		/* Taken away while it was being read. */
		return r == -ENODEV ? -ENOENT : r;
	*ret = f;
	return 0;
}

bool function_equal(const Function *a, const Function *b)
{
	for (unsigned int i = 0; i < INTERFACE_REPORT_N_BARS; i++)
		if (a->starts[i] != b->starts[i] || a->bars[i].size != b->bars[i].size ||
		    a->bars[i].present != b->bars[i].present)
			return false;
	return bdf_equal(a->address, b->address) &&
	       device_identity_equal(&a->identity, &b->identity);
}

int function_enable(const Tree *tree, Bdf address)
{
	const uint16_t wanted = CONFIG_COMMAND_MEMORY | CONFIG_COMMAND_BUS_MASTER;
	char text[BDF_STRING_SIZE], driver[FUNCTION_DRIVER_SIZE];
	_cleanup_close_ int config = -1;
	uint64_t count = 0;
	uint16_t raw;
	int r;

	bdf_format(address, text);
	if (function_driver(tree, address, driver) == 0)
		return -EBUSY;
	r = read_number(tree, text, "enable", INT32_MAX, &count);
	if (r == 0 && count == 0)
		r = tree_write(tree, "1", DEVICE "enable", text);
	if (r < 0)
		return r;

	config = tree_open(tree, O_RDWR, DEVICE "config", text);
	if (config < 0)
		return config;
	r = config_read(config, CONFIG_COMMAND, &raw, sizeof(raw));
	if (r < 0)
		return r;
	if ((le16toh(raw) & wanted) == wanted)
		return 0;
	raw = htole16(le16toh(raw) | wanted);
	if (pwrite(config, &raw, sizeof(raw), CONFIG_COMMAND) != sizeof(raw))
		return -EIO;
	r = config_read(config, CONFIG_COMMAND, &raw, sizeof(raw));
	if (r < 0)
		return r;
	return (le16toh(raw) & wanted) == wanted ? 0 : -EIO;
}

int function_disable(const Tree *tree, Bdf address)
{
	char text[BDF_STRING_SIZE];
	uint64_t count = 0;
	int r;

	bdf_format(address, text);
	r = read_number(tree, text, "enable", INT32_MAX, &count);
	if (r == 0 && count > 0)
		r = tree_write(tree, "0", DEVICE "enable", text);
	return r;
}

int function_driver(const Tree *tree, Bdf address, char ret[static FUNCTION_DRIVER_SIZE])
{
	char text[BDF_STRING_SIZE];

	return tree_link_name(tree, ret, FUNCTION_DRIVER_SIZE, DEVICE "driver",
			      bdf_format(address, text));
}

int function_kind(const Tree *tree, Bdf address, uint16_t *ret_vendor, uint32_t *ret_class)
{
	char text[BDF_STRING_SIZE];
	uint64_t vendor = 0, class_code = 0;
	int r;

	bdf_format(address, text);
	r = read_number(tree, text, "vendor", UINT16_MAX, &vendor);
	if (r == 0)
		r = read_number(tree, text, "class", 0xffffff, &class_code);
	if (r < 0)
		return r;
	*ret_vendor = (uint16_t)vendor;
	*ret_class = (uint32_t)class_code;
	return 0;
}
