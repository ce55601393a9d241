/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel shows, and only then what it was built with: a feature that is there needs no
 * option to prove it.
 */
#include "cli/doctor/doctor.h"
#include "cli/doctor/host-tree.h"

#include <errno.h>
#include <string.h>

void doctor_probe_release(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	if (d->release[0])
		doctor_find(ret, DOCTOR_OK, "%s, CPU: %s", d->release, d->cpu);
	else
		doctor_find(ret, DOCTOR_UNKNOWN, "/proc/sys/kernel/osrelease is not readable");
}

void doctor_probe_config(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	if (d->config.text)
		doctor_find(ret, DOCTOR_OK, "%s", d->config.origin);
	else
		doctor_find(ret, DOCTOR_UNKNOWN,
			    "neither /proc/config.gz, /boot/config-%s nor /lib/modules/%s/config "
			    "is readable",
			    d->release, d->release);
}

void doctor_probe_option(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	switch (kernel_config_get(&d->config, check->option)) {
	case KERNEL_OPTION_YES: doctor_find(ret, DOCTOR_OK, "CONFIG_%s=y", check->option); break;
	case KERNEL_OPTION_MODULE: doctor_find(ret, DOCTOR_OK, "CONFIG_%s=m", check->option); break;
	case KERNEL_OPTION_NO:
		doctor_find(ret, DOCTOR_MISSING, "CONFIG_%s is not set", check->option);
		break;
	default:
		doctor_find(ret, DOCTOR_UNKNOWN,
			    "CONFIG_%s: the kernel's configuration is not readable", check->option);
	}
}

/* Of the path that is not there: what the kernel was built with says more. */
static const char *option_words(KernelOption option)
{
	switch (option) {
	case KERNEL_OPTION_YES: return "y";
	case KERNEL_OPTION_MODULE: return "m";
	case KERNEL_OPTION_NO: return "not set";
	default: return "unknown, the kernel's configuration is not readable";
	}
}

/* True: it is there, or cannot be looked for; ret says so. */
static bool find_path(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	int error;

	if (host_tree_has(d->root, check->path, &error)) {
		doctor_find(ret, DOCTOR_OK, "%s is there", check->path);
		return true;
	}
	if (error == -ENOENT || error == -ENOTDIR)
		return false;
	doctor_find(ret, DOCTOR_UNKNOWN, "%s: %s", check->path, strerror(-error));
	return true;
}

/* What has to be there by now. */
void doctor_probe_present(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	if (find_path(d, check, ret))
		return;
	if (check->option)
		doctor_find(ret, DOCTOR_MISSING, "%s is not there; CONFIG_%s is %s", check->path,
			    check->option,
			    option_words(kernel_config_get(&d->config, check->option)));
	else
		doctor_find(ret, DOCTOR_MISSING, "%s is not there", check->path);
}

/* What a module brings when it is needed: not there yet is not missing. */
void doctor_probe_feature(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	KernelOption option = kernel_config_get(&d->config, check->option);
	DoctorStatus status = option == KERNEL_OPTION_UNKNOWN  ? DOCTOR_UNKNOWN
			      : option == KERNEL_OPTION_MODULE ? DOCTOR_OK
							       : DOCTOR_MISSING;

	if (!find_path(d, check, ret))
		doctor_find(ret, status, "%s is not there; CONFIG_%s is %s%s", check->path,
			    check->option, option_words(option),
			    status == DOCTOR_OK ? ": its module is not loaded yet" : "");
}

void doctor_probe_vfio_device(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	bool container = host_tree_has(d->root, "/dev/vfio/vfio", NULL);
	bool iommufd = host_tree_has(d->root, "/dev/iommu", NULL);

	if (container || iommufd)
		doctor_find(ret, DOCTOR_OK, "%s%s%s", container ? "/dev/vfio/vfio" : "",
			    container && iommufd ? ", " : "", iommufd ? "/dev/iommu" : "");
	else if (kernel_config_get(&d->config, "VFIO") == KERNEL_OPTION_MODULE)
		doctor_find(ret, DOCTOR_OK,
			    "neither /dev/vfio/vfio nor /dev/iommu; CONFIG_VFIO is m: its module "
			    "is not loaded yet");
	else
		doctor_find(ret, DOCTOR_MISSING, "neither /dev/vfio/vfio nor /dev/iommu");
}

#define GROUPS_MAX 100000

void doctor_probe_iommu_groups(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	int n = host_tree_count(d->root, "/sys/kernel/iommu_groups", GROUPS_MAX);

	if (n > 0)
		doctor_find(ret, DOCTOR_OK, "%d group%s", n, n == 1 ? "" : "s");
	else if (n == 0 || n == -ENOENT)
		doctor_find(ret, DOCTOR_MISSING, "there are no IOMMU groups");
	else
		doctor_find(ret, DOCTOR_UNKNOWN, "/sys/kernel/iommu_groups: %s", strerror(-n));
}

static bool is_on(const char *value)
{
	return strcmp(value, "Y") == 0 || strcmp(value, "1") == 0;
}

void doctor_probe_parameter(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	char value[32];
	int r = host_tree_line(d->root, check->path, value, sizeof(value));

	if (r == 0)
		doctor_find(ret, is_on(value) ? DOCTOR_OK : DOCTOR_MISSING, "%s is %s", check->path,
			    value[0] ? value : "empty");
	else if (r == -ENOENT)
		doctor_find(ret, DOCTOR_MISSING,
			    "%s is not there: not loaded, or not in this kernel", check->path);
	else
		doctor_find(ret, DOCTOR_UNKNOWN, "%s: %s", check->path, strerror(-r));
}

void doctor_probe_nested(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	static const char *const paths[] = { "/sys/module/kvm_amd/parameters/nested",
					     "/sys/module/kvm_intel/parameters/nested" };

	for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
		char value[32];

		if (host_tree_line(d->root, paths[i], value, sizeof(value)) < 0)
			continue;
		doctor_find(ret, is_on(value) ? DOCTOR_OK : DOCTOR_MISSING, "%s is %s", paths[i],
			    value);
		return;
	}
	doctor_find(ret, DOCTOR_UNKNOWN, "neither kvm_amd nor kvm_intel tells");
}

void doctor_probe_tsm_proxy(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	if (host_tree_has(d->root, "/dev/tsm-proxy-vmm", NULL) ||
	    host_tree_has(d->root, "/sys/module/tsm_proxy", NULL))
		doctor_find(ret, DOCTOR_WARNING, "tsm-proxy is loaded: it protects nothing");
	else
		doctor_find(ret, DOCTOR_OK, "tsm-proxy is not loaded");
}
