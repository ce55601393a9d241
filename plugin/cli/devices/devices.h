/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A function of the host from three sides: the kernel's, its configuration space's and tdid's. */
#pragma once

#include "cli/pci-survey.h"
#include "cli/served.h"
#include "tsm/common/tee-io.h"

#define DEVICES_SYSFS "/sys" /* below --root */

/* All borrowed. */
typedef struct DeviceView {
	const PciFunction *f;
	const PciFunction *physical; /* of a VF; NULL: it is none, or its PF is not there */
	bool has_dsm;
	Bdf dsm; /* as the kernel says, else tdid, else where tsm/connect is */
	/* tdid's, NULL where it knows of none: io.tdid.Assignments' Tsm, Dsm and Device. */
	json_object *tdid_tsm, *tdid_dsm, *tdid_device;
} DeviceView;

DeviceView device_view(const PciSurvey *survey, const Served *served, const PciFunction *f);

/* What TEE-IO is about: it or its PF has tsm/connect, the TEE-IO bit or IDE, or tdid serves it. */
bool device_view_is_relevant(const DeviceView *view);

/* As `tdictl devices --help` describes. Memory that is out ends the process. */
json_object *device_view_json(const DeviceView *view);

/* The table of the TSMs that kernel and tdid know, and a blank line behind it; nothing for none. */
void devices_print_tsms(const TeeIoTsm *tsms, size_t n, const Served *served);
/* The table of functions. */
void devices_print(const DeviceView *views, size_t n);
/* All about one. */
void device_view_print(const DeviceView *view);
