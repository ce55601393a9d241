/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An emulated device with its DSM: an SPDM 1.2 responder and one TDISP machine per function, all
 * behind device_exchange(). Nothing but that function carries what a TSM and a device say to each
 * other, so that a DOE mailbox can take its place.
 *
 * Differs from a real device: TDISP is answered outside a secured session and LOCK asks for no IDE
 * keys, because there is no link between this device and its TSM.
 */
#pragma once

#include "core/cleanup.h"
#include "core/spdm.h"
#include "device-interface.h"
#include "tsm/common/host-function.h"

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

/* The longest message in either direction. */
#define DEVICE_MESSAGE_MAX SPDM_MAX_MESSAGE_SIZE

typedef struct Device Device;

/* Whether the device has this function, and what it is like. 0 or a negative errno. */
typedef int (*DeviceFindFunction)(void *userdata, Bdf bdf, HostFunction *ret);

typedef struct DeviceOptions {
	EVP_PKEY *key; /* of the leaf certificate; a reference is taken */
	const void *chain;
	size_t chain_size; /* certificate chain structure of slot 0; copied */
	const void *record;
	size_t record_size; /* measurements; copied */
	unsigned int n_blocks;
	DeviceFindFunction find_function;
	void *userdata;
} DeviceOptions;

int device_new(Device **ret, const DeviceOptions *options);
Device *device_free(Device *device);
DEFINE_CLEANUP(Device, device_free);

/*
 * Takes one SPDM request and gives its response, which is an SPDM ERROR where the device refuses.
 * Never fails but for -ENOMEM, and -ENOSPC if `capacity` (DEVICE_MESSAGE_MAX is always enough)
 * is too small.
 */
int device_exchange(Device *device, const void *request, size_t request_size, void *response,
		    size_t capacity, size_t *ret_size);

/* For faults: the interface of this function, known to the device from here on. NULL: -ENOMEM. */
DeviceInterface *device_interface(Device *device, Bdf bdf);

/* The SPDM connection is gone, and every TDI that was locked or running is in ERROR. */
void device_reset(Device *device);
