/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a TVM asks for where the host issues LOCK or START (configuration: lock_by, start_by):
 *
 *	tdi_lock of the TVM	--> open --Lock of the host--> CONFIG_LOCKED
 *	tdi_validate{accept}	--> open --Start of the host--> RUN, accepted
 *
 * One at a time is open, under a number that was never used before. A revocation, the end of the
 * bind, any change of the device's state and measurements that are collected anew end it: the host
 * cannot come back to it. What the host says is only held against it: without the TVM's word in
 * this very bind neither verb does anything.
 */
#include "tsm-private.h"

#include "tsm-validate.h"

#include <errno.h>
#include <string.h>

void tdi_ask(Tdi *tdi, TsmAsked asked, const char *reason)
{
	tdi->asked = asked;
	tdi->request = ++tdi->dsm->tsm->request;
	tsm_tdi_changed(tdi, reason);
}

void tdi_ask_no_more(Tdi *tdi, const char *reason)
{
	if (tdi->asked == TSM_ASKED_NOTHING)
		return;
	tdi->asked = TSM_ASKED_NOTHING;
	tdi->request = 0;
	tdi->granted = (StatementEvidence){};
	tsm_tdi_changed(tdi, reason);
}

static int refuse_carry(const Tdi *tdi, const TsmCarry *carry, TsmAsked asked, TsmRefusal *refusal)
{
	refusal->state = tdisp_state_name(tdi ? tdi->state : TDISP_CONFIG_UNLOCKED);
	return tsm_refuse_device(refusal, TSM_INVALID_STATE, carry->device,
				 "its TVM has no request %llu for %s open in bind %llu",
				 (unsigned long long)carry->request,
				 asked == TSM_ASKED_LOCK ? "LOCK" : "START",
				 (unsigned long long)carry->generation);
}

int tsm_find_asked(Tsm *tsm, const TsmCarry *carry, TsmAsked asked, Tdi **ret, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	Dsm *dsm;
	Tdi *tdi;
	int r;

	r = tsm_dsm_of(tsm, carry->device, &dsm, NULL, refusal);
	if (r != 0)
		return r;
	if (!tsm_find_tvm(tsm, carry->tvm)) {
		refusal->has_tvm = true;
		refusal->tvm = carry->tvm;
		return tsm_refuse(refusal, TSM_UNKNOWN_TVM, "it was never prepared, or released");
	}
	tdi = tsm_find_tdi(tsm, carry->device);
	if (!tdi || !tdi->bound || !uuid_equal(tdi->tvm, carry->tvm) ||
	    tdi->generation != carry->generation || tdi->asked != asked ||
	    tdi->request != carry->request)
		return refuse_carry(tdi, carry, asked, refusal);
	r = tdi_refresh(tdi, "found in another state", &error);
	if (r < 0)
		return tsm_refuse_device(refusal, TSM_REFUSED, carry->device, "%s",
					 error ?: strerror(-r));
	if (tdi->asked != asked)
		return refuse_carry(tdi, carry, asked, refusal);
	*ret = tdi;
	return 0;
}

int tsm_start(Tsm *tsm, const TsmCarry *carry, TdispState *ret_state, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	Tdi *tdi;
	int r;

	r = tsm_find_asked(tsm, carry, TSM_ASKED_START, &tdi, refusal);
	if (r != 0)
		return r;
	if (!tdi_stands(tdi)) {
		tdi_ask_no_more(tdi, "what its TVM has accepted is not so any more");
		return refuse_carry(tdi, carry, TSM_ASKED_START, refusal);
	}
	r = tdi_run(tdi, &error);
	if (r < 0) {
		bool known = tdi_refresh(tdi, "START failed", NULL) == 0;

		tdi_ask_no_more(tdi, "START failed");
		return tsm_refuse_device(refusal, known ? TSM_REFUSED : TSM_OUTCOME_UNKNOWN,
					 carry->device, "START: %s", error ?: strerror(-r));
	}
	*ret_state = tdi->state;
	return 0;
}
