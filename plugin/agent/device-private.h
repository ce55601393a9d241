/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What device.c (the bind) and device-driver.c (the function's driver) share. Not for others. */
#pragma once

#include "agent/device.h"
#include "agent/task.h"
#include "agent/tell.h"
#include "agent/verify.h"
#include "rpc/log.h"

typedef enum DeviceState {
	DEVICE_OFFERED,
	DEVICE_READY,
	DEVICE_VERIFYING,
	DEVICE_ACCEPTED,
	DEVICE_REJECTED,
} DeviceState;

/* What the unbinding of a driver was for. */
typedef enum DeviceAfter {
	AFTER_PREPARE,
	AFTER_REJECT,
	AFTER_WITHDRAW,
	AFTER_NOTHING,
} DeviceAfter;

struct Device {
	DeviceShared *shared;
	char name[DEVICE_NAME_MAX + 1];
	Bdf address;
	char at[BDF_STRING_SIZE]; /* the address as text */
	DeviceState state;

	bool has_generation;
	uint64_t generation;
	uint64_t locked_at; /* microseconds of CLOCK_BOOTTIME */
	bool lock_pending;  /* Locked has come and no verification was begun for it */
	bool ready_due;	    /* Offer has come, and neither Locked nor our Ready since */
	Verify *verify;
	/* A rejection of this bind that nobody has heard of, and why; NULL: there is none */
	const char *untold_step;
	char *untold_reason;

	Task *task;
	DeviceAfter after;
	bool unbind_tried, driver_reported, complained;
	bool probe_again; /* a driver came while the probe was under way, perhaps too late for it */
	uint64_t revoke_due; /* generation that the TSM is yet to hear of; 0: none */
	LoopTimer settle, deadline, reattest;
	uint64_t settle_wait;
};

#define device_say(level, device, format, ...)                                                     \
	log_##level("%s %s: " format, (device)->name, (device)->at, ##__VA_ARGS__)

static inline TellSubject device_subject(const Device *device)
{
	return (TellSubject){ .session = device->shared->session,
			      .name = device->name,
			      .address = device->at,
			      .generation = device->generation,
			      .locked_at = device->locked_at };
}

/* Enables the function and says Ready, as far as that is due; device.c. */
void device_prepare(Device *device);

/* The TSM hears of an acceptance that is over, now or with the next session. */
void device_revoke(Device *device);
/* Unbinds whatever driver there is, and then goes on. */
void device_unbind(Device *device, DeviceAfter after);
/* Lets the kernel probe drivers for the accepted function. */
void device_drive(Device *device);
/* Tells tdid of the driver, once. False: there is none. */
bool device_report_driver(Device *device);
