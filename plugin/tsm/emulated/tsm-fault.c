/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes wrong in a device on request (io.tdid.TsmEmulated). */
#include "tsm-private.h"

#include <errno.h>
#include <string.h>

static int fault_target(Tsm *tsm, Bdf device, Dsm **ret, DeviceInterface **ret_interface,
			TsmRefusal *refusal)
{
	int r = tsm_dsm_of(tsm, device, ret, NULL, refusal);

	if (r != 0)
		return r;
	if (!(*ret)->connected) {
		refusal->state = "disconnected";
		return tsm_refuse_device(refusal, TSM_INVALID_STATE, device,
					 "its DSM is not connected");
	}
	*ret_interface = device_interface((*ret)->device, device);
	return *ret_interface ? 0 : -ENOMEM;
}

int tsm_set_device_faults(Tsm *tsm, Bdf device, unsigned int faults, TsmRefusal *refusal)
{
	DeviceInterface *interface = NULL;
	Dsm *dsm;
	int r = fault_target(tsm, device, &dsm, &interface, refusal);

	if (r == 0)
		interface->faults = faults;
	return r;
}

/* What has happened to a device is for its TSM to see. */
static int see(Tsm *tsm, Bdf device, const char *reason, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	Tdi *tdi = tsm_find_tdi(tsm, device);
	int r = tdi ? tdi_refresh(tdi, reason, &error) : 0;

	if (r < 0)
		return tsm_refuse_device(refusal, TSM_REFUSED, device, "%s", error ?: strerror(-r));
	/* Of one that was not locked it is not the device that says so. */
	if (tdi)
		tdi_ask_no_more(tdi, reason);
	return 0;
}

int tsm_violate(Tsm *tsm, Bdf device, const char *reason, TsmRefusal *refusal)
{
	DeviceInterface *interface = NULL;
	Dsm *dsm;
	int r = fault_target(tsm, device, &dsm, &interface, refusal);

	if (r != 0)
		return r;
	device_interface_violate(interface);
	return see(tsm, device, reason, refusal);
}

int tsm_reset_virtual(Tsm *tsm, Bdf device, const char *reason, TsmRefusal *refusal)
{
	DeviceInterface *interface = NULL;
	Dsm *dsm;
	int r = fault_target(tsm, device, &dsm, &interface, refusal);

	if (r != 0)
		return r;
	if (!device_interface_reset(interface))
		return tsm_refuse_device(refusal, TSM_REFUSED, device, "fault injected: no_reset");
	return see(tsm, device, reason, refusal);
}

int tsm_lose_session(Tsm *tsm, Bdf device, const char *reason, TsmRefusal *refusal)
{
	DeviceInterface *interface = NULL;
	Dsm *dsm;
	int r = fault_target(tsm, device, &dsm, &interface, refusal);

	if (r != 0)
		return r;
	device_reset(dsm->device);
	dsm_disconnect(dsm);
	for (size_t i = 0; i < tsm->n_tdis; i++) {
		Tdi *tdi = tsm->tdis[i];

		if (tdi->dsm != dsm || !tdi->bound)
			continue;
		if (tdi->state == TDISP_CONFIG_UNLOCKED) {
			tdi_ask_no_more(tdi, reason);
			continue;
		}
		tdi->state = TDISP_ERROR;
		tdi_forget_acceptance(tdi);
		tsm_tdi_changed(tdi, reason);
	}
	tsm_dsm_changed(dsm, reason);
	return 0;
}
