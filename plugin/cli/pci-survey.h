/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All PCI functions of the host, each as the kernel and as its configuration space tell.
 *
 * A child does the reading, into memory that both share: libpci may end the process, a function
 * may hang in a read of its configuration space, and the kernel's TSM attributes wait for a lock
 * (tsm/common/tsm-attribute.h). A function at which the child dies or stands still is given up, and
 * the next child goes on behind it. The attributes come last, all of them in PCI_SURVEY_TSM_MSEC.
 */
#pragma once

#include "cli/pci-config.h"
#include "core/cleanup.h"
#include "tsm/common/host-function.h"

#define PCI_SURVEY_TSM_MSEC  2000
#define PCI_DOE_FEATURES_MAX 8
#define PCI_DOE_FEATURE_SIZE 8 /* "0001:01" and its NUL */

/* An attribute of tsm/. */
typedef struct TsmValue {
	enum {
		TSM_VALUE_ABSENT, /* there is no such attribute */
		TSM_VALUE_KNOWN,
		TSM_VALUE_UNKNOWN, /* see `error`; -EINTR: the kernel's lock was not free */
	} state;
	int error;
	char text[16]; /* valid for what it is, or "" */
} TsmValue;

typedef struct PciFunction {
	Bdf bdf;
	/* Why nothing but bdf is known: -ENODEV (it went away), -EBADMSG (malformed attributes),
	 * -EIO (reading it does not end, or libpci gave up); else 0. With a sentence. */
	int error;
	char trouble[192];
	HostFunction host;
	Bdf dsm; /* the function 0 of its slot, or of its PF's, whether that has a DSM or not */
	PciConfig config;
	size_t vfs_enabled;
	bool has_vfs_total; /* without privilege too */
	uint16_t vfs_total;
	/* What its DOE mailboxes speak, "vvvv:tt" (Linux 6.15 and later). */
	size_t n_doe_features;
	char doe_features[PCI_DOE_FEATURES_MAX][PCI_DOE_FEATURE_SIZE];
	TsmValue connect, bound;
	TsmValue kernel_dsm; /* its text is an address, or "" */
} PciFunction;

typedef struct PciSurvey {
	size_t size; /* of the memory */
	size_t n;
	size_t next; /* the first that is not done */
	bool with_values;
	bool done;
	PciFunction functions[]; /* ascending */
} PciSurvey;

/*
 * -ENOENT: the kernel shows no PCI. sysfs: "/sys". Without `with_values` the attributes of tsm/ are
 * looked for and not read: those that are there are TSM_VALUE_UNKNOWN then.
 */
int pci_survey_new(PciSurvey **ret, const char *sysfs, bool with_values);
PciSurvey *pci_survey_free(PciSurvey *survey);
DEFINE_CLEANUP(PciSurvey, pci_survey_free);

/* NULL: there is no such function. */
const PciFunction *pci_survey_find(const PciSurvey *survey, Bdf bdf);

/* Function 0 with a DSM, as far as the kernel tells: it has tsm/connect. */
bool pci_function_has_dsm(const PciFunction *f);
