/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One function that the host offers as a trusted device: from Offer to its driver, and back. */
#pragma once

#include "agent/policy.h"
#include "agent/session.h"
#include "agent/tsm-client.h"
#include "agent/uevent.h"
#include "core/bdf.h"
#include "core/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

#define DEVICE_NAME_MAX	       63
#define DEVICE_UNBIND_USEC     (10 * USEC_PER_SEC)
#define DEVICE_DRIVER_USEC     (60 * USEC_PER_SEC)
#define DEVICE_SETTLE_USEC     (10 * USEC_PER_MS) /* doubles */
#define DEVICE_SETTLE_MAX_USEC (5 * USEC_PER_SEC) /* in all */

typedef struct Device Device;

/* What all devices share; outlives them. */
typedef struct DeviceShared {
	Loop *loop;
	const Tree *tree;
	Session *session;
	TsmClient *client;
	const AgentPolicy *policy;
	Uuid tvm; /* of the session with tdid */
} DeviceShared;

/* name: tdid's, 1 to DEVICE_NAME_MAX printable characters. -EINVAL, -ENOMEM. */
int device_new(Device **ret, DeviceShared *shared, const char *name, Bdf address);
Device *device_free(Device *device);
DEFINE_CLEANUP(Device, device_free);

/* tdid calls it so from now on; what there was of a bind under the old name ends. -EINVAL. */
int device_rename(Device *device, const char *name);

const char *device_name(const Device *device);
Bdf device_address(const Device *device);
/* Its driver may be bound. */
bool device_is_accepted(const Device *device);

/* What tdid says. */
void device_offered(Device *device);
void device_locked(Device *device, uint64_t generation);
void device_withdrawn(Device *device, uint64_t generation, const char *reason);

/* What the kernel says of this function; not for "remove". */
void device_uevent(Device *device, const Uevent *event);
/* A PCI driver has been registered: look again. */
void device_look(Device *device);
/* What the kernel said of this function may have been missed. */
void device_events_lost(Device *device);

/* The function is gone: the TSM is told, the record forgets it. Free the device afterwards. */
void device_removed(Device *device);
