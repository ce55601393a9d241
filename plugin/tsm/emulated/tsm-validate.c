/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place where a TDI becomes accepted, in tdi_run(). On the way there, all for this bind:
 *
 *	tdi_info	measures with the TVM's nonce and remembers what was told
 *	mmio_validate	once for every range of TEE memory in the report; again in RUN, where it
 *			changes nothing and says whether that is what has been validated
 *	tdi_validate	quotes what was told; if it is still current, START with the TSM's nonce,
 *			or, where that is the host's to issue, the TVM's request for it
 *			(tsm-request.c)
 *
 * tdi_validate{revoke} sends STOP; the TDI stays bound, unlocked, until the host unbinds it.
 */
#include "tsm-validate.h"

#include "rpc/log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

static StatementEvidence current_evidence(const Tdi *tdi)
{
	return (StatementEvidence){
		.certificates = tdi->dsm->certificates_digest,
		.vca = tdi->dsm->vca_digest,
		.measurements = tdi->measured.digest,
		.report = tdi->report_digest,
		.identity_sequence = tdi->dsm->identity_sequence,
		.measurements_sequence = tdi->measured.sequence,
		.report_sequence = tdi->report_sequence,
	};
}

static bool evidence_equal(const StatementEvidence *a, const StatementEvidence *b)
{
	return digest_equal(&a->certificates, &b->certificates) && digest_equal(&a->vca, &b->vca) &&
	       digest_equal(&a->measurements, &b->measurements) &&
	       digest_equal(&a->report, &b->report) &&
	       a->identity_sequence == b->identity_sequence &&
	       a->measurements_sequence == b->measurements_sequence &&
	       a->report_sequence == b->report_sequence;
}

static GuestStatus failed(const Tdi *tdi, const char *step, const char *error, int r)
{
	char name[BDF_STRING_SIZE];

	log_warning("%s: %s: %s", bdf_format(tdi->bdf, name), step, error ?: strerror(-r));
	return GUEST_STATUS_DEVICE_FAILED;
}

/* Finds the TDI and asks its device for its state. */
static GuestStatus look_up(Tsm *tsm, Uuid tvm, uint32_t rid, const char *step, Tdi **ret)
{
	_cleanup_free_ char *error = NULL;
	Tdi *tdi = tsm_find_tvm_tdi(tsm, tvm, rid);
	int r;

	if (!tdi)
		return GUEST_STATUS_INVALID_TDI;
	*ret = tdi;
	r = tdi_refresh(tdi, "found in another state", &error);
	return r < 0 ? failed(tdi, step, error, r) : GUEST_STATUS_OK;
}

static int make_statement(const Tdi *tdi, const uint8_t *nonce, uint8_t ret[static STATEMENT_SIZE])
{
	const Dsm *dsm = tdi->dsm;
	Statement s = {
		.flags = STATEMENT_EMULATED | STATEMENT_FRESH_MEASUREMENTS |
			 (tdi->accepted ? STATEMENT_ACCEPTED : 0),
		.guest_rid = tdi->guest_rid,
		.generation = tdi->generation,
		.tdisp_state = tdi->state,
		.spdm_version = dsm->vca.version,
		.slot = dsm->slot,
		.link = STATEMENT_LINK_EMULATED,
		.lock_flags = tdi->lock_flags,
		.base_asym = dsm->vca.chosen.base_asym,
		.base_hash = dsm->vca.chosen.base_hash,
		.aead = dsm->vca.chosen.aead,
		.dhe = dsm->vca.chosen.dhe,
		.leaf_key = *cert_chain_leaf_key_digest(dsm->chain),
		.evidence = current_evidence(tdi),
	};

	memcpy(s.tvm, tdi->tvm.bytes, sizeof(s.tvm));
	memcpy(s.instance, dsm->tsm->instance, sizeof(s.instance));
	memcpy(s.nonce, nonce, sizeof(s.nonce));
	return statement_write(&s, ret);
}

/* By its TVM's request, which is not too late. */
static bool may_be_locked(const Tdi *tdi)
{
	return tdi->dsm->tsm->config->tvm_asks_lock && !tdi->spent &&
	       tdi->state == TDISP_CONFIG_UNLOCKED;
}

GuestStatus tsm_answer_info(Tsm *tsm, Uuid tvm, const GuestTdiInfo *request,
			    uint8_t ret_statement[static STATEMENT_SIZE], TsmEvidence *ret_evidence)
{
	_cleanup_free_ char *error = NULL;
	GuestStatus status;
	Tdi *tdi;
	int r;

	status = look_up(tsm, tvm, request->rid, "tdi_info", &tdi);
	if (status != GUEST_STATUS_OK)
		return status;
	if (may_be_locked(tdi))
		return GUEST_STATUS_NOT_LOCKED;
	if (tdi->state != TDISP_CONFIG_LOCKED && tdi->state != TDISP_RUN)
		return GUEST_STATUS_INVALID_STATE;
	tdi->told = false;
	r = tsm_collect(tdi->dsm, tdi, request->nonce, &error);
	if (r == 0)
		r = make_statement(tdi, request->nonce, ret_statement);
	if (r == 0)
		r = tsm_copy_evidence(tdi->dsm, tdi, ret_evidence);
	if (r < 0)
		return failed(tdi, "tdi_info", error, r);
	tdi->told = true;
	tdi->told_evidence = current_evidence(tdi);
	return GUEST_STATUS_OK;
}

static GuestTdiStatus tdi_status(const Tdi *tdi)
{
	return (GuestTdiStatus){
		.tdisp_state = tdi->state,
		.accepted = tdi->accepted,
		.requested = (uint8_t)tdi->asked,
		.generation = tdi->generation,
	};
}

static bool range_is_shared(const Tdi *tdi, uint32_t index)
{
	const InterfaceRules rules = { .lock_msix = tdi->lock_flags & TDISP_LOCK_MSIX };

	return interface_range_is_shared(&tdi->report.ranges[index], &rules);
}

static bool mmio_complete(const Tdi *tdi)
{
	for (uint32_t i = 0; i < tdi->report.n_ranges; i++)
		if (!range_is_shared(tdi, i) && !tdi->mmio[i].valid)
			return false;
	return true;
}

bool tdi_stands(const Tdi *tdi)
{
	const StatementEvidence current = current_evidence(tdi);

	return tdi->state == TDISP_CONFIG_LOCKED && tdi->asked == TSM_ASKED_START &&
	       evidence_equal(&tdi->granted, &current) && mmio_complete(tdi);
}

int tdi_run(Tdi *tdi, char **ret_error)
{
	char name[BDF_STRING_SIZE];
	int r;

	r = requester_start(&tdi->dsm->requester, tdi->function_id, tdi->lock_nonce, ret_error);
	if (r < 0)
		return r;
	OPENSSL_cleanse(tdi->lock_nonce, sizeof(tdi->lock_nonce));
	tdi->state = TDISP_RUN;
	tdi->accepted = true;
	tdi->asked = TSM_ASKED_NOTHING;
	tdi->request = 0;
	log_info("%s: accepted by its TVM; MMIO was compared by counts and sizes only",
		 bdf_format(tdi->bdf, name));
	tsm_tdi_changed(tdi, "accepted by its TVM");
	return 0;
}

static GuestStatus tdi_accept(Tdi *tdi, const GuestTdiValidate *request)
{
	const StatementEvidence current = current_evidence(tdi);
	_cleanup_free_ char *error = NULL;
	int r;

	if (tdi->state != TDISP_CONFIG_LOCKED)
		return GUEST_STATUS_INVALID_STATE;
	if (tdi->asked == TSM_ASKED_START)
		return evidence_equal(&request->evidence, &tdi->granted) ? GUEST_STATUS_OK
									 : GUEST_STATUS_STALE;
	if (!tdi->told || !evidence_equal(&request->evidence, &tdi->told_evidence) ||
	    !evidence_equal(&request->evidence, &current))
		return GUEST_STATUS_STALE;
	if (!mmio_complete(tdi))
		return GUEST_STATUS_MMIO_MISSING;
	if (tdi->dsm->tsm->config->tvm_asks_start) {
		tdi->granted = request->evidence;
		tdi_ask(tdi, TSM_ASKED_START, "its TVM asks for START");
		return GUEST_STATUS_OK;
	}
	r = tdi_run(tdi, &error);
	if (r < 0) {
		failed(tdi, "tdi_validate{accept}", error, r);
		tdi_refresh(tdi, "START failed", NULL);
		return GUEST_STATUS_DEVICE_FAILED;
	}
	return GUEST_STATUS_OK;
}

static GuestStatus tdi_revoke(Tdi *tdi)
{
	_cleanup_free_ char *error = NULL;
	int r = -ENOTCONN;

	/* Whatever the device says: the TVM has taken it back. */
	tdi_forget_acceptance(tdi);
	tdi->spent = true;
	if (tdi->dsm->connected)
		r = requester_stop(&tdi->dsm->requester, tdi->function_id, &error);
	if (r == 0)
		tdi->state = TDISP_CONFIG_UNLOCKED;
	tsm_tdi_changed(tdi, "revoked by its TVM");
	return r < 0 ? failed(tdi, "tdi_validate{revoke}", error, r) : GUEST_STATUS_OK;
}

GuestStatus tsm_answer_validate(Tsm *tsm, Uuid tvm, const GuestTdiValidate *request,
				GuestTdiStatus *ret)
{
	GuestStatus status;
	Tdi *tdi = tsm_find_tvm_tdi(tsm, tvm, request->rid);

	if (!tdi)
		return GUEST_STATUS_INVALID_TDI;
	if (request->generation != tdi->generation)
		return GUEST_STATUS_STALE;
	if (request->action == GUEST_VALIDATE_REVOKE) {
		status = tdi_revoke(tdi);
	} else {
		status = look_up(tsm, tvm, request->rid, "tdi_validate{accept}", &tdi);
		if (status == GUEST_STATUS_OK)
			status = tdi_accept(tdi, request);
	}
	if (status == GUEST_STATUS_OK)
		*ret = tdi_status(tdi);
	return status;
}

/* No page may stand for two. */
static bool overlaps_another(Tsm *tsm, const Tdi *tdi, const GuestMmioValidate *request)
{
	uint64_t end = request->address + request->pages * GUEST_PAGE_SIZE;

	for (size_t i = 0; i < tsm->n_tdis; i++) {
		const Tdi *other = tsm->tdis[i];

		if (!other->bound || !uuid_equal(other->tvm, tdi->tvm))
			continue;
		for (uint32_t k = 0; k < other->report.n_ranges; k++) {
			const MmioValidation *m = &other->mmio[k];

			if ((other == tdi && k == request->range) || !m->valid)
				continue;
			if (request->address < m->address + m->pages * GUEST_PAGE_SIZE &&
			    m->address < end)
				return true;
		}
	}
	return false;
}

/* The parser has seen to it that the range does not leave the address space. */
static bool mmio_matches(Tsm *tsm, const Tdi *tdi, const GuestMmioValidate *request)
{
	return request->range < tdi->report.n_ranges && !range_is_shared(tdi, request->range) &&
	       request->pages == tdi->report.ranges[request->range].n_pages &&
	       !overlaps_another(tsm, tdi, request);
}

static bool mmio_stands(const Tdi *tdi, const GuestMmioValidate *request)
{
	const MmioValidation *m;

	if (request->range >= tdi->report.n_ranges)
		return false;
	m = &tdi->mmio[request->range];
	return m->valid && m->address == request->address && m->pages == request->pages;
}

GuestStatus tsm_answer_mmio(Tsm *tsm, Uuid tvm, const GuestMmioValidate *request)
{
	Tdi *tdi = tsm_find_tvm_tdi(tsm, tvm, request->rid);

	if (!tdi)
		return GUEST_STATUS_INVALID_TDI;
	if (request->generation != tdi->generation)
		return GUEST_STATUS_STALE;
	if ((tdi->state == TDISP_RUN && tdi->accepted) || tdi->asked == TSM_ASKED_START)
		return mmio_stands(tdi, request) ? GUEST_STATUS_OK : GUEST_STATUS_MMIO_MISMATCH;
	if (tdi->state != TDISP_CONFIG_LOCKED)
		return GUEST_STATUS_INVALID_STATE;
	if (!mmio_matches(tsm, tdi, request)) {
		/* The first failure undoes all. */
		memset(tdi->mmio, 0, sizeof(tdi->mmio));
		return GUEST_STATUS_MMIO_MISMATCH;
	}
	tdi->mmio[request->range] = (MmioValidation){
		.valid = true,
		.address = request->address,
		.pages = request->pages,
	};
	return GUEST_STATUS_OK;
}

GuestStatus tsm_answer_lock(Tsm *tsm, Uuid tvm, const GuestTdiLock *request, GuestTdiStatus *ret)
{
	GuestStatus status;
	Tdi *tdi;

	if (!tsm->config->tvm_asks_lock)
		return GUEST_STATUS_UNSUPPORTED;
	status = look_up(tsm, tvm, request->rid, "tdi_lock", &tdi);
	if (status != GUEST_STATUS_OK)
		return status;
	if (request->generation != tdi->generation)
		return GUEST_STATUS_STALE;
	if (!may_be_locked(tdi) && tdi->state != TDISP_CONFIG_LOCKED)
		return GUEST_STATUS_INVALID_STATE;
	if (may_be_locked(tdi) && tdi->asked != TSM_ASKED_LOCK)
		tdi_ask(tdi, TSM_ASKED_LOCK, "its TVM asks for LOCK");
	*ret = tdi_status(tdi);
	return GUEST_STATUS_OK;
}

GuestStatus tsm_answer_state(Tsm *tsm, Uuid tvm, const GuestTdiState *request, GuestTdiStatus *ret)
{
	GuestStatus status;
	Tdi *tdi;

	status = look_up(tsm, tvm, request->rid, "tdi_state", &tdi);
	if (status == GUEST_STATUS_OK)
		*ret = tdi_status(tdi);
	return status;
}

void tsm_void_told(Tsm *tsm, Uuid tvm)
{
	for (size_t i = 0; i < tsm->n_tdis; i++)
		if (tsm->tdis[i]->bound && uuid_equal(tsm->tdis[i]->tvm, tvm))
			tsm->tdis[i]->told = false;
}
