/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TVM that talks to the emulated TSM: what the agent does, without the verification. */
#pragma once

#include "common/random.h"
#include "common/state-file.h"
#include "core/guest-message-tvm.h"
#include "core/guest-payload.h"
#include "testing-emulated.h"
#include "tsm/emulated/tsm.h"

typedef struct TestingTvm {
	Uuid uuid;
	GuestMessageTvm *messages;
	uint64_t request_id;
	/* Of the last answer. */
	GuestStatus status;
	uint8_t body[GUEST_RESPONSE_MAX_BODY];
	size_t body_size;
	TsmGuestReply reply;
	int result; /* of the TSM: 0 or TsmOutcome */
} TestingTvm;

/* key_file: as PrepareTvm gave it. */
static inline void testing_tvm_new(TestingTvm *tvm, const char *uuid, const char *key_file)
{
	_cleanup_blob_ Blob key = {};

	*tvm = (TestingTvm){ .uuid = testing_uuid(uuid) };
	cr_assert_eq(state_file_read(&key, AT_FDCWD, key_file, 64), 0, "%s", key_file);
	cr_assert_eq(key.size, GUEST_MESSAGE_KEY_SIZE);
	cr_assert_eq(guest_message_tvm_new(&tvm->messages, key.data, tvm->uuid.bytes), 0);
}

static inline void testing_tvm_done(TestingTvm *tvm)
{
	tvm->messages = guest_message_tvm_free(tvm->messages);
	tsm_guest_reply_done(&tvm->reply);
}

/* Hands a message to the TSM as `uuid` and performs the work. */
static inline int testing_deliver(Tsm *tsm, Uuid uuid, TsmScope scope, const void *message,
				  size_t size, TsmGuestReply *reply)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	TsmGuestWork *work = NULL;
	int r;

	tsm_guest_reply_done(reply);
	r = tsm_guest_receive(tsm, uuid, scope, message, size, &work, reply, &refusal);
	if (r == 0 && work)
		r = tsm_guest_perform(tsm, work, reply, &refusal);
	tsm_guest_work_free(work);
	cr_assert_geq(r, 0);
	if (r > 0)
		cr_assert_not_null(refusal.reason);
	return r;
}

static inline int testing_tvm_open(TestingTvm *tvm, Tsm *tsm)
{
	uint8_t nonce[GUEST_MESSAGE_NONCE_SIZE], open[GUEST_MESSAGE_OPEN_SIZE];

	cr_assert_eq(random_public(nonce, sizeof(nonce)), 0);
	guest_message_tvm_open(tvm->messages, nonce, ++tvm->request_id, open);
	tvm->result =
		testing_deliver(tsm, tvm->uuid, TSM_SCOPE_INFO, open, sizeof(open), &tvm->reply);
	if (tvm->result == 0)
		cr_assert_eq(guest_message_tvm_opened(tvm->messages, tvm->reply.message.data,
						      tvm->reply.message.size),
			     GUEST_MESSAGE_OK);
	return tvm->result;
}

/* Unseals tvm->reply. */
static inline GuestStatus testing_tvm_answer(TestingTvm *tvm)
{
	uint8_t payload[GUEST_MESSAGE_MAX_PAYLOAD];
	const uint8_t *body;
	size_t size;

	cr_assert_eq(guest_message_tvm_unseal(tvm->messages, tvm->reply.message.data,
					      tvm->reply.message.size, payload, &size),
		     GUEST_MESSAGE_OK);
	cr_assert_eq(guest_response_parse(&tvm->status, &body, &tvm->body_size, payload, size), 0);
	cr_assert_leq(tvm->body_size, sizeof(tvm->body));
	if (tvm->body_size)
		memcpy(tvm->body, body, tvm->body_size);
	return tvm->status;
}

static inline GuestStatus testing_tvm_ask(TestingTvm *tvm, Tsm *tsm, GuestMessageType type,
					  const void *payload, size_t size)
{
	bool change = type == GUEST_MESSAGE_TDI_VALIDATE || type == GUEST_MESSAGE_MMIO_VALIDATE ||
		      type == GUEST_MESSAGE_TDI_LOCK;
	const uint8_t *message;
	size_t message_size;

	cr_assert_eq(guest_message_tvm_seal(tvm->messages, type, ++tvm->request_id, payload, size,
					    &message, &message_size),
		     0);
	tvm->result =
		testing_deliver(tsm, tvm->uuid, change ? TSM_SCOPE_STATE_CHANGE : TSM_SCOPE_INFO,
				message, message_size, &tvm->reply);
	cr_assert_eq(tvm->result, 0);
	return testing_tvm_answer(tvm);
}

static inline GuestStatus testing_tvm_info(TestingTvm *tvm, Tsm *tsm, uint32_t rid, Statement *ret)
{
	GuestTdiInfo request = { .rid = rid };
	uint8_t payload[GUEST_TDI_INFO_SIZE];

	cr_assert_eq(random_public(request.nonce, sizeof(request.nonce)), 0);
	guest_tdi_info_write(&request, payload);
	testing_tvm_ask(tvm, tsm, GUEST_MESSAGE_TDI_INFO, payload, sizeof(payload));
	cr_assert_eq(tvm->reply.has_evidence, tvm->status == GUEST_STATUS_OK);
	if (tvm->status != GUEST_STATUS_OK)
		return tvm->status;
	cr_assert_eq(statement_parse(ret, tvm->body, tvm->body_size), 0);
	cr_assert_arr_eq(ret->nonce, request.nonce, sizeof(request.nonce));
	cr_assert_arr_eq(ret->tvm, tvm->uuid.bytes, sizeof(ret->tvm));
	return GUEST_STATUS_OK;
}

static inline GuestStatus testing_tvm_mmio(TestingTvm *tvm, Tsm *tsm, uint32_t rid,
					   uint64_t generation, uint16_t range, uint64_t address,
					   uint64_t pages)
{
	const GuestMmioValidate request = { rid, range, generation, address, pages };
	uint8_t payload[GUEST_MMIO_VALIDATE_SIZE];

	guest_mmio_validate_write(&request, payload);
	return testing_tvm_ask(tvm, tsm, GUEST_MESSAGE_MMIO_VALIDATE, payload, sizeof(payload));
}

static inline GuestStatus testing_tvm_validate(TestingTvm *tvm, Tsm *tsm, uint32_t rid,
					       GuestValidateAction action, const Statement *s)
{
	GuestTdiValidate request = { .rid = rid,
				     .action = (uint8_t)action,
				     .generation = s->generation };
	uint8_t payload[GUEST_TDI_VALIDATE_SIZE];

	if (action == GUEST_VALIDATE_ACCEPT)
		request.evidence = s->evidence;
	guest_tdi_validate_write(&request, payload);
	return testing_tvm_ask(tvm, tsm, GUEST_MESSAGE_TDI_VALIDATE, payload, sizeof(payload));
}

static inline GuestStatus testing_tvm_lock(TestingTvm *tvm, Tsm *tsm, uint32_t rid,
					   uint64_t generation)
{
	const GuestTdiLock request = { rid, generation };
	uint8_t payload[GUEST_TDI_LOCK_SIZE];

	guest_tdi_lock_write(&request, payload);
	return testing_tvm_ask(tvm, tsm, GUEST_MESSAGE_TDI_LOCK, payload, sizeof(payload));
}

static inline GuestTdiStatus testing_tvm_state(TestingTvm *tvm, Tsm *tsm, uint32_t rid)
{
	const GuestTdiState request = { rid };
	uint8_t payload[GUEST_TDI_STATE_SIZE];
	GuestTdiStatus status;

	guest_tdi_state_write(&request, payload);
	cr_assert_eq(testing_tvm_ask(tvm, tsm, GUEST_MESSAGE_TDI_STATE, payload, sizeof(payload)),
		     GUEST_STATUS_OK);
	cr_assert_eq(guest_tdi_status_parse(&status, tvm->body, tvm->body_size), 0);
	return status;
}
