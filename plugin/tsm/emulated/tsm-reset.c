/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What follows an unbind that the device has not confirmed:
 *
 *	unconfirmed --its reset would take another bound TDI along--> unconfirmed
 *	            --FLR fails--> unconfirmed
 *	            --FLR--> asked again: STOP, state --CONFIG_UNLOCKED--> confirmed, forgotten
 *	                                              --anything else--> unconfirmed
 *
 * An FLR alone confirms nothing here: this TSM can ask the device, so it does. A reset of the DSM's
 * own function ends the session, over which there is no asking then; the next unbind does it over a
 * new one.
 */
#include "tsm-private.h"

#include "core/refusal.h"

#include <errno.h>

static bool is_physical(const Tdi *tdi)
{
	return bdf_equal(tdi->bdf, tdi->dsm->config->device);
}

/* A bound TDI that a reset of this one would take to ERROR. */
static const Tdi *find_taken_along(const Tdi *tdi)
{
	const Tsm *tsm = tdi->dsm->tsm;

	if (!is_physical(tdi))
		return NULL;
	for (size_t i = 0; i < tsm->n_tdis; i++)
		if (tsm->tdis[i]->dsm == tdi->dsm && tsm->tdis[i]->bound)
			return tsm->tdis[i];
	return NULL;
}

/* FLR. -EIO: the function does not come back from it. */
static int reset(Tdi *tdi)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	DeviceInterface *interface = device_interface(tdi->dsm->device, tdi->bdf);

	if (!interface)
		return -ENOMEM;
	if (!device_interface_reset(interface))
		return -EIO;
	if (is_physical(tdi) && tdi->dsm->connected)
		return tsm_lose_session(tdi->dsm->tsm, tdi->bdf, "reset of the physical function",
					&refusal);
	return 0;
}

int tsm_reset_unbound(Tsm *tsm, Bdf device, TsmUnbound *unbound, char **ret_reason)
{
	_cleanup_free_ char *error = NULL;
	Tdi *tdi = tsm_find_tdi(tsm, device);
	char name[BDF_STRING_SIZE];
	const Tdi *other;
	int r;

	if (!tdi || tdi->bound)
		return -EINVAL;
	other = find_taken_along(tdi);
	if (other)
		return refuse(
			ret_reason, 0,
			"it is not reset, because that would take %s to ERROR, which is bound; "
			"unbind that first",
			bdf_format(other->bdf, name));
	r = reset(tdi);
	if (r == -EIO)
		return refuse(ret_reason, 0, "its reset (FLR) failed");
	if (r < 0)
		return r;
	if (!tdi_stop(tdi, &error))
		return refuse(ret_reason, 0, "it was reset (FLR), and still: %s%s",
			      error ?: "no memory",
			      tdi->dsm->connected ? "" : "; connect it, and unbind it again");
	tdi_end(tdi, "unbound, by a reset");
	unbound->device_confirmed = true;
	unbound->state = TDISP_CONFIG_UNLOCKED;
	return refuse(ret_reason, 0, "the device has confirmed STOP only after a reset (FLR)");
}
