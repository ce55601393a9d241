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

const char *device_name(const Device *device);
Bdf device_address(const Device *device);
/* Its driver may be bound. */
bool device_is_accepted(const Device *device);

/* What tdid says. */
void device_offered(Device *device);
void device_locked(Device *device, uint64_t generation);
void device_withdrawn(Device *device, uint64_t generation, const char *reason);
/* The session with tdid ended; a new one brings Offer and Locked again. */
void device_session_ended(Device *device);

/* What the kernel says of this function; not for "remove". */
void device_uevent(Device *device, const Uevent *event);
/* A PCI driver has been registered, or events were lost: look again. */
void device_look(Device *device);

/* The function is gone: the TSM is told, the record forgets it. Free the device afterwards. */
void device_removed(Device *device);
