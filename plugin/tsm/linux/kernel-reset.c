/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel-reset.h"

#include "core/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define FLR "flr" /* as the kernel calls it (drivers/pci/pci.c, pci_reset_fn_methods) */

static int attribute_path(char path[static PATH_MAX], const KernelRequest *q, const char *name)
{
	char bdf[BDF_STRING_SIZE];
	int n = snprintf(path, PATH_MAX, "%s/bus/pci/devices/%s/%s", q->sysfs,
			 bdf_format(q->target, bdf), name);

	return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int attribute_write(const KernelRequest *q, const char *name, const char *text)
{
	char path[PATH_MAX];
	int r = attribute_path(path, q, name);

	return r < 0 ? r : q->io->write(path, text);
}

/* "" where there is none, or none that fits. */
static void read_methods(const KernelRequest *q, char *buffer, size_t size)
{
	char path[PATH_MAX];
	_cleanup_close_ int fd = -1;
	ssize_t n = -1;

	if (attribute_path(path, q, "reset_method") == 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, buffer, size);
	buffer[n > 0 && (size_t)n < size ? n : 0] = '\0';
	buffer[strcspn(buffer, "\n")] = '\0';
}

static KernelGuard guard_driver(KernelReport *report, const HostFunction *f)
{
	report->guard_device = f->bdf;
	snprintf(report->driver, sizeof(report->driver), "%s", f->driver);
	return KERNEL_GUARD_DRIVER;
}

/* Whoever began this has looked too; since then libvirt may have given it back to the host. */
static KernelGuard guard_drivers(const KernelRequest *q, KernelReport *report)
{
	HostFunction f;

	if (host_function_read(&f, q->sysfs, q->target, NULL) < 0)
		return KERNEL_GUARD_GONE;
	if (f.driver[0] && !tee_io_vfio_holds(q->sysfs, &f))
		return guard_driver(report, &f);
	/* VFs go with their PF, whoever has them. */
	for (size_t i = 0; i < q->n_excluded; i++)
		if (host_function_read(&f, q->sysfs, q->excluded[i], NULL) == 0 && f.is_virtual &&
		    bdf_equal(f.physical, q->target) && f.driver[0])
			return guard_driver(report, &f);
	return KERNEL_GUARD_NONE;
}

KernelGuard kernel_reset_guard(const KernelRequest *q, KernelReport *report)
{
	char path[PATH_MAX];

	if (attribute_path(path, q, "reset") < 0 || access(path, F_OK) < 0)
		return KERNEL_GUARD_NO_RESET;
	read_methods(q, report->methods, sizeof(report->methods));
	if (strcspn(report->methods, " ") != strlen(FLR) ||
	    strncmp(report->methods, FLR, strlen(FLR)) != 0)
		return KERNEL_GUARD_NO_FLR;
	return guard_drivers(q, report);
}

int kernel_reset(const KernelRequest *q, KernelReport *report)
{
	int r;

	if (strcmp(report->methods, FLR) == 0)
		return attribute_write(q, "reset", "1");
	r = attribute_write(q, "reset_method", FLR);
	if (r < 0)
		return r;
	report->narrowed = true;
	r = attribute_write(q, "reset", "1");
	report->narrowed = attribute_write(q, "reset_method", report->methods) < 0;
	return r;
}

int kernel_reset_restore(const KernelRequest *q)
{
	return attribute_write(q, "reset_method", q->methods);
}
