/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Binding and unbinding run a driver's code: in a task, one at a time for each device. */
#include "agent/device-private.h"

#include "agent/function.h"

#include <errno.h>
#include <string.h>

void device_revoke(Device *device)
{
	int r = 0;

	if (device->revoke_due)
		r = tsm_client_revoke(device->shared->client, bdf_requester_id(device->address),
				      device->revoke_due);
	device->revoke_due = 0;
	if (r < 0)
		device_say(warning, device, "the acceptance is not revoked: %s", strerror(-r));
}

static void device_after_unbind(Device *device, DeviceAfter after)
{
	device_revoke(device);
	switch (after) {
	case AFTER_REJECT:
		/* Refused: no access to memory, shared memory included. */
		function_disable(device->shared->tree, device->address);
		break;
	case AFTER_WITHDRAW: device_prepare(device); return;
	case AFTER_PREPARE:
	case AFTER_NOTHING: break;
	}
	if (device->lock_pending || device->ready_due || after == AFTER_PREPARE)
		device_prepare(device);
}

static void on_unbound(void *userdata, int result)
{
	Device *device = userdata;
	char driver[FUNCTION_DRIVER_SIZE];

	device->task = task_free(device->task);
	if (function_driver(device->shared->tree, device->address, driver) == 0)
		device_say(error, device, "driver %s does not let go of the function: %s", driver,
			   result == 0	      ? "it is still bound"
			   : result == -ETIME ? "still at it"
					      : strerror(-result));
	device_after_unbind(device, device->after);
}

void device_unbind(Device *device, DeviceAfter after)
{
	char driver[FUNCTION_DRIVER_SIZE];
	_cleanup_free_ char *path = NULL;
	int r;

	if (device->task)
		device->task = task_free(device->task);
	if (function_driver(device->shared->tree, device->address, driver) < 0) {
		device_after_unbind(device, after);
		return;
	}
	device_say(info, device, "unbinding driver %s", driver);
	device->after = after;
	r = tree_path(device->shared->tree, &path, "/sys/bus/pci/drivers/%s/unbind", driver);
	if (r == 0)
		r = task_new(&device->task, device->shared->loop, path, device->at,
			     DEVICE_UNBIND_USEC, on_unbound, device);
	if (r < 0) {
		device_say(error, device, "driver %s could not be unbound: %s", driver,
			   strerror(-r));
		device_after_unbind(device, after);
	}
}

bool device_report_driver(Device *device)
{
	char driver[FUNCTION_DRIVER_SIZE];

	if (function_driver(device->shared->tree, device->address, driver) < 0)
		return false;
	loop_timer_off(&device->deadline);
	if (device->driver_reported)
		return true;
	device->driver_reported = true;
	device_say(info, device, "driver %s bound", driver);
	tell_progress(device_subject(device), "driver");
	tell_driver(device_subject(device), driver);
	return true;
}

static void on_probed(void *userdata, int result)
{
	Device *device = userdata;

	device->task = task_free(device->task);
	if (device->state == DEVICE_ACCEPTED && !device->lock_pending) {
		if (result != -ETIME && device->probe_again && !device_report_driver(device))
			device_drive(device);
		else if (result == -ETIME)
			device_say(warning, device, "the driver's probe is still going on");
		else if (!device_report_driver(device))
			device_say(warning, device, "no driver has taken the function yet (%s)",
				   result < 0 ? strerror(-result) : "is its module loaded?");
		return;
	}
	device_after_unbind(device, AFTER_NOTHING);
}

void device_drive(Device *device)
{
	_cleanup_free_ char *path = NULL;
	int r;

	if (device_report_driver(device))
		return;
	device->probe_again = device->task;
	if (device->task)
		return;
	r = tree_path(device->shared->tree, &path, "/sys/bus/pci/drivers_probe");
	if (r == 0)
		r = task_new(&device->task, device->shared->loop, path, device->at,
			     DEVICE_DRIVER_USEC, on_probed, device);
	if (r < 0)
		device_say(error, device, "drivers could not be probed: %s", strerror(-r));
	loop_timer_set(&device->deadline, DEVICE_DRIVER_USEC);
}
