/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is looked at once for all probes, and how one check is run. */
#include "cli/doctor/doctor.h"
#include "cli/doctor/host-tree.h"
#include "cli/text.h"

#include <stdarg.h>
#include <string.h>

#define CPUINFO_SIZE_MAX (16u * 1024 * 1024) /* a few KiB for each of thousands of CPUs */

const char *doctor_platform_name(DoctorPlatform platform)
{
	static const char *const names[] = { "generic", "sev-tio", "tdx-connect",
					     "cca",	"cove-io", "emulated" };

	return names[platform];
}

const char *doctor_status_name(DoctorStatus status)
{
	static const char *const names[] = { "ok", "missing", "warning", "unknown",
					     "not-applicable" };

	return names[status];
}

void doctor_find(DoctorFinding *ret, DoctorStatus status, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		abort();
	va_end(ap);
	free(ret->found);
	ret->status = status;
	ret->found = text_clean(text);
}

static const struct {
	const char *mark; /* in /proc/cpuinfo, at the beginning of a line */
	const char *name, *qemu;
	DoctorPlatform platform;
} cpus[] = {
	{ "vendor_id\t: AuthenticAMD\n", "AMD", "x86_64", DOCTOR_SEV_TIO },
	{ "vendor_id\t: GenuineIntel\n", "Intel", "x86_64", DOCTOR_TDX_CONNECT },
	{ "CPU implementer\t:", "Arm", "aarch64", DOCTOR_CCA },
	{ "isa\t\t: rv64", "RISC-V", "riscv64", DOCTOR_COVE_IO },
};

/* One that is not known, or whose vendor is hidden, may have any. */
static void look_at_cpu(Doctor *d)
{
	_cleanup_free_ char *text = NULL;

	d->cpu = "unknown";
	d->platforms = DOCTOR_ALL;
	if (host_tree_read(d->root, "/proc/cpuinfo", CPUINFO_SIZE_MAX, &text, NULL) < 0)
		return;
	for (size_t i = 0; i < ELEMENTSOF(cpus); i++) {
		const char *at = strstr(text, cpus[i].mark);

		if (!at || (at != text && at[-1] != '\n'))
			continue;
		d->cpu = cpus[i].name;
		d->qemu = cpus[i].qemu;
		d->platforms = DOCTOR_BIT(DOCTOR_GENERIC) | DOCTOR_BIT(DOCTOR_EMULATED) |
			       DOCTOR_BIT(cpus[i].platform);
		return;
	}
}

void doctor_look(Doctor *ret, const Cli *cli, const char *root)
{
	_cleanup_free_ char *sysfs = host_tree_path(root, "/sys");

	*ret = (Doctor){ .root = root };
	host_tree_line(root, "/proc/sys/kernel/osrelease", ret->release, sizeof(ret->release));
	look_at_cpu(ret);
	kernel_config_load(&ret->config, root, ret->release);
	/* Which DSM is connected is of no interest here, and not worth waiting for. */
	ret->survey_error = pci_survey_new(&ret->survey, sysfs, false);
	if (tee_io_tsms(&ret->tsms, &ret->n_tsms, sysfs) < 0)
		ret->n_tsms = 0;
	ret->served_error = served_load(&ret->served, cli, &ret->served_sentence);
}

void doctor_done(Doctor *doctor)
{
	kernel_config_done(&doctor->config);
	pci_survey_free(doctor->survey);
	free(doctor->tsms);
	served_done(&doctor->served);
	free(doctor->served_sentence);
	*doctor = (Doctor){ 0 };
}

DoctorFinding doctor_run(const Doctor *doctor, const DoctorCheck *check)
{
	DoctorFinding finding = { .status = DOCTOR_UNKNOWN };

	if (!(check->platforms & doctor->platforms)) {
		doctor_find(&finding, DOCTOR_NOT_APPLICABLE, "the CPU is of %s", doctor->cpu);
		return finding;
	}
	check->probe(doctor, check, &finding);
	if (check->optional && finding.status == DOCTOR_MISSING)
		finding.status = DOCTOR_WARNING;
	return finding;
}
