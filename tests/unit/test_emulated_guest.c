/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs of the TVM: tdi_info, mmio_validate, tdi_validate, and what they refuse. */
#include "core/evidence.h"
#include "testing-tvm.h"
#include "tsm/emulated/device-interface.h"
#include "tsm/emulated/tsm-private.h"

#include <time.h>

#define RID_0 0x0008
#define RID_1 0x0010
#define GPA   0x380000000000ULL

static Config *config;
static Tsm *tsm;
static TestingTvm a, b;
static TsmRefusal refusal;
static char last_change[128];

static void on_tdi_changed(void *userdata, const TsmTdiStatus *s, const char *reason)
{
	snprintf(last_change, sizeof(last_change), "%s: %s%s", reason, tdisp_state_name(s->state),
		 s->accepted ? ", accepted" : "");
}

static void make_tvm(TestingTvm *tvm, const char *uuid)
{
	_cleanup_free_ char *path = NULL;

	cr_assert_eq(tsm_prepare_tvm(tsm, testing_uuid(uuid), &path, &refusal), 0);
	testing_tvm_new(tvm, uuid, path);
	cr_assert_eq(testing_tvm_open(tvm, tsm), 0);
}

static void bind_flags(const char *device, const char *tvm, uint32_t rid, uint64_t generation,
		       uint16_t flags)
{
	const TsmBind bind = { testing_bdf(device), testing_uuid(tvm), rid, generation, flags };
	TdispState state;

	cr_assert_eq(tsm_bind(tsm, &bind, &state, &refusal), 0, "%s", refusal.reason);
}

static void bind_device(const char *device, const char *tvm, uint32_t rid, uint64_t generation)
{
	bind_flags(device, tvm, rid, generation, TDISP_LOCK_NO_FW_UPDATE);
}

static void set_up(void)
{
	const TsmOptions options = { .tdi_changed = on_tdi_changed };
	_cleanup_free_ char *error = NULL;
	TsmOptions with_config = options;
	Digest digest;

	testing_host_new();
	config = testing_config("", "");
	with_config.config = config;
	cr_assert_eq(tsm_new(&tsm, &with_config, &error), 0, "%s", error);
	make_tvm(&a, TVM_A);
	make_tvm(&b, TVM_B);
	cr_assert_eq(tsm_connect(tsm, testing_bdf(PF), 0, &digest, &refusal), 0);
	bind_device(VF0, TVM_A, RID_0, 1);
}

static void tear_down(void)
{
	testing_tvm_done(&a);
	testing_tvm_done(&b);
	tsm_refusal_done(&refusal);
	tsm_free(tsm);
	config_free(config);
	testing_host_remove();
}

/* Every TEE range of a VF without LOCK_MSIX: 0 (4 pages), 2 and 4 (1 page each). */
static void validate_mmio(TestingTvm *tvm, uint32_t rid, uint64_t generation)
{
	cr_assert_eq(testing_tvm_mmio(tvm, tsm, rid, generation, 0, GPA, 4), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(tvm, tsm, rid, generation, 2, GPA + 0x11000, 1),
		     GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(tvm, tsm, rid, generation, 4, GPA + 0x13000, 1),
		     GUEST_STATUS_OK);
}

static GuestStatus accept_tdi(TestingTvm *tvm, uint32_t rid, const Statement *s)
{
	return testing_tvm_validate(tvm, tsm, rid, GUEST_VALIDATE_ACCEPT, s);
}

static GuestStatus revoke_tdi(TestingTvm *tvm, uint32_t rid, const Statement *s)
{
	return testing_tvm_validate(tvm, tsm, rid, GUEST_VALIDATE_REVOKE, s);
}

TestSuite(emulated_guest, .init = set_up, .fini = tear_down);

Test(emulated_guest, refuses_messages)
{
	_cleanup_(tsm_guest_reply_done) TsmGuestReply reply = {};
	uint8_t message[GUEST_MESSAGE_MAX_SIZE + 1] = {}, payload[GUEST_TDI_STATE_SIZE];
	const uint8_t *sealed;
	Uuid nobody = testing_uuid("99999999-2222-3333-4444-555555555555");
	size_t size;

	cr_assert_eq(testing_deliver(tsm, nobody, TSM_SCOPE_INFO, message, 80, &reply),
		     TSM_UNKNOWN_TVM);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, message, 0, &reply),
		     TSM_GUEST_MESSAGE_REJECTED);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, message, sizeof(message), &reply),
		     TSM_GUEST_MESSAGE_REJECTED);

	guest_tdi_state_write(&(GuestTdiState){ RID_0 }, payload);
	cr_assert_eq(guest_message_tvm_seal(a.messages, GUEST_MESSAGE_TDI_STATE, 5, payload,
					    sizeof(payload), &sealed, &size),
		     0);
	memcpy(message, sealed, size);
	message[size - 1] ^= 1;
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, message, size, &reply),
		     TSM_GUEST_MESSAGE_REJECTED, "altered");
	cr_assert_eq(testing_deliver(tsm, b.uuid, TSM_SCOPE_INFO, sealed, size, &reply),
		     TSM_GUEST_MESSAGE_REJECTED, "another TVM's session");
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, sealed, size, &reply), 0,
		     "none of that hurt");
}

/* A TVM with B's key that says it is A. */
Test(emulated_guest, another_tvms_key)
{
	_cleanup_(tsm_guest_reply_done) TsmGuestReply reply = {};
	uint8_t payload[GUEST_TDI_STATE_SIZE];
	const uint8_t *sealed;
	TestingTvm mallory;
	size_t size;

	testing_tvm_new(&mallory, TVM_A, testing_path("keys/%s.key", TVM_B));
	cr_assert_eq(testing_tvm_open(&mallory, tsm), 0, "an OPEN proves nothing");
	guest_tdi_state_write(&(GuestTdiState){ RID_0 }, payload);
	cr_assert_eq(guest_message_tvm_seal(mallory.messages, GUEST_MESSAGE_TDI_STATE, 5, payload,
					    sizeof(payload), &sealed, &size),
		     0);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, sealed, size, &reply),
		     TSM_GUEST_MESSAGE_REJECTED);
	cr_assert_eq(testing_tvm_state(&a, tsm, RID_0).tdisp_state, TDISP_CONFIG_LOCKED);
	testing_tvm_done(&mallory);
}

Test(emulated_guest, scope_info_changes_nothing)
{
	_cleanup_(tsm_guest_reply_done) TsmGuestReply reply = {};
	const GuestTdiValidate request = { RID_0, GUEST_VALIDATE_REVOKE, 1 };
	uint8_t payload[GUEST_TDI_VALIDATE_SIZE];
	const uint8_t *sealed;
	size_t size;

	guest_tdi_validate_write(&request, payload);
	cr_assert_eq(guest_message_tvm_seal(a.messages, GUEST_MESSAGE_TDI_VALIDATE, 9, payload,
					    sizeof(payload), &sealed, &size),
		     0);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, sealed, size, &reply),
		     TSM_GUEST_MESSAGE_REJECTED);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_STATE_CHANGE, sealed, size, &a.reply),
		     0);
	cr_assert_eq(testing_tvm_answer(&a), GUEST_STATUS_OK);
}

Test(emulated_guest, another_tvms_tdi)
{
	const Statement guess = { .generation = 1 };
	Statement s;

	cr_assert_eq(testing_tvm_info(&b, tsm, RID_0, &s), GUEST_STATUS_INVALID_TDI);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_1, &s), GUEST_STATUS_INVALID_TDI);
	cr_assert_eq(accept_tdi(&b, RID_0, &guess), GUEST_STATUS_INVALID_TDI);
	cr_assert_eq(revoke_tdi(&b, RID_0, &guess), GUEST_STATUS_INVALID_TDI);
	cr_assert_eq(testing_tvm_mmio(&b, tsm, RID_0, 1, 0, GPA, 4), GUEST_STATUS_INVALID_TDI);
	cr_assert_eq(testing_tvm_state(&a, tsm, RID_0).tdisp_state, TDISP_CONFIG_LOCKED);
}

Test(emulated_guest, malformed_payload_is_answered)
{
	static const GuestMessageType types[] = { GUEST_MESSAGE_TDI_INFO,
						  GUEST_MESSAGE_TDI_VALIDATE,
						  GUEST_MESSAGE_MMIO_VALIDATE,
						  GUEST_MESSAGE_TDI_STATE };
	uint8_t payload[7] = {};

	for (size_t i = 0; i < ELEMENTSOF(types); i++)
		cr_assert_eq(testing_tvm_ask(&a, tsm, types[i], payload, sizeof(payload)),
			     GUEST_STATUS_MALFORMED);
}

Test(emulated_guest, accept_without_info_is_stale)
{
	const Statement nothing = { .generation = 1 };
	Statement s;

	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(accept_tdi(&a, RID_0, &nothing), GUEST_STATUS_STALE);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &nothing), GUEST_STATUS_STALE);
}

/* One wrong bit in any of what is quoted. */
Test(emulated_guest, accept_of_something_else_is_stale)
{
	Statement s, wrong;

	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	for (unsigned int i = 0; i < 8; i++) {
		wrong = s;
		switch (i) {
		case 0: wrong.generation++; break;
		case 1: wrong.evidence.certificates.bytes[0] ^= 1; break;
		case 2: wrong.evidence.vca.bytes[47] ^= 1; break;
		case 3: wrong.evidence.measurements.bytes[20] ^= 0x80; break;
		case 4: wrong.evidence.report.bytes[1] ^= 2; break;
		case 5: wrong.evidence.identity_sequence++; break;
		case 6: wrong.evidence.measurements_sequence--; break;
		case 7: wrong.evidence.report_sequence++; break;
		}
		cr_assert_eq(accept_tdi(&a, RID_0, &wrong), GUEST_STATUS_STALE, "%u", i);
	}
	cr_assert_eq(testing_tvm_state(&a, tsm, RID_0).tdisp_state, TDISP_CONFIG_LOCKED);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK, "none of that hurt");
}

Test(emulated_guest, measured_anew_is_stale)
{
	_cleanup_(tsm_evidence_done) TsmEvidence evidence = {};
	uint8_t nonce[32] = {};
	Statement first, second;
	uint64_t sequence;

	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &first), GUEST_STATUS_OK);
	cr_assert_eq(tsm_measure(tsm, testing_bdf(VF0), nonce, &sequence, &evidence, &refusal), 0);
	cr_assert_eq(accept_tdi(&a, RID_0, &first), GUEST_STATUS_STALE, "by the host");
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &first), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &second), GUEST_STATUS_OK);
	cr_assert_gt(second.evidence.measurements_sequence, first.evidence.measurements_sequence);
	cr_assert_eq(accept_tdi(&a, RID_0, &first), GUEST_STATUS_STALE, "by another tdi_info");
	cr_assert_eq(accept_tdi(&a, RID_0, &second), GUEST_STATUS_OK);
}

/* A tenant cannot keep another from accepting by measuring the device they share. */
Test(emulated_guest, other_tvms_measure_for_themselves)
{
	Statement mine, theirs;

	bind_device(VF1, TVM_B, RID_0, 1);
	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &mine), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_info(&b, tsm, RID_0, &theirs), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &mine), GUEST_STATUS_OK);
}

Test(emulated_guest, new_session_voids_what_was_told)
{
	Statement s;

	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_open(&a, tsm), 0);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_STALE);
}

Test(emulated_guest, mmio_has_to_match)
{
	Statement s;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_MMIO_MISSING);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 2, 0, GPA, 4), GUEST_STATUS_STALE);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA, 3), GUEST_STATUS_MMIO_MISMATCH);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA, 5), GUEST_STATUS_MMIO_MISMATCH);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 5, GPA, 1), GUEST_STATUS_MMIO_MISMATCH,
		     "no such range");
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 1, GPA, 1), GUEST_STATUS_MMIO_MISMATCH,
		     "shared memory");
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, 0xfffffffffffff000, 4),
		     GUEST_STATUS_MALFORMED, "beyond the end");
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA, 4), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 2, GPA + 0x3000, 1),
		     GUEST_STATUS_MMIO_MISMATCH, "overlaps, and undoes all");
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 2, GPA + 0x11000, 1), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 4, GPA + 0x13000, 1), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_MMIO_MISSING);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA, 4), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA + 0x100000, 4), GUEST_STATUS_OK,
		     "elsewhere now");
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK);

	/* From here on it is asked, not changed. */
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA, 4), GUEST_STATUS_MMIO_MISMATCH);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA + 0x100000, 3),
		     GUEST_STATUS_MMIO_MISMATCH);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 1, GPA + 0x200000, 1),
		     GUEST_STATUS_MMIO_MISMATCH, "shared memory");
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 63, GPA + 0x100000, 4),
		     GUEST_STATUS_MMIO_MISMATCH, "no such range");
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 2, 0, GPA + 0x100000, 4), GUEST_STATUS_STALE);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA + 0x100000, 4), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 2, GPA + 0x11000, 1), GUEST_STATUS_OK);
	cr_assert(testing_tvm_state(&a, tsm, RID_0).accepted);
}

Test(emulated_guest, locked_msix_is_validated_too)
{
	TsmUnbound unbound;
	Statement s;

	cr_assert_eq(tsm_unbind(tsm, testing_bdf(VF0), &unbound, &refusal), 0);
	bind_flags(VF0, TVM_A, RID_0, 2, TDISP_LOCK_NO_FW_UPDATE | TDISP_LOCK_MSIX);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(s.lock_flags, TDISP_LOCK_NO_FW_UPDATE | TDISP_LOCK_MSIX);
	validate_mmio(&a, RID_0, 2);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_MMIO_MISSING);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 2, 1, GPA + 0x10000, 1), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 2, 3, GPA + 0x12000, 1), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
}

Test(emulated_guest, wrong_nonce_is_the_devices_failure)
{
	TsmUnbound unbound;
	Statement s;

	cr_assert_eq(tsm_unbind(tsm, testing_bdf(VF0), &unbound, &refusal), 0);
	cr_assert_eq(
		tsm_set_device_faults(tsm, testing_bdf(VF0), DEVICE_FAULT_WRONG_NONCE, &refusal),
		0);
	bind_device(VF0, TVM_A, RID_0, 2);
	validate_mmio(&a, RID_0, 2);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_DEVICE_FAILED);
	cr_assert_eq(testing_tvm_state(&a, tsm, RID_0).accepted, false);
	cr_assert_eq(testing_tvm_state(&a, tsm, RID_0).tdisp_state, TDISP_CONFIG_LOCKED);
}

Test(emulated_guest, accept_run_revoke)
{
	GuestTdiStatus status;
	Statement s, again;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(s.flags, STATEMENT_EMULATED | STATEMENT_FRESH_MEASUREMENTS);
	cr_assert_eq(s.link, STATEMENT_LINK_EMULATED);
	cr_assert_eq(s.generation, 1);
	cr_assert_eq(s.guest_rid, RID_0);
	cr_assert_eq(s.lock_flags, TDISP_LOCK_NO_FW_UPDATE);
	cr_assert_arr_eq(s.instance, tsm_instance(tsm), sizeof(s.instance));
	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(guest_tdi_status_parse(&status, a.body, a.body_size), 0);
	cr_assert(status.accepted && status.tdisp_state == TDISP_RUN && status.generation == 1);
	cr_assert_str_eq(last_change, "accepted by its TVM: run, accepted");
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_INVALID_STATE, "once is enough");
	/* An agent that restarted: its new session finds a running TDI and leaves it running. */
	cr_assert_eq(testing_tvm_open(&a, tsm), 0);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &again), GUEST_STATUS_OK);
	cr_assert(again.flags & STATEMENT_ACCEPTED);
	cr_assert_eq(again.tdisp_state, TDISP_RUN);

	again.generation++;
	cr_assert_eq(revoke_tdi(&a, RID_0, &again), GUEST_STATUS_STALE);
	cr_assert_eq(revoke_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_str_eq(last_change, "revoked by its TVM: config_unlocked");
	status = testing_tvm_state(&a, tsm, RID_0);
	cr_assert(!status.accepted && status.tdisp_state == TDISP_CONFIG_UNLOCKED);
	cr_assert_eq(revoke_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_INVALID_STATE);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_INVALID_STATE);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA, 4), GUEST_STATUS_INVALID_STATE);
}

Test(emulated_guest, acceptance_ends_with_the_bind)
{
	TsmUnbound unbound;
	Statement s, later;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(tsm_unbind(tsm, testing_bdf(VF0), &unbound, &refusal), 0);
	cr_assert(unbound.device_confirmed);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &later), GUEST_STATUS_INVALID_TDI);
	bind_device(VF0, TVM_A, RID_0, 2);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_STALE);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &later), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &later), GUEST_STATUS_MMIO_MISSING, "none is left");
	cr_assert_neq(later.evidence.report_sequence, s.evidence.report_sequence);
}

Test(emulated_guest, revoke_frees_the_addresses)
{
	const Statement s = { .generation = 1 };

	bind_device(VF1, TVM_A, RID_1, 1);
	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_1, 1, 0, GPA, 4), GUEST_STATUS_MMIO_MISMATCH,
		     "another TDI's");
	cr_assert_eq(revoke_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_1, 1, 0, GPA, 4), GUEST_STATUS_OK);
}

Test(emulated_guest, error_ends_acceptance)
{
	GuestTdiStatus status;
	Statement s;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(tsm_violate(tsm, testing_bdf(VF0), "violation", &refusal), 0);
	cr_assert_str_eq(last_change, "violation: error");
	status = testing_tvm_state(&a, tsm, RID_0);
	cr_assert(!status.accepted && status.tdisp_state == TDISP_ERROR);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_INVALID_STATE);
	cr_assert_eq(revoke_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(testing_tvm_state(&a, tsm, RID_0).tdisp_state, TDISP_CONFIG_UNLOCKED);
}

/* A device that says of itself what only START brings about, or takes it back. */
Test(emulated_guest, states_by_the_device_alone)
{
	Tdi *tdi = tsm_find_tdi(tsm, testing_bdf(VF0));
	DeviceInterface *interface = device_interface(tdi->dsm->device, tdi->bdf);
	Statement s;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	validate_mmio(&a, RID_0, 1);
	interface->state = TDISP_RUN;
	cr_assert_not(testing_tvm_state(&a, tsm, RID_0).accepted);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_INVALID_STATE);
	interface->state = TDISP_CONFIG_LOCKED;
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_STALE);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_MMIO_MISSING, "none is left");
}

Test(emulated_guest, locked_again_by_the_device_alone)
{
	Tdi *tdi = tsm_find_tdi(tsm, testing_bdf(VF0));
	DeviceInterface *interface = device_interface(tdi->dsm->device, tdi->bdf);
	Statement s;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
	interface->state = TDISP_CONFIG_LOCKED;
	cr_assert_not(testing_tvm_state(&a, tsm, RID_0).accepted);
	interface->state = TDISP_RUN;
	cr_assert_not(testing_tvm_state(&a, tsm, RID_0).accepted, "it was not started for that");
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID_0, 1, 0, GPA, 4), GUEST_STATUS_INVALID_STATE);
}

/* The acceptance itself, sent again byte for byte, or by somebody who recorded it. */
Test(emulated_guest, replay)
{
	_cleanup_(tsm_guest_reply_done) TsmGuestReply reply = {};
	GuestTdiInfo info = { .rid = RID_0 };
	uint8_t payload[GUEST_TDI_INFO_SIZE], old[GUEST_MESSAGE_MAX_SIZE];
	_cleanup_blob_ Blob first = {};
	const uint8_t *sealed;
	size_t size;

	guest_tdi_info_write(&info, payload);
	cr_assert_eq(guest_message_tvm_seal(a.messages, GUEST_MESSAGE_TDI_INFO, 8, payload,
					    sizeof(payload), &sealed, &size),
		     0);
	memcpy(old, sealed, size);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, old, size, &a.reply), 0);
	cr_assert_eq(blob_set(&first, a.reply.message.data, a.reply.message.size), 0);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, old, size, &reply), 0);
	cr_assert_eq(reply.message.size, first.size);
	cr_assert_arr_eq(reply.message.data, first.data, first.size);
	cr_assert(reply.has_evidence, "the evidence comes again too");
	cr_assert_eq(reply.evidence.measurements.size, a.reply.evidence.measurements.size);
	cr_assert_arr_eq(reply.evidence.measurements.data, a.reply.evidence.measurements.data,
			 reply.evidence.measurements.size, "and nothing was measured for it");
	cr_assert_eq(testing_tvm_answer(&a), GUEST_STATUS_OK);
	testing_tvm_state(&a, tsm, RID_0);
	cr_assert_eq(testing_deliver(tsm, a.uuid, TSM_SCOPE_INFO, old, size, &reply),
		     TSM_GUEST_MESSAGE_REJECTED, "later it is out of sequence");
}

/* Work that is under way when its TVM ends is not answered with the next one's key. */
Test(emulated_guest, work_does_not_outlive_its_tvm)
{
	_cleanup_(tsm_guest_work_freep) TsmGuestWork *work = NULL;
	_cleanup_(tsm_guest_reply_done) TsmGuestReply reply = {};
	_cleanup_free_ char *path = NULL;
	GuestTdiInfo info = { .rid = RID_0 };
	uint8_t payload[GUEST_TDI_INFO_SIZE];
	const uint8_t *sealed;
	TsmGuestWork *other;
	TsmUnbound unbound;
	size_t size;

	guest_tdi_info_write(&info, payload);
	cr_assert_eq(guest_message_tvm_seal(a.messages, GUEST_MESSAGE_TDI_INFO, 8, payload,
					    sizeof(payload), &sealed, &size),
		     0);
	cr_assert_eq(tsm_guest_receive(tsm, a.uuid, TSM_SCOPE_INFO, sealed, size, &work, &reply,
				       &refusal),
		     0);
	cr_assert_not_null(work);
	cr_assert(tsm_guest_work_measures(work));
	cr_assert(bdf_equal(tsm_guest_work_dsm(work), testing_bdf(PF)));
	cr_assert_eq(tsm_guest_receive(tsm, a.uuid, TSM_SCOPE_INFO, sealed, size, &other, &reply,
				       &refusal),
		     TSM_GUEST_MESSAGE_REJECTED, "it is being worked on");
	tsm_refusal_done(&refusal);
	cr_assert_eq(tsm_unbind(tsm, testing_bdf(VF0), &unbound, &refusal), 0);
	cr_assert_eq(tsm_prepare_tvm(tsm, a.uuid, &path, &refusal), 0);
	cr_assert_eq(tsm_guest_perform(tsm, work, &reply, &refusal), TSM_GUEST_MESSAGE_REJECTED);
	cr_assert_null(reply.message.data);
}

/* The unbind came first: the request is answered, and finds nothing. */
Test(emulated_guest, work_finds_what_is_left)
{
	_cleanup_(tsm_guest_work_freep) TsmGuestWork *work = NULL;
	GuestTdiInfo info = { .rid = RID_0 };
	uint8_t payload[GUEST_TDI_INFO_SIZE];
	const uint8_t *sealed;
	TsmUnbound unbound;
	size_t size;

	guest_tdi_info_write(&info, payload);
	cr_assert_eq(guest_message_tvm_seal(a.messages, GUEST_MESSAGE_TDI_INFO, 8, payload,
					    sizeof(payload), &sealed, &size),
		     0);
	tsm_guest_reply_done(&a.reply);
	cr_assert_eq(tsm_guest_receive(tsm, a.uuid, TSM_SCOPE_INFO, sealed, size, &work, &a.reply,
				       &refusal),
		     0);
	cr_assert_eq(tsm_unbind(tsm, testing_bdf(VF0), &unbound, &refusal), 0);
	cr_assert_eq(tsm_guest_perform(tsm, work, &a.reply, &refusal), 0);
	cr_assert_eq(testing_tvm_answer(&a), GUEST_STATUS_INVALID_TDI);
	cr_assert_not(a.reply.has_evidence);
}

/* The agent's own verification passes on what this TSM gives, with the vendor's references. */
Test(emulated_guest, passes_the_verifier)
{
	_cleanup_(cert_chain_freep) CertChain *chain = NULL;
	const EvidenceDevice nic = { .vendor = 0x8086, .device = 0x10c9 };
	const InterfaceRegion shared[] = { { 3, 0, 1 }, { 3, 2, 1 } };
	EvidencePolicy policy = {
		.allow_emulated = true,
		.n_roots = 1,
		.devices = &nic,
		.n_devices = 1,
		.allow_unlisted_indices = true,
		.require_device_mode = true,
		.require_no_fw_update = true,
		.shared = shared,
		.n_shared = 2,
	};
	EvidenceExpectations expected = {
		.guest_rid = RID_0,
		.has_generation = true,
		.generation = 1,
		.function = { 0x8086, 0x10ca, 0x020000, 1, 0x8086, 0xa03c },
		.bars = { [0] = { true, true, true, 0x4000 }, [3] = { true, true, true, 0x4000 } },
	};
	EvidenceVerdict verdict;
	EvidenceBlobs blobs;
	Digest root;
	Statement s;
	TsmEvidence *e = &a.reply.evidence;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	memcpy(expected.nonce, s.nonce, sizeof(s.nonce));
	memcpy(expected.tvm, a.uuid.bytes, sizeof(expected.tvm));
	blobs = (EvidenceBlobs){
		.certificates = { e->certificates.data, e->certificates.size },
		.vca = { e->vca.data, e->vca.size },
		.measurements = { e->measurements.data, e->measurements.size },
		.report = { e->report.data, e->report.size },
	};
	cr_assert_eq(cert_chain_parse(&chain, e->certificates.data, e->certificates.size, NULL), 0);
	root = *cert_chain_root_digest(chain);
	policy.roots = &root;
	cr_assert_eq(evidence_check(&verdict, a.body, a.body_size, &blobs, &expected, &policy,
				    time(NULL)),
		     0);
	cr_assert(verdict.good, "%s: %s", evidence_step_name(verdict.step), verdict.reason);
	evidence_verdict_done(&verdict);

	policy.allow_emulated = false;
	cr_assert_eq(evidence_check(&verdict, a.body, a.body_size, &blobs, &expected, &policy,
				    time(NULL)),
		     0);
	cr_assert(!verdict.good && verdict.step == EVIDENCE_REQUEST);
	evidence_verdict_done(&verdict);
}

Test(emulated_guest, report_without_a_platform_key)
{
	const uint8_t data[GUEST_TDREPORT_SIZE] = { 1 };

	cr_assert_eq(testing_tvm_ask(&a, tsm, GUEST_MESSAGE_TDREPORT, data, sizeof(data)),
		     GUEST_STATUS_UNSUPPORTED);
	cr_assert_eq(a.body_size, 0);
}

/* Of each TVM its own, whether a device is bound to it or not. */
Test(emulated_guest, reports)
{
	const uint8_t data[GUEST_TDREPORT_SIZE + 1] = { 1, [63] = 2 };
	TestingTvm *const tvms[] = { &a, &b };
	uint8_t config_ids[2][DIGEST_SIZE];
	Tdreport report;

	memset(tsm->platform_key, 7, sizeof(tsm->platform_key));
	tsm->has_platform_key = true;
	cr_assert_eq(testing_tvm_ask(&a, tsm, GUEST_MESSAGE_TDREPORT, data, sizeof(data)),
		     GUEST_STATUS_MALFORMED);
	cr_assert_eq(testing_tvm_ask(&a, tsm, GUEST_MESSAGE_TDREPORT, data, 0),
		     GUEST_STATUS_MALFORMED);
	for (size_t i = 0; i < ELEMENTSOF(tvms); i++) {
		TestingTvm *tvm = tvms[i];

		cr_assert_eq(testing_tvm_ask(tvm, tsm, GUEST_MESSAGE_TDREPORT, data,
					     GUEST_TDREPORT_SIZE),
			     GUEST_STATUS_OK);
		cr_assert_not(tvm->reply.has_evidence);
		cr_assert_eq(tdreport_parse(&report, tvm->body, tvm->body_size, NULL), 0);
		cr_assert_eq(tdreport_verify(&report, tsm->platform_key, NULL), 0);
		cr_assert_arr_eq(report.report_data, data, TDREPORT_DATA_SIZE);
		memcpy(config_ids[i], report.mr_config_id, DIGEST_SIZE);
	}
	cr_assert_arr_neq(config_ids[0], config_ids[1], DIGEST_SIZE);
}

/* What was told for a verification under way stays good. */
Test(emulated_guest, report_in_the_middle_of_a_verification)
{
	const uint8_t data[GUEST_TDREPORT_SIZE] = { 1 };
	Statement s;

	tsm->has_platform_key = true;
	cr_assert_eq(testing_tvm_info(&a, tsm, RID_0, &s), GUEST_STATUS_OK);
	validate_mmio(&a, RID_0, 1);
	cr_assert_eq(testing_tvm_ask(&a, tsm, GUEST_MESSAGE_TDREPORT, data, sizeof(data)),
		     GUEST_STATUS_OK);
	cr_assert_eq(accept_tdi(&a, RID_0, &s), GUEST_STATUS_OK);
}
