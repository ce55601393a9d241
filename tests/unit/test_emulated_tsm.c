/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs of the host: connect, bind, unbind, disconnect and what they refuse. */
#include "core/interface-report.h"
#include "testing-tvm.h"
#include "tsm/emulated/device-interface.h"
#include "tsm/emulated/tsm.h"

#include <errno.h>

#define RID_0 0x0008 /* 00:01.0 */
#define RID_1 0x0010

static Config *config;
static Tsm *tsm;
static TsmRefusal refusal;
static unsigned int n_changes;
static char last_change[256];

static void on_tdi_changed(void *userdata, const TsmTdiStatus *s, const char *reason)
{
	char device[BDF_STRING_SIZE];

	n_changes++;
	snprintf(last_change, sizeof(last_change), "%s %s %s%s%s", bdf_format(s->device, device),
		 reason, tdisp_state_name(s->state), s->bound ? " bound" : "",
		 s->accepted ? " accepted" : "");
}

static void on_dsm_changed(void *userdata, const TsmDsmStatus *s, const char *reason)
{
	n_changes++;
	snprintf(last_change, sizeof(last_change), "dsm %s", reason);
}

static void start_tsm(void)
{
	const TsmOptions options = {
		.config = config,
		.tdi_changed = on_tdi_changed,
		.dsm_changed = on_dsm_changed,
	};
	_cleanup_free_ char *error = NULL;

	cr_assert_eq(tsm_new(&tsm, &options, &error), 0, "%s", error);
}

static void set_up(void)
{
	testing_host_new();
	config = testing_config("", "");
	start_tsm();
}

static void tear_down(void)
{
	tsm_refusal_done(&refusal);
	tsm_free(tsm);
	config_free(config);
	testing_host_remove();
}

static void prepare(const char *uuid)
{
	_cleanup_free_ char *path = NULL;

	cr_assert_eq(tsm_prepare_tvm(tsm, testing_uuid(uuid), &path, &refusal), 0);
	cr_assert_eq(access(path, R_OK), 0);
}

static int connect_device(const char *dsm)
{
	Digest digest;

	tsm_refusal_done(&refusal);
	return tsm_connect(tsm, testing_bdf(dsm), 0, &digest, &refusal);
}

static int bind_flags(const char *device, const char *tvm, uint32_t rid, uint64_t generation,
		      uint16_t flags)
{
	const TsmBind bind = { testing_bdf(device), testing_uuid(tvm), rid, generation, flags };
	TdispState state = TDISP_ERROR;
	int r;

	tsm_refusal_done(&refusal);
	r = tsm_bind(tsm, &bind, &state, &refusal);
	if (r == 0)
		cr_assert_eq(state, TDISP_CONFIG_LOCKED);
	return r;
}

static int bind_device(const char *device, const char *tvm, uint32_t rid, uint64_t generation)
{
	return bind_flags(device, tvm, rid, generation, TDISP_LOCK_NO_FW_UPDATE);
}

static int unbind(const char *device, TsmUnbound *ret)
{
	tsm_refusal_done(&refusal);
	return tsm_unbind(tsm, testing_bdf(device), ret, &refusal);
}

static int disconnect(const char *dsm)
{
	tsm_refusal_done(&refusal);
	return tsm_disconnect(tsm, testing_bdf(dsm), &refusal);
}

static TsmTdiStatus status_of(const char *device)
{
	_cleanup_free_ TsmTdiStatus *list = NULL;
	size_t n;

	cr_assert_eq(tsm_query_tdis(tsm, &list, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(list[i].device, testing_bdf(device)))
			return list[i];
	cr_assert(false, "%s is not listed", device);
	return (TsmTdiStatus){};
}

TestSuite(emulated_tsm, .init = set_up, .fini = tear_down);

Test(emulated_tsm, refuses_devices_that_are_none)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(ABSENT), TSM_UNKNOWN_DEVICE);
	cr_assert_str_eq(refusal.object, ABSENT);
	cr_assert_eq(connect_device(PLAIN_PF), TSM_NOT_TEE_IO);
	cr_assert_eq(connect_device(OTHER_PF), TSM_NOT_TEE_IO);
	cr_assert(strstr(refusal.reason, "configuration"), "%s", refusal.reason);
	cr_assert_eq(connect_device(VF0), TSM_REFUSED, "a VF is no DSM");
	cr_assert_eq(bind_device(ABSENT, TVM_A, RID_0, 1), TSM_UNKNOWN_DEVICE);
	cr_assert_eq(bind_device(PLAIN_PF, TVM_A, RID_0, 1), TSM_NOT_TEE_IO);
	cr_assert_eq(unbind(ABSENT, &unbound), TSM_UNKNOWN_DEVICE);
	cr_assert_eq(disconnect(OTHER_PF), TSM_NOT_TEE_IO);
}

Test(emulated_tsm, refuses_to_connect_an_empty_slot)
{
	Digest digest;

	cr_assert_eq(tsm_connect(tsm, testing_bdf(PF), 3, &digest, &refusal), TSM_REFUSED);
	cr_assert(strstr(refusal.reason, "slot 3 is empty"), "%s", refusal.reason);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(tsm_connect(tsm, testing_bdf(PF), 3, &digest, &refusal), TSM_INVALID_STATE);
}

Test(emulated_tsm, refuses_to_bind)
{
	prepare(TVM_A);
	cr_assert_eq(bind_device(VF0, TVM_B, RID_0, 1), TSM_UNKNOWN_TVM);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), TSM_INVALID_STATE, "not connected");
	cr_assert_str_eq(refusal.state, "disconnected");
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_flags(VF0, TVM_A, RID_0, 1, TDISP_LOCK_BIND_P2P), TSM_REFUSED);
	cr_assert_eq(status_of(VF0).bound, false);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	prepare(TVM_B);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 2), TSM_INVALID_STATE, "bound already");
	cr_assert_eq(bind_device(VF0, TVM_B, RID_0, 2), TSM_DEVICE_BUSY);
	cr_assert(refusal.has_tvm && uuid_equal(refusal.tvm, testing_uuid(TVM_A)));
	cr_assert_eq(bind_device(VF1, TVM_A, RID_0, 2), TSM_REFUSED, "two with one requester id");
	cr_assert_eq(bind_device(VF1, TVM_B, RID_0, 2), 0);
	cr_assert_eq(status_of(VF0).generation, 1);
}

Test(emulated_tsm, physical_and_virtual_function_have_one_owner)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	prepare(TVM_B);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(bind_device(PF, TVM_B, RID_0, 1), TSM_DEVICE_BUSY);
	cr_assert(strstr(refusal.reason, VF0), "%s", refusal.reason);
	cr_assert_eq(bind_device(PF, TVM_A, RID_1, 1), 0, "the same TVM's");
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert_eq(bind_device(VF1, TVM_B, RID_0, 1), TSM_DEVICE_BUSY);
	cr_assert(strstr(refusal.reason, PF), "%s", refusal.reason);
}

Test(emulated_tsm, bound_means_busy)
{
	_cleanup_free_ char *path = NULL;
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(disconnect(PF), TSM_DEVICE_BUSY);
	cr_assert(strstr(refusal.reason, VF0), "%s", refusal.reason);
	tsm_refusal_done(&refusal);
	cr_assert_eq(tsm_release_tvm(tsm, testing_uuid(TVM_A), &refusal), TSM_TVM_BUSY);
	cr_assert_eq(refusal.n_devices, 1);
	tsm_refusal_done(&refusal);
	cr_assert_eq(tsm_prepare_tvm(tsm, testing_uuid(TVM_A), &path, &refusal), TSM_TVM_BUSY);
	cr_assert_null(path);
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert_eq(tsm_release_tvm(tsm, testing_uuid(TVM_A), &refusal), 0);
	cr_assert_eq(tsm_release_tvm(tsm, testing_uuid(TVM_A), &refusal), TSM_UNKNOWN_TVM);
	cr_assert_lt(access(testing_path("keys/%s.key", TVM_A), F_OK), 0);
	cr_assert_eq(disconnect(PF), 0);
}

Test(emulated_tsm, host_verbs_never_lead_to_run)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_str_eq(last_change, "dsm connected");
	cr_assert_eq(connect_device(PF), 0, "again is success");
	cr_assert_eq(n_changes, 1);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 7), 0);
	cr_assert_str_eq(last_change, VF0 " bound config_locked bound");
	cr_assert_eq(status_of(VF0).accepted, false);
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert(unbound.freed && unbound.device_confirmed);
	cr_assert_eq(unbound.state, TDISP_CONFIG_UNLOCKED);
	cr_assert_str_eq(last_change, VF0 " unbound config_unlocked");
	cr_assert_eq(unbind(VF0, &unbound), 0, "what is not bound");
	cr_assert_eq(disconnect(PF), 0);
	cr_assert_str_eq(last_change, "dsm disconnected");
	cr_assert_eq(disconnect(PF), 0);
	cr_assert_eq(n_changes, 4);
}

Test(emulated_tsm, malformed_report_is_undone)
{
	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(tsm_set_device_faults(tsm, testing_bdf(VF0), DEVICE_FAULT_MALFORMED_REPORT,
					   &refusal),
		     0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), TSM_REFUSED);
	cr_assert_eq(status_of(VF0).bound, false);
	cr_assert_eq(tsm_set_device_faults(tsm, testing_bdf(VF0), 0, &refusal), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 2), 0);
}

/* Unbind completes; but nobody gets the TDI before its device has confirmed STOP. */
Test(emulated_tsm, device_that_does_not_stop)
{
	const unsigned int both = DEVICE_FAULT_MALFORMED_REPORT | DEVICE_FAULT_NO_STOP;
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(tsm_set_device_faults(tsm, testing_bdf(VF0), DEVICE_FAULT_NO_STOP, &refusal),
		     0);
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert(unbound.freed && !unbound.device_confirmed && unbound.state == TDISP_ERROR);
	cr_assert_eq(status_of(VF0).bound, false);
	cr_assert_eq(status_of(VF0).state, TDISP_ERROR);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 2), TSM_INVALID_STATE);
	cr_assert(strstr(refusal.reason, "never confirmed"), "%s", refusal.reason);
	cr_assert_eq(tsm_set_device_faults(tsm, testing_bdf(VF0), 0, &refusal), 0);
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert(unbound.device_confirmed);
	cr_assert_eq(tsm_set_device_faults(tsm, testing_bdf(VF0), both, &refusal), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 3), TSM_OUTCOME_UNKNOWN);
	cr_assert_eq(status_of(VF0).state, TDISP_ERROR);
}

static void set_faults(const char *device, unsigned int faults)
{
	tsm_refusal_done(&refusal);
	cr_assert_eq(tsm_set_device_faults(tsm, testing_bdf(device), faults, &refusal), 0);
}

/* Unbinds it unconfirmed, and resets it. Whether it is confirmed then; `words` are in the reason.
 */
static bool is_clean_after_reset(const char *device, const char *words)
{
	_cleanup_free_ char *reason = NULL;
	TsmUnbound unbound;

	cr_assert_eq(unbind(device, &unbound), 0);
	cr_assert(unbound.freed && !unbound.device_confirmed);
	cr_assert_eq(tsm_reset_unbound(tsm, testing_bdf(device), &unbound, &reason), 0);
	cr_assert(strstr(reason, words), "%s", reason);
	cr_assert_eq(status_of(device).state, unbound.state);
	cr_assert_eq(unbound.state, unbound.device_confirmed ? TDISP_CONFIG_UNLOCKED : TDISP_ERROR);
	return unbound.device_confirmed;
}

Test(emulated_tsm, reset_brings_the_confirmation)
{
	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(bind_device(VF1, TVM_A, RID_1, 1), 0);
	set_faults(VF0, DEVICE_FAULT_NO_STOP);
	cr_assert(is_clean_after_reset(VF0, "only after a reset"));
	cr_assert_str_eq(last_change, VF0 " unbound, by a reset config_unlocked");
	cr_assert_eq(status_of(VF1).state, TDISP_CONFIG_LOCKED, "another function");
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 2), 0);
}

Test(emulated_tsm, reset_that_does_not_help)
{
	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	set_faults(VF0, DEVICE_FAULT_NO_STOP | DEVICE_FAULT_NO_RESET);
	cr_assert_not(is_clean_after_reset(VF0, "reset (FLR) failed"));
	set_faults(VF0, DEVICE_FAULT_NO_STOP | DEVICE_FAULT_STUCK);
	cr_assert_not(is_clean_after_reset(VF0, "was reset (FLR), and still"));
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 2), TSM_INVALID_STATE);
	set_faults(VF0, DEVICE_FAULT_NO_STOP);
	cr_assert(is_clean_after_reset(VF0, "only after a reset"), "an unbind that comes later");
}

Test(emulated_tsm, physical_function_is_not_reset_under_others)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(PF, TVM_A, RID_0, 1), 0);
	cr_assert_eq(bind_device(VF1, TVM_A, RID_1, 1), 0);
	set_faults(PF, DEVICE_FAULT_NO_STOP);
	cr_assert_not(is_clean_after_reset(PF, "would take " VF1 " to ERROR"));
	cr_assert_eq(status_of(VF1).state, TDISP_CONFIG_LOCKED);
	cr_assert_eq(unbind(VF1, &unbound), 0);
	/* The session goes with it, so the device can be asked over the next one. */
	cr_assert_not(is_clean_after_reset(PF, "session with its DSM is gone; connect it"));
	cr_assert_str_eq(last_change, "dsm reset of the physical function");
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(unbind(PF, &unbound), 0);
	cr_assert(unbound.device_confirmed);
	cr_assert_eq(bind_device(PF, TVM_A, RID_0, 2), 0);
}

Test(emulated_tsm, reset_without_a_session)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(tsm_lose_session(tsm, testing_bdf(PF), "reset", &refusal), 0);
	cr_assert_not(is_clean_after_reset(VF0, "session with its DSM is gone; connect it"));
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert(unbound.device_confirmed);
}

Test(emulated_tsm, lost_session_hits_every_tdi)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	prepare(TVM_B);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(bind_device(VF1, TVM_B, RID_0, 1), 0);
	cr_assert_eq(tsm_lose_session(tsm, testing_bdf(PF), "reset", &refusal), 0);
	cr_assert_eq(status_of(VF0).state, TDISP_ERROR);
	cr_assert_eq(status_of(VF1).state, TDISP_ERROR);
	cr_assert_eq(connect_device(PF), TSM_INVALID_STATE, "two are still bound");
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert_not(unbound.device_confirmed, "there is nobody to ask");
	cr_assert_eq(unbind(VF1, &unbound), 0);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(unbind(VF0, &unbound), 0);
	cr_assert(unbound.device_confirmed);
	cr_assert_eq(bind_device(VF0, TVM_B, RID_1, 2), 0);
}

Test(emulated_tsm, virtual_function_that_has_gone_can_be_unbound)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF1, TVM_A, RID_0, 1), 0);
	cr_assert_eq(remove(testing_path("sys/bus/pci/devices/%s/virtfn1", PF)), 0);
	nftw(testing_path("sys/bus/pci/devices/%s", VF1), testing_remove, 8, FTW_DEPTH | FTW_PHYS);
	cr_assert_eq(status_of(VF1).state, TDISP_CONFIG_LOCKED);
	cr_assert_eq(unbind(VF1, &unbound), 0);
	cr_assert(unbound.device_confirmed);
	cr_assert_eq(bind_device(VF1, TVM_A, RID_0, 2), TSM_UNKNOWN_DEVICE);
}

/* The kernel takes its links away first, and asks for the unbind on the way. */
Test(emulated_tsm, virtual_function_that_is_going_can_be_unbound)
{
	TsmUnbound unbound;

	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF1, TVM_A, RID_0, 1), 0);
	cr_assert_eq(remove(testing_path("sys/bus/pci/devices/%s/physfn", VF1)), 0);
	cr_assert_eq(unbind(VF1, &unbound), 0);
	cr_assert(unbound.device_confirmed);
}

Test(emulated_tsm, evidence_and_measurements)
{
	_cleanup_(tsm_evidence_done) TsmEvidence evidence = {};
	uint8_t nonce[32] = { 1 };
	uint64_t first, second;
	InterfaceReport report;

	cr_assert_eq(tsm_evidence(tsm, testing_bdf(PF), &evidence, &refusal), TSM_INVALID_STATE);
	cr_assert_eq(tsm_measure(tsm, testing_bdf(VF0), nonce, &first, &evidence, &refusal),
		     TSM_INVALID_STATE);
	prepare(TVM_A);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(tsm_evidence(tsm, testing_bdf(PF), &evidence, &refusal), 0);
	cr_assert(evidence.certificates.size && evidence.vca.size && evidence.measurements.size);
	cr_assert_eq(evidence.report.size, 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(tsm_measure(tsm, testing_bdf(VF0), nonce, &first, &evidence, &refusal), 0);
	/* The request is in the transcript, its nonce from the fourth byte on. */
	cr_assert_arr_eq(evidence.measurements.data + 4, nonce, sizeof(nonce));
	cr_assert_eq(
		interface_report_parse(&report, evidence.report.data, evidence.report.size, NULL),
		0);
	cr_assert_eq(tsm_measure(tsm, testing_bdf(VF0), nonce, &second, &evidence, &refusal), 0);
	cr_assert_gt(second, first);
}

Test(emulated_tsm, lists_functions)
{
	_cleanup_free_ HostFunction *functions = NULL;
	_cleanup_free_ bool *tee_io = NULL;
	_cleanup_free_ TsmDsmStatus *dsms = NULL;
	size_t n;

	cr_assert_eq(tsm_functions(tsm, &functions, &tee_io, &n), 0);
	cr_assert_eq(n, 4);
	cr_assert(tee_io[0] && tee_io[1] && tee_io[2] && !tee_io[3]);
	cr_assert(functions[1].is_virtual);
	cr_assert_eq(tsm_query_dsms(tsm, &dsms, &n), 0);
	cr_assert_eq(n, 1);
}

/* What a new process finds: keys and CA as they were, nothing connected, nothing bound. */
Test(emulated_tsm, restart)
{
	_cleanup_(tsm_evidence_done) TsmEvidence before = {}, after = {};
	uint8_t instance[TSM_INSTANCE_SIZE];
	_cleanup_free_ char *path = NULL;
	TestingTvm tvm;

	cr_assert_eq(tsm_prepare_tvm(tsm, testing_uuid(TVM_A), &path, &refusal), 0);
	testing_tvm_new(&tvm, TVM_A, path);
	/* libvirt has given the file to QEMU's user: the TSM cannot count on it any more. */
	cr_assert_eq(remove(path), 0);
	testing_write(testing_path("keys/junk.tsm"), "x", 1);
	testing_write(testing_path("keys/%s.tsm", TVM_B), "short", 5);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 1), 0);
	cr_assert_eq(testing_tvm_open(&tvm, tsm), 0);
	cr_assert_eq(tsm_evidence(tsm, testing_bdf(PF), &before, &refusal), 0);
	memcpy(instance, tsm_instance(tsm), sizeof(instance));

	tsm = tsm_free(tsm);
	start_tsm();
	cr_assert_arr_neq(instance, tsm_instance(tsm), sizeof(instance));
	cr_assert_eq(status_of(VF0).bound, false);
	cr_assert_eq(status_of(VF0).state, TDISP_CONFIG_UNLOCKED);
	cr_assert_eq(bind_device(VF1, TVM_B, RID_0, 1), TSM_UNKNOWN_TVM);
	cr_assert_eq(connect_device(PF), 0);
	cr_assert_eq(tsm_evidence(tsm, testing_bdf(PF), &after, &refusal), 0);
	cr_assert_eq(before.certificates.size, after.certificates.size);
	cr_assert_arr_eq(before.certificates.data, after.certificates.data,
			 before.certificates.size);
	cr_assert_eq(bind_device(VF0, TVM_A, RID_0, 2), 0);
	cr_assert_eq(testing_tvm_open(&tvm, tsm), 0);
	cr_assert_eq(testing_tvm_state(&tvm, tsm, RID_0).generation, 2);
	testing_tvm_done(&tvm);
}
