/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preflight: a table of checks, each a small probe that looks at one thing of the host.
 *
 * A check is needed by the platforms of its mask. What all of them need has every bit, `generic`
 * included. Nothing that a probe does waits without a bound or changes anything.
 */
#pragma once

#include "cli/doctor/kernel-config.h"
#include "cli/pci-survey.h"
#include "cli/served.h"
#include "tsm/common/tee-io.h"

typedef enum DoctorPlatform {
	DOCTOR_GENERIC, /* what every platform needs; by itself it protects nothing */
	DOCTOR_SEV_TIO,
	DOCTOR_TDX_CONNECT,
	DOCTOR_CCA,
	DOCTOR_COVE_IO,
	DOCTOR_EMULATED,
	DOCTOR_N_PLATFORMS,
} DoctorPlatform;

#define DOCTOR_BIT(p) (1u << (p))
#define DOCTOR_HARDWARE                                                                            \
	(DOCTOR_BIT(DOCTOR_SEV_TIO) | DOCTOR_BIT(DOCTOR_TDX_CONNECT) | DOCTOR_BIT(DOCTOR_CCA) |    \
	 DOCTOR_BIT(DOCTOR_COVE_IO))
#define DOCTOR_ALL (DOCTOR_BIT(DOCTOR_N_PLATFORMS) - 1)

typedef enum DoctorStatus {
	DOCTOR_OK,
	DOCTOR_MISSING,
	DOCTOR_WARNING,
	DOCTOR_UNKNOWN, /* it could not be found out */
	DOCTOR_NOT_APPLICABLE,
} DoctorStatus;

/* What the probes look at; what costs time is looked at once. */
typedef struct Doctor {
	const char *root; /* "": the host's own. Elsewhere no programs of that tree are run */
	char release[128];
	const char *cpu;	/* whose, for people; "unknown" */
	const char *qemu;	/* "x86_64": which qemu-system-*; NULL: unknown */
	unsigned int platforms; /* that this CPU may have */
	KernelConfig config;
	PciSurvey *survey; /* NULL: `survey_error` */
	int survey_error;
	TeeIoTsm *tsms;
	size_t n_tsms;
	Served served;
	int served_error; /* 0: tdid has answered; else `served_sentence` */
	char *served_sentence;
} Doctor;

typedef struct DoctorFinding {
	DoctorStatus status;
	char *found;	     /* owned */
	const char *way_out; /* instead of the check's own; NULL: that one */
} DoctorFinding;

typedef struct DoctorCheck DoctorCheck;

struct DoctorCheck {
	const char *id;
	unsigned int platforms;
	bool optional; /* missing is only a warning */
	const char *why, *way_out;
	void (*probe)(const Doctor *doctor, const DoctorCheck *check, DoctorFinding *ret);
	const char *path;   /* of what the probe looks for, if it is one that asks */
	const char *option; /* of the kernel, likewise, without CONFIG_ */
};

extern const DoctorCheck doctor_checks[];
extern const size_t doctor_n_checks;

const char *doctor_platform_name(DoctorPlatform platform);
const char *doctor_status_name(DoctorStatus status);

/* Looks at everything. `sysfs` and so on lie below root; cli names tdid's socket. */
void doctor_look(Doctor *ret, const Cli *cli, const char *root);
void doctor_done(Doctor *doctor);

/* One check: not-applicable where this CPU has none of its platforms. found has to be freed. */
DoctorFinding doctor_run(const Doctor *doctor, const DoctorCheck *check);

/* For probes. */
void doctor_find(DoctorFinding *ret, DoctorStatus status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* doctor-kernel.c */
void doctor_probe_release(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_config(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_present(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_feature(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_option(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_vfio_device(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_iommu_groups(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_parameter(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_nested(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_tsm_proxy(const Doctor *, const DoctorCheck *, DoctorFinding *);

/* doctor-devices.c */
void doctor_probe_tsm(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_tsm_connect(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_tee_io(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_ide(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_sriov(const Doctor *, const DoctorCheck *, DoctorFinding *);

/* doctor-libvirt.c */
void doctor_probe_qemu(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_libvirt(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_hook(const Doctor *, const DoctorCheck *, DoctorFinding *);

/* doctor-tdid.c */
void doctor_probe_tdid(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_tdid_config(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_provider(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_emulated(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_providers(const Doctor *, const DoctorCheck *, DoctorFinding *);
void doctor_probe_served(const Doctor *, const DoctorCheck *, DoctorFinding *);
