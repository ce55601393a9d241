/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tdi_bind, LOCK and tdi_unbind. Bind goes as far as CONFIG_LOCKED and takes the report, or leaves
 * that to tsm_lock(), which carries the TVM's request; START is not in this file. Whatever breaks
 * after LOCK is undone with STOP; if the device does not confirm that of a bind, the record stays
 * behind without a TVM, and no bind of this function succeeds until an unbind does, by itself or
 * with a reset (tsm-reset.c).
 */
#include "common/random.h"
#include "tsm-private.h"

#include "core/refusal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

static void tdi_done(Tdi *tdi)
{
	OPENSSL_cleanse(tdi->lock_nonce, sizeof(tdi->lock_nonce));
	blob_done(&tdi->report_bytes);
	blob_done(&tdi->measured.transcript);
	free(tdi);
}

static int add_tdi(Tsm *tsm, Tdi *tdi)
{
	Tdi **list = reallocarray(tsm->tdis, tsm->n_tdis + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	tsm->tdis = list;
	list[tsm->n_tdis++] = tdi;
	return 0;
}

void tsm_remove_tdi(Tsm *tsm, Tdi *tdi)
{
	for (size_t i = 0; i < tsm->n_tdis; i++) {
		if (tsm->tdis[i] != tdi)
			continue;
		tsm->tdis[i] = tsm->tdis[--tsm->n_tdis];
		tdi_done(tdi);
		return;
	}
}

void tdi_forget_acceptance(Tdi *tdi)
{
	tdi->accepted = false;
	tdi->told = false;
	tdi->told_evidence = (StatementEvidence){};
	tdi->asked = TSM_ASKED_NOTHING;
	tdi->request = 0;
	tdi->granted = (StatementEvidence){};
	memset(tdi->mmio, 0, sizeof(tdi->mmio));
	OPENSSL_cleanse(tdi->lock_nonce, sizeof(tdi->lock_nonce));
}

int tdi_refresh(Tdi *tdi, const char *reason, char **ret_error)
{
	TdispState state;
	int r;

	if (!tdi->dsm->connected)
		return refuse(ret_error, -ENOTCONN, "the session with its DSM is gone");
	r = requester_state(&tdi->dsm->requester, tdi->function_id, &state, ret_error);
	if (r < 0 || state == tdi->state)
		return r;
	tdi->state = state;
	/* None of our doing, so not by the TVM's acceptance either, RUN included. */
	tdi_forget_acceptance(tdi);
	tsm_tdi_changed(tdi, reason);
	return 0;
}

/* The function itself, and one that holds it or is held by it (a VF and its own PF). */
static int check_owners(Tsm *tsm, const TsmBind *bind, const Dsm *dsm, TsmRefusal *refusal)
{
	Bdf physical = dsm->config->device;
	char name[BDF_STRING_SIZE];

	for (size_t i = 0; i < tsm->n_tdis; i++) {
		const Tdi *t = tsm->tdis[i];
		bool same = bdf_equal(t->bdf, bind->device);
		bool own = uuid_equal(t->tvm, bind->tvm);

		refusal->tvm = t->tvm;
		refusal->state = tdisp_state_name(t->state);
		if (same && !t->bound)
			return tsm_refuse_device(refusal, TSM_INVALID_STATE, bind->device,
						 "the device never confirmed the end of its last "
						 "bind; unbind it again");
		if (same && own)
			return tsm_refuse_device(refusal, TSM_INVALID_STATE, bind->device,
						 "it is bound to this TVM already, as generation "
						 "%llu",
						 (unsigned long long)t->generation);
		refusal->has_tvm = true;
		if (same)
			return tsm_refuse_device(refusal, TSM_DEVICE_BUSY, bind->device,
						 "it is bound to another TVM");
		if (t->dsm == dsm && !own &&
		    (bdf_equal(t->bdf, physical) || bdf_equal(bind->device, physical)))
			return tsm_refuse_device(
				refusal, TSM_DEVICE_BUSY, bind->device, "%s %s is another TVM's",
				bdf_equal(t->bdf, physical) ? "its physical function"
							    : "its virtual function",
				bdf_format(t->bdf, name));
		refusal->has_tvm = false;
	}
	return 0;
}

static int check_bind(Tsm *tsm, const TsmBind *bind, Dsm *dsm, TsmRefusal *refusal)
{
	char guest[BDF_STRING_SIZE], name[BDF_STRING_SIZE];
	const Tdi *other;
	int r;

	if (!tsm_find_tvm(tsm, bind->tvm)) {
		refusal->has_tvm = true;
		refusal->tvm = bind->tvm;
		return tsm_refuse(refusal, TSM_UNKNOWN_TVM, "it was never prepared, or released");
	}
	r = check_owners(tsm, bind, dsm, refusal);
	if (r != 0)
		return r;
	if (!dsm->connected) {
		refusal->state = "disconnected";
		return tsm_refuse_device(refusal, TSM_INVALID_STATE, bind->device,
					 "its DSM is not connected");
	}
	other = tsm_find_tvm_tdi(tsm, bind->tvm, bind->guest_rid);
	if (other)
		return tsm_refuse_device(refusal, TSM_REFUSED, bind->device,
					 "the TVM already knows %s as its function %s",
					 bdf_format(other->bdf, name),
					 bdf_format(bdf_from_requester_id(bind->guest_rid), guest));
	return 0;
}

/*
 * MMIO_REPORTING_OFFSET hides the host's addresses from the TVM: any signed number of pages that
 * keeps all of them in range.
 */
static int make_offset(const HostFunction *function, int64_t *ret)
{
	uint64_t lowest = UINT64_MAX, random;
	int r;

	for (unsigned int i = 0; i < HOST_FUNCTION_N_BARS; i++)
		if (function->bars[i].is_memory && function->bars[i].size &&
		    function->bars[i].start < lowest)
			lowest = function->bars[i].start;
	r = random_public(&random, sizeof(random));
	if (r < 0)
		return r;
	*ret = (int64_t)(random % (1ULL << 30)) * INTERFACE_REPORT_PAGE_SIZE;
	if (random >> 63 && lowest != UINT64_MAX)
		*ret = -(int64_t)(random % (lowest / INTERFACE_REPORT_PAGE_SIZE + 1) %
				  (1ULL << 30)) *
		       INTERFACE_REPORT_PAGE_SIZE;
	return 0;
}

/* LOCK, and what has to be true afterwards. *ret_locked: LOCK was sent, STOP is owed. */
static int lock_tdi(Tdi *tdi, const HostFunction *function, bool *ret_locked, char **ret_error)
{
	Requester *q = &tdi->dsm->requester;
	TdispLock lock = { .flags = tdi->lock_flags };
	int r;

	r = make_offset(function, &lock.mmio_reporting_offset);
	if (r == 0)
		r = requester_tdisp_check(q, tdi->function_id, lock.flags, ret_error);
	if (r < 0)
		return r;
	r = requester_lock(q, tdi->function_id, &lock, tdi->lock_nonce, ret_error);
	*ret_locked = r != -EREMOTEIO;
	if (r < 0)
		return r;
	r = requester_state(q, tdi->function_id, &tdi->state, ret_error);
	if (r == 0 && tdi->state != TDISP_CONFIG_LOCKED)
		r = refuse(ret_error, -EBADMSG, "after LOCK the device is in state %s",
			   tdisp_state_name(tdi->state));
	if (r == 0)
		r = requester_report(q, tdi->function_id, &tdi->report_bytes, ret_error);
	if (r == 0)
		r = interface_report_parse(&tdi->report, tdi->report_bytes.data,
					   tdi->report_bytes.size, ret_error);
	if (r == 0)
		r = digest_of(&tdi->report_digest, tdi->report_bytes.data, tdi->report_bytes.size);
	return r;
}

/* Until the TVM asks for measurements of its own, those of the connection stand in. */
static int take_measurements(Tdi *tdi)
{
	const Measured *from = &tdi->dsm->measured;
	int r;

	r = blob_set(&tdi->measured.transcript, from->transcript.data, from->transcript.size);
	tdi->measured.digest = from->digest;
	tdi->measured.sequence = ++tdi->dsm->tsm->sequence;
	tdi->report_sequence = ++tdi->dsm->tsm->sequence;
	return r;
}

bool tdi_stop(Tdi *tdi, char **ret_error)
{
	TdispState state = tdi->state;
	int r;

	if (!tdi->dsm->connected) {
		refuse(ret_error, -ENOTCONN, "the session with its DSM is gone");
		return false;
	}
	r = requester_stop(&tdi->dsm->requester, tdi->function_id, ret_error);
	if (r == 0)
		r = requester_state(&tdi->dsm->requester, tdi->function_id, &state, ret_error);
	if (r == 0 && state != TDISP_CONFIG_UNLOCKED)
		r = refuse(ret_error, -EBADMSG, "after STOP the device is in state %s",
			   tdisp_state_name(state));
	return r == 0;
}

void tdi_end(Tdi *tdi, const char *reason)
{
	tdi->state = TDISP_CONFIG_UNLOCKED;
	tsm_tdi_changed(tdi, reason);
	tsm_remove_tdi(tdi->dsm->tsm, tdi);
}

static int undo_lock(Tsm *tsm, Tdi *tdi, const char *why, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	Bdf bdf = tdi->bdf;

	tdi->bound = false;
	if (tdi_stop(tdi, &error)) {
		tsm_remove_tdi(tsm, tdi);
		return tsm_refuse_device(refusal, TSM_REFUSED, bdf, "%s", why);
	}
	tdi->state = TDISP_ERROR;
	return tsm_refuse_device(refusal, TSM_OUTCOME_UNKNOWN, bdf, "%s; then STOP failed too: %s",
				 why, error ?: "no memory");
}

/* What is left for a LOCK that may come. */
static int check_unlocked(Tdi *tdi, char **ret_error)
{
	Requester *q = &tdi->dsm->requester;
	int r;

	r = requester_tdisp_check(q, tdi->function_id, tdi->lock_flags, ret_error);
	if (r == 0)
		r = requester_state(q, tdi->function_id, &tdi->state, ret_error);
	if (r == 0 && tdi->state != TDISP_CONFIG_UNLOCKED)
		r = refuse(ret_error, -EBADMSG, "the device is in state %s before LOCK",
			   tdisp_state_name(tdi->state));
	return r;
}

/* A LOCK that was half done is taken back; the bind stays, for its TVM and the host to end. */
static int undo_carried_lock(Tdi *tdi, bool locked, const char *why, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	bool stopped = !locked || tdi_stop(tdi, &error);

	tdi_forget_acceptance(tdi);
	tdi->spent = true;
	tdi->state = stopped ? TDISP_CONFIG_UNLOCKED : TDISP_ERROR;
	tsm_tdi_changed(tdi, "LOCK failed");
	if (stopped)
		return tsm_refuse_device(refusal, TSM_REFUSED, tdi->bdf, "LOCK: %s", why);
	return tsm_refuse_device(refusal, TSM_OUTCOME_UNKNOWN, tdi->bdf,
				 "LOCK: %s; then STOP failed too: %s", why, error ?: "no session");
}

int tsm_lock(Tsm *tsm, const TsmCarry *carry, TdispState *ret_state, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	HostFunction function;
	bool locked = false;
	Dsm *dsm;
	Tdi *tdi;
	int r;

	r = tsm_find_asked(tsm, carry, TSM_ASKED_LOCK, &tdi, refusal);
	if (r == 0)
		r = tsm_dsm_of(tsm, carry->device, &dsm, &function, refusal);
	if (r != 0)
		return r;
	r = lock_tdi(tdi, &function, &locked, &error);
	if (r == 0)
		r = take_measurements(tdi);
	if (r < 0)
		return undo_carried_lock(tdi, locked, error ?: strerror(-r), refusal);
	tdi->spent = true;
	tdi->asked = TSM_ASKED_NOTHING;
	tdi->request = 0;
	tsm_tdi_changed(tdi, "locked, as its TVM has asked");
	*ret_state = tdi->state;
	return 0;
}

int tsm_bind(Tsm *tsm, const TsmBind *bind, TdispState *ret_state, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	HostFunction function;
	bool locked = false;
	uint32_t function_id;
	Dsm *dsm;
	Tdi *tdi;
	int r;

	r = tsm_dsm_of(tsm, bind->device, &dsm, &function, refusal);
	if (r == 0)
		r = check_bind(tsm, bind, dsm, refusal);
	if (r != 0)
		return r;
	if (tdisp_function_id_from_bdf(&function_id, bind->device) < 0)
		return tsm_refuse_device(refusal, TSM_REFUSED, bind->device,
					 "TDISP has no FUNCTION_ID for a PCI segment above 255");
	tdi = calloc(1, sizeof(*tdi));
	if (!tdi || add_tdi(tsm, tdi) < 0) {
		free(tdi);
		return -ENOMEM;
	}
	tdi->bdf = bind->device;
	tdi->function_id = function_id;
	tdi->dsm = dsm;
	tdi->bound = true;
	tdi->tvm = bind->tvm;
	tdi->guest_rid = bind->guest_rid;
	tdi->generation = bind->generation;
	tdi->lock_flags = bind->lock_flags;
	if (tsm->config->tvm_asks_lock)
		r = check_unlocked(tdi, &error);
	else
		r = lock_tdi(tdi, &function, &locked, &error);
	if (r == 0)
		r = take_measurements(tdi);
	if (r < 0 && locked)
		return undo_lock(tsm, tdi, error ?: strerror(-r), refusal);
	if (r < 0) {
		tsm_remove_tdi(tsm, tdi);
		return tsm_refuse_device(refusal, TSM_REFUSED, bind->device, "%s",
					 error ?: strerror(-r));
	}
	tsm_tdi_changed(tdi, "bound");
	*ret_state = tdi->state;
	return 0;
}

int tsm_unbind(Tsm *tsm, Bdf device, TsmUnbound *ret, TsmRefusal *refusal)
{
	_cleanup_free_ char *error = NULL;
	Tdi *tdi;
	Dsm *dsm;
	int r;

	r = tsm_dsm_of(tsm, device, &dsm, NULL, refusal);
	if (r != 0)
		return r;
	tdi = tsm_find_tdi(tsm, device);
	*ret = (TsmUnbound){ true, true, TDISP_CONFIG_UNLOCKED };
	if (!tdi)
		return 0;
	/* Nothing below brings the TVM back: what the TSM holds of this bind goes first. */
	tdi_forget_acceptance(tdi);
	tdi->bound = false;
	if (tdi_stop(tdi, &error)) {
		tdi_end(tdi, "unbound");
		return 0;
	}
	tdi->state = TDISP_ERROR;
	ret->device_confirmed = false;
	ret->state = tdi->state;
	tsm_tdi_changed(tdi, "unbound, but the device did not confirm STOP");
	return 0;
}
