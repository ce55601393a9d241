/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One TDI as its device sees it: the TDISP 1.0 state machine.
 *
 *	CONFIG_UNLOCKED --LOCK--> CONFIG_LOCKED --START, right nonce--> RUN
 *	any --STOP--> CONFIG_UNLOCKED
 *	CONFIG_LOCKED, RUN --FLR, session lost, violation--> ERROR
 *
 * The nonce is made at LOCK and destroyed when CONFIG_LOCKED ends; a wrong one leaves it. A device
 * that cannot STOP is able to after an FLR, unless that is broken as well.
 */
#pragma once

#include "common/blob.h"
#include "core/tdisp.h"
#include "tsm/common/host-function.h"

#include <stdbool.h>

/* How a device may be made to misbehave. */
enum {
	DEVICE_FAULT_WRONG_NONCE = 1 << 0, /* gives the TSM another nonce than it keeps */
	DEVICE_FAULT_MALFORMED_REPORT = 1 << 1,
	DEVICE_FAULT_WRONG_REPORT = 1 << 2, /* well-formed, but a page of each BAR is missing */
	DEVICE_FAULT_NO_STOP = 1 << 3,	    /* answers STOP with an error, until a reset */
	DEVICE_FAULT_NO_RESET = 1 << 4, /* does not come back from a reset, which does nothing */
	DEVICE_FAULT_STUCK = 1 << 5,	/* DEVICE_FAULT_NO_STOP outlasts resets */
};

typedef struct DeviceInterface {
	Bdf bdf;
	TdispState state;
	uint8_t nonce[TDISP_NONCE_SIZE];
	Blob report; /* while locked or running */
	unsigned int faults;
} DeviceInterface;

void device_interface_done(DeviceInterface *interface);

/*
 * Answers a parsed request about this interface; the version and the host of the FUNCTION_ID have
 * been looked at. function: what LOCK finds; nothing else looks at it. *ret borrows from the
 * interface.
 */
void device_interface_answer(DeviceInterface *interface, const HostFunction *function,
			     const TdispRequest *request, TdispResponse *ret);

/* A lost session, or any other security violation. */
void device_interface_violate(DeviceInterface *interface);

/* A function level reset. False: the function does not come back from it. */
bool device_interface_reset(DeviceInterface *interface);
