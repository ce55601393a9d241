/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a sealed message of a TVM to the sealed answer. What is about no TDI of this TVM is answered
 * at once; the rest becomes work that is performed in the order of its DSM. A request that has been
 * authenticated is always answered, unless its session or its TVM ended before: then the answer
 * would be sealed for something else, and is dropped.
 */
#include "common/random.h"
#include "rpc/log.h"
#include "tsm-validate.h"
#include "tvm-report.h"

#include <errno.h>
#include <string.h>

struct TsmGuestWork {
	Uuid tvm;
	uint64_t request;
	Bdf dsm;
	uint8_t type;
	union {
		GuestTdiInfo info;
		GuestTdiValidate validate;
		GuestMmioValidate mmio;
		GuestTdiState state;
		GuestTdiLock lock;
	};
};

TsmGuestWork *tsm_guest_work_free(TsmGuestWork *work)
{
	free(work);
	return NULL;
}

bool tsm_guest_work_measures(const TsmGuestWork *work)
{
	return work->type == GUEST_MESSAGE_TDI_INFO;
}

Bdf tsm_guest_work_dsm(const TsmGuestWork *work)
{
	return work->dsm;
}

void tsm_guest_reply_done(TsmGuestReply *reply)
{
	blob_done(&reply->message);
	tsm_evidence_done(&reply->evidence);
	*reply = (TsmGuestReply){};
}

static int reject(TsmRefusal *refusal, Uuid tvm, const char *reason)
{
	refusal->has_tvm = true;
	refusal->tvm = tvm;
	return tsm_refuse(refusal, TSM_GUEST_MESSAGE_REJECTED, "%s", reason);
}

static int copy_evidence(TsmEvidence *ret, const TsmEvidence *from)
{
	int r;

	r = blob_set(&ret->certificates, from->certificates.data, from->certificates.size);
	if (r == 0)
		r = blob_set(&ret->vca, from->vca.data, from->vca.size);
	if (r == 0)
		r = blob_set(&ret->measurements, from->measurements.data, from->measurements.size);
	if (r == 0)
		r = blob_set(&ret->report, from->report.data, from->report.size);
	return r;
}

static int fill_reply(const Tvm *tvm, const void *message, size_t size, TsmGuestReply *ret)
{
	int r = blob_set(&ret->message, message, size);

	if (r == 0 && tvm->has_evidence)
		r = copy_evidence(&ret->evidence, &tvm->evidence);
	ret->has_evidence = tvm->has_evidence;
	return r;
}

static int seal(Tvm *tvm, GuestStatus status, const void *body, size_t body_size,
		TsmGuestReply *ret)
{
	char name[UUID_STRING_SIZE];
	uint8_t payload[GUEST_RESPONSE_MAX_SIZE];
	size_t payload_size = guest_response_write(status, body, body_size, payload);
	const uint8_t *message;
	size_t size;
	int r;

	if (status != GUEST_STATUS_OK)
		log_info("TVM %s: its request is refused: %s", uuid_format(tvm->uuid, name),
			 guest_status_sentence(status));
	r = guest_message_tsm_seal(tvm->messages, payload, payload_size, &message, &size);
	return r < 0 ? r : fill_reply(tvm, message, size, ret);
}

static int answer_open(Tvm *tvm, const void *message, size_t size, TsmGuestReply *ret,
		       TsmRefusal *refusal)
{
	uint8_t session[GUEST_MESSAGE_SESSION_SIZE], nonce[GUEST_MESSAGE_NONCE_SIZE];
	uint8_t response[GUEST_MESSAGE_OPEN_SIZE];
	int r;

	r = random_public(session, sizeof(session));
	if (r == 0)
		r = random_public(nonce, sizeof(nonce));
	if (r == 0)
		r = guest_message_tsm_open(tvm->messages, message, size, session, nonce, response);
	if (r > 0)
		return reject(refusal, tvm->uuid, guest_message_outcome_sentence(r));
	return r < 0 ? r : blob_set(&ret->message, response, sizeof(response));
}

static bool changes_state(uint8_t type)
{
	return type == GUEST_MESSAGE_TDI_VALIDATE || type == GUEST_MESSAGE_MMIO_VALIDATE ||
	       type == GUEST_MESSAGE_TDI_LOCK;
}

/* *ret_rid: the TDI it is about. -EBADMSG; -EOPNOTSUPP for a type that is none. */
static int parse_work(TsmGuestWork *work, const GuestMessageRequest *request, uint32_t *ret_rid)
{
	int r;

	work->type = request->type;
	switch (request->type) {
	case GUEST_MESSAGE_TDI_INFO:
		r = guest_tdi_info_parse(&work->info, request->payload, request->payload_size);
		*ret_rid = work->info.rid;
		return r;
	case GUEST_MESSAGE_TDI_VALIDATE:
		r = guest_tdi_validate_parse(&work->validate, request->payload,
					     request->payload_size);
		*ret_rid = work->validate.rid;
		return r;
	case GUEST_MESSAGE_MMIO_VALIDATE:
		r = guest_mmio_validate_parse(&work->mmio, request->payload, request->payload_size);
		*ret_rid = work->mmio.rid;
		return r;
	case GUEST_MESSAGE_TDI_STATE:
		r = guest_tdi_state_parse(&work->state, request->payload, request->payload_size);
		*ret_rid = work->state.rid;
		return r;
	case GUEST_MESSAGE_TDI_LOCK:
		r = guest_tdi_lock_parse(&work->lock, request->payload, request->payload_size);
		*ret_rid = work->lock.rid;
		return r;
	default: return -EOPNOTSUPP;
	}
}

/* About the TVM itself and none of its TDIs. */
static int answer_report(const Tsm *tsm, Tvm *tvm, const GuestMessageRequest *request,
			 TsmGuestReply *ret)
{
	uint8_t report[TDREPORT_SIZE];
	GuestTdreport asked;

	if (!tsm->has_platform_key)
		return seal(tvm, GUEST_STATUS_UNSUPPORTED, NULL, 0, ret);
	if (guest_tdreport_parse(&asked, request->payload, request->payload_size) < 0)
		return seal(tvm, GUEST_STATUS_MALFORMED, NULL, 0, ret);
	if (tvm_report_make(report, tvm->uuid, asked.report_data, tsm->platform_key) < 0)
		return seal(tvm, GUEST_STATUS_BUSY, NULL, 0, ret);
	return seal(tvm, GUEST_STATUS_OK, report, sizeof(report), ret);
}

static int take_request(Tsm *tsm, Tvm *tvm, const GuestMessageRequest *request,
			TsmGuestWork **ret_work, TsmGuestReply *ret)
{
	_cleanup_(tsm_guest_work_freep) TsmGuestWork *work = calloc(1, sizeof(*work));
	const Tdi *tdi;
	uint32_t rid;
	int r;

	tvm->request = ++tsm->sequence;
	tsm_evidence_done(&tvm->evidence);
	tvm->has_evidence = false;
	if (request->new_session)
		tsm_void_told(tsm, tvm->uuid);
	if (request->type == GUEST_MESSAGE_TDREPORT)
		return answer_report(tsm, tvm, request, ret);
	if (!work)
		return seal(tvm, GUEST_STATUS_BUSY, NULL, 0, ret);
	r = parse_work(work, request, &rid);
	if (r < 0)
		return seal(tvm,
			    r == -EOPNOTSUPP ? GUEST_STATUS_UNSUPPORTED : GUEST_STATUS_MALFORMED,
			    NULL, 0, ret);
	tdi = tsm_find_tvm_tdi(tsm, tvm->uuid, rid);
	if (!tdi)
		return seal(tvm, GUEST_STATUS_INVALID_TDI, NULL, 0, ret);
	work->tvm = tvm->uuid;
	work->request = tvm->request;
	work->dsm = tdi->dsm->config->device;
	*ret_work = steal_ptr(work);
	return 0;
}

int tsm_guest_receive(Tsm *tsm, Uuid uuid, TsmScope scope, const void *message, size_t size,
		      TsmGuestWork **ret_work, TsmGuestReply *ret_reply, TsmRefusal *refusal)
{
	_cleanup_free_ GuestMessageRequest *request = malloc(sizeof(*request));
	Tvm *tvm = tsm_find_tvm(tsm, uuid);
	GuestMessageHeader header;
	const uint8_t *cached;
	size_t cached_size;
	int r;

	if (!request)
		return -ENOMEM;
	*ret_work = NULL;
	if (!tvm) {
		refusal->has_tvm = true;
		refusal->tvm = uuid;
		return tsm_refuse(refusal, TSM_UNKNOWN_TVM, "it was never prepared, or released");
	}
	if (guest_message_header_parse(&header, message, size) < 0)
		return reject(refusal, uuid,
			      guest_message_outcome_sentence(GUEST_MESSAGE_MALFORMED));
	if (header.type == GUEST_MESSAGE_OPEN)
		return answer_open(tvm, message, size, ret_reply, refusal);
	if (scope == TSM_SCOPE_INFO && changes_state(header.type))
		return reject(refusal, uuid,
			      "a message that changes state was handed over with scope info");
	r = guest_message_tsm_unseal(tvm->messages, message, size, request, &cached, &cached_size);
	if (r < 0)
		return r;
	if (r == GUEST_MESSAGE_DUPLICATE)
		return fill_reply(tvm, cached, cached_size, ret_reply);
	if (r != GUEST_MESSAGE_OK)
		return reject(refusal, uuid, guest_message_outcome_sentence(r));
	return take_request(tsm, tvm, request, ret_work, ret_reply);
}

int tsm_guest_perform(Tsm *tsm, TsmGuestWork *work, TsmGuestReply *ret, TsmRefusal *refusal)
{
	Tvm *tvm = tsm_find_tvm(tsm, work->tvm);
	uint8_t body[STATEMENT_SIZE];
	GuestTdiStatus tdi = {};
	size_t body_size = 0;
	GuestStatus status;

	if (!tvm || tvm->request != work->request)
		return reject(refusal, work->tvm,
			      "the TVM or its session ended before the request was answered");
	switch (work->type) {
	case GUEST_MESSAGE_TDI_INFO:
		status = tsm_answer_info(tsm, work->tvm, &work->info, body, &tvm->evidence);
		tvm->has_evidence = status == GUEST_STATUS_OK;
		body_size = STATEMENT_SIZE;
		break;
	case GUEST_MESSAGE_MMIO_VALIDATE:
		status = tsm_answer_mmio(tsm, work->tvm, &work->mmio);
		break;
	case GUEST_MESSAGE_TDI_VALIDATE:
		status = tsm_answer_validate(tsm, work->tvm, &work->validate, &tdi);
		guest_tdi_status_write(&tdi, body);
		body_size = GUEST_TDI_STATUS_SIZE;
		break;
	case GUEST_MESSAGE_TDI_LOCK:
		status = tsm_answer_lock(tsm, work->tvm, &work->lock, &tdi);
		guest_tdi_status_write(&tdi, body);
		body_size = GUEST_TDI_STATUS_SIZE;
		break;
	default: /* TDI_STATE: parse_work() lets nothing else through */
		status = tsm_answer_state(tsm, work->tvm, &work->state, &tdi);
		guest_tdi_status_write(&tdi, body);
		body_size = GUEST_TDI_STATUS_SIZE;
		break;
	}
	return seal(tvm, status, body, status == GUEST_STATUS_OK ? body_size : 0, ret);
}
