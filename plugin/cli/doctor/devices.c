/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/doctor/doctor.h"

#include <string.h>

/* option: the driver that registers it; NULL: any, for those that are not in mainline yet. */
void doctor_probe_tsm(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	for (size_t i = 0; i < d->n_tsms; i++) {
		const TeeIoTsm *tsm = &d->tsms[i];

		/* tsm-proxy's has no driver behind it. */
		if (!tsm->driver[0] || (check->option && strcmp(tsm->driver, check->option) != 0))
			continue;
		doctor_find(ret, DOCTOR_OK, "%s, registered by %s", tsm->name, tsm->driver);
		return;
	}
	doctor_find(ret, DOCTOR_MISSING, "no driver %s%shas registered a TSM",
		    check->option ? check->option : "", check->option ? " " : "");
}

typedef struct Count {
	size_t yes, unknown; /* functions */
	Bdf first;
} Count;

typedef enum Answer { NO, YES, UNKNOWN } Answer;

/* False: the host's functions are not known at all, and that has been told. */
static bool count(const Doctor *d, DoctorFinding *ret, Answer (*ask)(const PciFunction *),
		  Count *counted)
{
	*counted = (Count){ 0 };
	if (!d->survey) {
		doctor_find(ret, DOCTOR_UNKNOWN, "/sys/bus/pci/devices: %s",
			    strerror(-d->survey_error));
		return false;
	}
	for (size_t i = 0; i < d->survey->n; i++) {
		const PciFunction *f = &d->survey->functions[i];
		Answer answer = f->error < 0 ? UNKNOWN : ask(f);

		if (answer == YES && counted->yes++ == 0)
			counted->first = f->bdf;
		counted->unknown += answer == UNKNOWN;
	}
	return true;
}

static void tell(DoctorFinding *ret, const Count *counted, const char *what)
{
	char name[BDF_STRING_SIZE];

	if (counted->yes)
		doctor_find(ret, DOCTOR_OK, "%zu function%s with %s, the first is %s", counted->yes,
			    counted->yes == 1 ? "" : "s", what, bdf_format(counted->first, name));
	else if (counted->unknown)
		doctor_find(ret, DOCTOR_UNKNOWN,
			    "%zu function%s cannot be read for %s: that needs root",
			    counted->unknown, counted->unknown == 1 ? "" : "s", what);
	else
		doctor_find(ret, DOCTOR_MISSING, "no function has %s", what);
}

static Answer has_connect(const PciFunction *f)
{
	return pci_function_has_dsm(f) ? YES : NO;
}

static Answer has_tee_io(const PciFunction *f)
{
	return !f->config.basic ? UNKNOWN : f->config.tee_io ? YES : NO;
}

static Answer has_ide(const PciFunction *f)
{
	return !f->config.extended ? UNKNOWN : f->config.has_ide ? YES : NO;
}

static Answer has_vfs(const PciFunction *f)
{
	return f->vfs_enabled ? YES : NO;
}

static Answer has_sriov(const PciFunction *f)
{
	if (f->has_vfs_total || f->config.has_sriov)
		return YES;
	return f->config.extended ? NO : UNKNOWN;
}

void doctor_probe_tsm_connect(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	Count counted;

	if (count(d, ret, has_connect, &counted))
		tell(ret, &counted, "tsm/connect");
}

void doctor_probe_tee_io(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	Count counted;

	if (count(d, ret, has_tee_io, &counted))
		tell(ret, &counted, "the TEE-IO bit");
}

void doctor_probe_ide(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	Count counted;

	if (count(d, ret, has_ide, &counted))
		tell(ret, &counted, "IDE");
}

void doctor_probe_sriov(const Doctor *d, const DoctorCheck *check, DoctorFinding *ret)
{
	Count counted;

	if (!count(d, ret, has_vfs, &counted))
		return;
	if (counted.yes) {
		tell(ret, &counted, "virtual functions enabled");
		return;
	}
	count(d, ret, has_sriov, &counted);
	if (counted.yes)
		doctor_find(ret, DOCTOR_WARNING, "%zu function%s with SR-IOV, none has it enabled",
			    counted.yes, counted.yes == 1 ? "" : "s");
	else
		tell(ret, &counted, "SR-IOV");
}
