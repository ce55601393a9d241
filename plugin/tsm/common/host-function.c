/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tsm/common/host-function.h"

#include "core/bytes.h"
#include "core/cleanup.h"
#include "core/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* Flags in `resource` (include/linux/ioport.h). */
#define IORESOURCE_IO  0x100
#define IORESOURCE_MEM 0x200

#define VF_MAX 65535

/* Configuration space (PCIe 6.x, 7.5.1). */
#define CONFIG_SIZE		256
#define CONFIG_STATUS		0x06
#define CONFIG_STATUS_CAP_LIST	0x10
#define CONFIG_CAPABILITIES	0x34
#define CONFIG_CAP_MSIX		0x11
#define CONFIG_CAP_MSIX_SIZE	12
#define CONFIG_MAX_CAPABILITIES 48

static int function_open(const char *sysfs, Bdf bdf)
{
	char path[PATH_MAX], name[BDF_STRING_SIZE];
	int fd;

	if (snprintf(path, sizeof(path), "%s/bus/pci/devices/%s", sysfs, bdf_format(bdf, name)) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Returns the number of bytes, which are followed by a NUL. */
static ssize_t attribute_read(int directory, const char *name, char *buffer, size_t size)
{
	_cleanup_close_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	size_t used = 0;

	if (fd < 0)
		return -errno;
	while (used < size - 1) {
		ssize_t n = read(fd, buffer + used, size - 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	buffer[used] = '\0';
	return (ssize_t)used;
}

static int attribute_number(int directory, const char *name, uint32_t max, uint32_t *ret)
{
	char text[32], *end;
	unsigned long v;
	ssize_t n;

	n = attribute_read(directory, name, text, sizeof(text));
	if (n < 0)
		return (int)n;
	errno = 0;
	v = strtoul(text, &end, 16);
	if (errno || end == text || (*end != '\n' && *end != '\0') || v > max)
		return -EBADMSG;
	*ret = (uint32_t)v;
	return 0;
}

/* The last component of a symbolic link's target. */
static int link_name(int directory, const char *name, char *buffer, size_t size)
{
	char target[PATH_MAX];
	const char *base;
	ssize_t n;

	n = readlinkat(directory, name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -ENAMETOOLONG;
	strcpy(buffer, base);
	return 0;
}

static int link_bdf(int directory, const char *name, Bdf *ret)
{
	char text[BDF_STRING_SIZE];
	int r;

	r = link_name(directory, name, text, sizeof(text));
	if (r < 0)
		return r == -ENAMETOOLONG ? -EBADMSG : r;
	return bdf_parse(ret, text) < 0 ? -EBADMSG : 0;
}

static int read_identity(int directory, DeviceIdentity *ret, const char **ret_attribute)
{
	static const struct {
		const char *name;
		uint32_t max;
	} attributes[] = {
		{ "vendor", 0xffff },		{ "device", 0xffff },
		{ "class", 0xffffff },		{ "revision", 0xff },
		{ "subsystem_vendor", 0xffff }, { "subsystem_device", 0xffff },
	};
	uint32_t v[ELEMENTSOF(attributes)];

	for (size_t i = 0; i < ELEMENTSOF(attributes); i++) {
		int r;

		*ret_attribute = attributes[i].name;
		r = attribute_number(directory, attributes[i].name, attributes[i].max, &v[i]);
		if (r < 0)
			return r;
	}
	*ret = (DeviceIdentity){
		.vendor = (uint16_t)v[0],
		.device = (uint16_t)v[1],
		.class_code = v[2],
		.revision = (uint8_t)v[3],
		.subsystem_vendor = (uint16_t)v[4],
		.subsystem = (uint16_t)v[5],
	};
	return 0;
}

/* One line each: first address, last address, flags. A BAR that is not there has all three zero. */
static int read_bars(int directory, HostBar bars[static HOST_FUNCTION_N_BARS])
{
	char text[4096], *line = text;
	ssize_t n;

	n = attribute_read(directory, "resource", text, sizeof(text));
	if (n < 0)
		return (int)n;
	for (unsigned int i = 0; i < HOST_FUNCTION_N_BARS; i++) {
		uint64_t start, end, flags;
		char *next = strchr(line, '\n');

		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) != 3 ||
		    !next)
			return -EBADMSG;
		line = next + 1;
		bars[i] = (HostBar){};
		if (!(flags & (IORESOURCE_IO | IORESOURCE_MEM)) || (start == 0 && end == 0))
			continue;
		if (end < start || end - start == UINT64_MAX)
			return -EBADMSG;
		bars[i] = (HostBar){
			.start = start,
			.size = end - start + 1,
			.is_memory = flags & IORESOURCE_MEM,
		};
	}
	return 0;
}

static void msix_from_capability(ByteReader r, HostMsix *ret)
{
	uint32_t table, pba, entries;

	bytes_take(&r, 2);
	ret->control = bytes_take_u16(&r);
	table = bytes_take_u32(&r);
	pba = bytes_take_u32(&r);
	if (r.failed)
		return;
	entries = (ret->control & 0x7ffu) + 1;
	ret->table_bar = table & 7;
	ret->table_offset = table & ~7u;
	ret->table_size = entries * 16;
	ret->pba_bar = pba & 7;
	ret->pba_offset = pba & ~7u;
	ret->pba_size = (entries + 63) / 64 * 8;
	ret->present = ret->table_bar < HOST_FUNCTION_N_BARS && ret->pba_bar < HOST_FUNCTION_N_BARS;
}

/* The kernel shows the unprivileged 64 bytes only, which hold no capability. */
static void read_msix(int directory, HostMsix *ret)
{
	uint8_t config[CONFIG_SIZE + 1];
	ssize_t n;
	uint8_t at;

	*ret = (HostMsix){};
	n = attribute_read(directory, "config", (char *)config, sizeof(config));
	if (n < CONFIG_SIZE || !(config[CONFIG_STATUS] & CONFIG_STATUS_CAP_LIST))
		return;
	at = config[CONFIG_CAPABILITIES] & 0xfc;
	for (unsigned int i = 0; at >= 0x40 && i < CONFIG_MAX_CAPABILITIES; i++) {
		if (config[at] == CONFIG_CAP_MSIX && at + CONFIG_CAP_MSIX_SIZE <= CONFIG_SIZE) {
			msix_from_capability(byte_reader(config + at, CONFIG_CAP_MSIX_SIZE), ret);
			return;
		}
		at = config[at + 1] & 0xfc;
	}
}

static void read_iommu_group(int directory, HostFunction *f)
{
	char text[16], *end;
	unsigned long v;

	if (link_name(directory, "iommu_group", text, sizeof(text)) < 0)
		return;
	v = strtoul(text, &end, 10);
	if (end == text || *end || v > UINT32_MAX)
		return;
	f->has_iommu_group = true;
	f->iommu_group = (uint32_t)v;
}

int host_function_read(HostFunction *ret, const char *sysfs, Bdf bdf, char **ret_error)
{
	_cleanup_close_ int directory = function_open(sysfs, bdf);
	HostFunction f = { .bdf = bdf, .physical = bdf };
	char name[BDF_STRING_SIZE];
	const char *attribute;
	int r;

	bdf_format(bdf, name);
	if (directory < 0)
		return refuse(ret_error, -ENODEV, "%s: no such function on this host", name);
	r = read_identity(directory, &f.identity, &attribute);
	if (r == 0) {
		attribute = "resource";
		r = read_bars(directory, f.bars);
	}
	if (r == 0) {
		attribute = "physfn";
		r = link_bdf(directory, "physfn", &f.physical);
		f.is_virtual = r == 0;
		r = r == -ENOENT ? 0 : r;
	}
	if (r == -EBADMSG)
		return refuse(ret_error, r, "%s: sysfs attribute %s is malformed", name, attribute);
	if (r < 0)
		return refuse(ret_error, -ENODEV, "%s: sysfs attribute %s: %s", name, attribute,
			      strerror(-r));
	read_msix(directory, &f.msix);
	if (link_name(directory, "driver", f.driver, sizeof(f.driver)) < 0)
		f.driver[0] = '\0';
	read_iommu_group(directory, &f);
	*ret = f;
	return 0;
}

int host_function_virtual(Bdf **ret, size_t *ret_n, const char *sysfs, Bdf physical)
{
	_cleanup_close_ int directory = function_open(sysfs, physical);
	_cleanup_free_ Bdf *list = NULL;
	size_t n = 0;

	/* Numbered without gaps, see drivers/pci/iov.c: the first that is missing ends them. */
	while (directory >= 0 && n < VF_MAX) {
		char name[32];
		Bdf bdf, *more;
		int r;

		snprintf(name, sizeof(name), "virtfn%zu", n);
		r = link_bdf(directory, name, &bdf);
		if (r == -ENOENT)
			break;
		if (r < 0)
			return r;
		more = reallocarray(list, n + 1, sizeof(*list));
		if (!more)
			return -ENOMEM;
		list = more;
		list[n++] = bdf;
	}
	*ret = steal_ptr(list);
	*ret_n = n;
	return 0;
}
