/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tsm-request.c: LOCK and START where the host issues them: what it cannot do without the TVM's own
 * word. */
#include "testing-tvm.h"
#include "tsm/emulated/device-interface.h"
#include "tsm/emulated/tsm-private.h"

#define RID 0x0008
#define GPA 0x380000000000ULL

static Config *config;
static Tsm *tsm;
static TestingTvm a, b;
static TsmRefusal refusal;
static TsmTdiStatus last;

static void on_tdi_changed(void *userdata, const TsmTdiStatus *s, const char *reason)
{
	last = *s;
}

static void make_tvm(TestingTvm *tvm, const char *uuid)
{
	_cleanup_free_ char *path = NULL;

	cr_assert_eq(tsm_prepare_tvm(tsm, testing_uuid(uuid), &path, &refusal), 0);
	testing_tvm_new(tvm, uuid, path);
	cr_assert_eq(testing_tvm_open(tvm, tsm), 0);
}

static void bind_vf(uint64_t generation)
{
	const TsmBind bind = { testing_bdf(VF0), testing_uuid(TVM_A), RID, generation,
			       TDISP_LOCK_NO_FW_UPDATE };
	TdispState state;

	cr_assert_eq(tsm_bind(tsm, &bind, &state, &refusal), 0, "%s", refusal.reason);
	cr_assert_eq(state, config->tvm_asks_lock ? TDISP_CONFIG_UNLOCKED : TDISP_CONFIG_LOCKED);
}

static void begin(const char *extra)
{
	TsmOptions options = { .tdi_changed = on_tdi_changed };
	_cleanup_free_ char *error = NULL;
	Digest digest;

	testing_host_new();
	options.config = config = testing_config(extra, "");
	cr_assert_eq(tsm_new(&tsm, &options, &error), 0, "%s", error);
	make_tvm(&a, TVM_A);
	make_tvm(&b, TVM_B);
	cr_assert_eq(tsm_connect(tsm, testing_bdf(PF), 0, &digest, &refusal), 0);
	bind_vf(1);
}

static void set_up(void)
{
	begin(", \"lock_by\": \"tvm\", \"start_by\": \"host_on_request\"");
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

TestSuite(emulated_request, .init = set_up, .fini = tear_down);

static TsmCarry carry(uint64_t generation, uint64_t request)
{
	return (TsmCarry){ testing_bdf(VF0), testing_uuid(TVM_A), generation, request };
}

static int host(int (*verb)(Tsm *, const TsmCarry *, TdispState *, TsmRefusal *), TsmCarry c)
{
	_cleanup_(tsm_refusal_done) TsmRefusal why = {};
	TdispState state;
	int r = verb(tsm, &c, &state, &why);

	if (r != 0)
		cr_assert_not_null(why.reason);
	return r;
}

/* Refused, and it is as it was. */
static void refused(int (*verb)(Tsm *, const TsmCarry *, TdispState *, TsmRefusal *), TsmCarry c)
{
	const Tdi before = *tsm_find_tdi(tsm, testing_bdf(VF0));
	const Tdi *now;

	cr_assert_eq(host(verb, c), TSM_INVALID_STATE);
	now = tsm_find_tdi(tsm, testing_bdf(VF0));
	cr_assert_eq(now->state, before.state);
	cr_assert_eq(now->accepted, before.accepted);
	cr_assert_eq(now->asked, before.asked);
	cr_assert_eq(now->request, before.request);
}

/* By every number and bind that there is not. */
static void refused_but(int (*verb)(Tsm *, const TsmCarry *, TdispState *, TsmRefusal *),
			uint64_t generation, uint64_t request)
{
	TsmCarry other = carry(generation, request);

	refused(verb, carry(generation, 0));
	refused(verb, carry(generation, request + 1));
	refused(verb, carry(generation, request - 1));
	refused(verb, carry(generation - 1, request));
	refused(verb, carry(generation + 1, request));
	other.tvm = testing_uuid(TVM_B);
	refused(verb, other);
}

static uint64_t ask_lock(uint64_t generation)
{
	cr_assert_eq(testing_tvm_lock(&a, tsm, RID, generation), GUEST_STATUS_OK);
	cr_assert_eq(last.asked, TSM_ASKED_LOCK);
	cr_assert_eq(last.state, TDISP_CONFIG_UNLOCKED);
	cr_assert_gt(last.request, 0);
	return last.request;
}

static void lock_it(uint64_t generation)
{
	cr_assert_eq(host(tsm_lock, carry(generation, ask_lock(generation))), 0);
	cr_assert_eq(last.state, TDISP_CONFIG_LOCKED);
	cr_assert_eq(last.asked, TSM_ASKED_NOTHING);
}

static GuestStatus accept_it(Statement *s)
{
	static const struct {
		uint16_t range;
		uint64_t at, pages;
	} ranges[] = { { 0, GPA, 4 }, { 2, GPA + 0x11000, 1 }, { 4, GPA + 0x13000, 1 } };

	cr_assert_eq(testing_tvm_info(&a, tsm, RID, s), GUEST_STATUS_OK);
	for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
		cr_assert_eq(testing_tvm_mmio(&a, tsm, RID, s->generation, ranges[i].range,
					      ranges[i].at, ranges[i].pages),
			     GUEST_STATUS_OK);
	return testing_tvm_validate(&a, tsm, RID, GUEST_VALIDATE_ACCEPT, s);
}

static uint64_t ask_start(Statement *s)
{
	GuestTdiStatus status;

	cr_assert_eq(accept_it(s), GUEST_STATUS_OK);
	cr_assert_eq(guest_tdi_status_parse(&status, a.body, a.body_size), 0);
	cr_assert_eq(status.tdisp_state, TDISP_CONFIG_LOCKED);
	cr_assert_eq(status.requested, GUEST_REQUESTED_START);
	cr_assert_not(status.accepted);
	cr_assert_eq(last.asked, TSM_ASKED_START);
	cr_assert_not(last.accepted);
	return last.request;
}

Test(emulated_request, nobody_has_asked)
{
	refused_but(tsm_lock, 1, 7);
	refused_but(tsm_start, 1, 7);
	cr_assert_eq(host(tsm_lock, (TsmCarry){ testing_bdf(ABSENT), testing_uuid(TVM_A), 1, 1 }),
		     TSM_UNKNOWN_DEVICE);
	cr_assert_eq(host(tsm_start, (TsmCarry){ testing_bdf(VF1), testing_uuid(TVM_A), 1, 0 }),
		     TSM_INVALID_STATE, "not bound");
	cr_assert_eq(host(tsm_lock, (TsmCarry){ testing_bdf(VF0),
						testing_uuid("99999999-2222-3333-4444-"
							     "555555555555"),
						1, 1 }),
		     TSM_UNKNOWN_TVM);
}

Test(emulated_request, who_may_ask_for_lock)
{
	Statement s;

	cr_assert_eq(testing_tvm_info(&a, tsm, RID, &s), GUEST_STATUS_NOT_LOCKED);
	cr_assert_eq(testing_tvm_lock(&a, tsm, RID, 2), GUEST_STATUS_STALE);
	cr_assert_eq(testing_tvm_lock(&b, tsm, RID, 1), GUEST_STATUS_INVALID_TDI);
	cr_assert_eq(tsm_find_tdi(tsm, testing_bdf(VF0))->asked, TSM_ASKED_NOTHING);
	cr_assert_eq(testing_tvm_ask(&a, tsm, GUEST_MESSAGE_TDI_LOCK, "", 0),
		     GUEST_STATUS_MALFORMED);
}

Test(emulated_request, lock_once_by_its_number)
{
	uint64_t request = ask_lock(1);

	cr_assert_eq(ask_lock(1), request, "asked again it is the same");
	cr_assert_eq(testing_tvm_state(&a, tsm, RID).requested, GUEST_REQUESTED_LOCK);
	refused_but(tsm_lock, 1, request);
	refused(tsm_start, carry(1, request));
	cr_assert_eq(host(tsm_lock, carry(1, request)), 0);
	cr_assert_eq(last.state, TDISP_CONFIG_LOCKED);
	refused(tsm_lock, carry(1, request));
	refused(tsm_start, carry(1, request));
	cr_assert_eq(testing_tvm_lock(&a, tsm, RID, 1), GUEST_STATUS_OK, "it is locked");
	cr_assert_eq(last.asked, TSM_ASKED_NOTHING);
}

Test(emulated_request, run_by_the_tvms_word_only)
{
	uint64_t request;
	Statement s;

	lock_it(1);
	refused_but(tsm_start, 1, tsm->request);
	request = ask_start(&s);
	refused_but(tsm_start, 1, request);
	refused(tsm_lock, carry(1, request));
	cr_assert_eq(testing_tvm_state(&a, tsm, RID).requested, GUEST_REQUESTED_START);
	cr_assert_eq(testing_tvm_validate(&a, tsm, RID, GUEST_VALIDATE_ACCEPT, &s), GUEST_STATUS_OK,
		     "accepted again it is the same");
	cr_assert_eq(last.request, request);
	cr_assert_eq(host(tsm_start, carry(1, request)), 0);
	cr_assert(last.accepted && last.state == TDISP_RUN && last.asked == TSM_ASKED_NOTHING);
	cr_assert(testing_tvm_state(&a, tsm, RID).accepted);
	refused(tsm_start, carry(1, request));
}

/* What was mapped when it was accepted is what will run. */
Test(emulated_request, ranges_stand_while_start_is_open)
{
	Statement s;
	uint64_t request;

	lock_it(1);
	request = ask_start(&s);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID, 1, 0, GPA + 0x100000, 4),
		     GUEST_STATUS_MMIO_MISMATCH);
	cr_assert_eq(testing_tvm_mmio(&a, tsm, RID, 1, 0, GPA, 4), GUEST_STATUS_OK);
	cr_assert_eq(host(tsm_start, carry(1, request)), 0);
}

static void closed(uint64_t request)
{
	cr_assert_eq(last.asked, TSM_ASKED_NOTHING);
	cr_assert_neq(host(tsm_start, carry(1, request)), 0);
	cr_assert_neq(host(tsm_lock, carry(1, request)), 0);
	cr_assert_not(last.accepted);
}

Test(emulated_request, revoked)
{
	Statement s = { .generation = 1 };
	uint64_t request = ask_lock(1);

	cr_assert_eq(testing_tvm_validate(&a, tsm, RID, GUEST_VALIDATE_REVOKE, &s),
		     GUEST_STATUS_OK);
	closed(request);
	cr_assert_eq(testing_tvm_lock(&a, tsm, RID, 1), GUEST_STATUS_INVALID_STATE,
		     "it has let it go");
}

Test(emulated_request, start_revoked)
{
	uint64_t request;
	Statement s;

	lock_it(1);
	request = ask_start(&s);
	cr_assert_eq(testing_tvm_validate(&a, tsm, RID, GUEST_VALIDATE_REVOKE, &s),
		     GUEST_STATUS_OK);
	closed(request);
	cr_assert_eq(last.state, TDISP_CONFIG_UNLOCKED);
}

Test(emulated_request, measured_anew_by_the_host)
{
	_cleanup_(tsm_evidence_done) TsmEvidence evidence = {};
	const uint8_t nonce[32] = { 1 };
	uint64_t request, sequence;
	Statement s;

	lock_it(1);
	request = ask_start(&s);
	cr_assert_eq(tsm_measure(tsm, testing_bdf(VF0), nonce, &sequence, &evidence, &refusal), 0);
	closed(request);
	cr_assert_eq(last.state, TDISP_CONFIG_LOCKED);
	cr_assert_eq(testing_tvm_validate(&a, tsm, RID, GUEST_VALIDATE_ACCEPT, &s),
		     GUEST_STATUS_STALE);
	cr_assert_gt(ask_start(&s), request, "another one, by another number");
	cr_assert_eq(host(tsm_start, carry(1, last.request)), 0);
}

Test(emulated_request, measured_anew_by_its_tvm)
{
	Statement s, again;
	uint64_t request;

	lock_it(1);
	request = ask_start(&s);
	cr_assert_eq(testing_tvm_info(&a, tsm, RID, &again), GUEST_STATUS_OK);
	closed(request);
}

Test(emulated_request, error_and_reset)
{
	uint64_t request;
	Statement s;

	lock_it(1);
	request = ask_start(&s);
	cr_assert_eq(tsm_violate(tsm, testing_bdf(VF0), "test", &refusal), 0);
	cr_assert_eq(last.state, TDISP_ERROR);
	closed(request);
}

Test(emulated_request, reset_before_lock)
{
	uint64_t request = ask_lock(1);

	cr_assert_eq(tsm_violate(tsm, testing_bdf(VF0), "reset", &refusal), 0);
	closed(request);
}

Test(emulated_request, session_lost)
{
	uint64_t request = ask_lock(1);

	cr_assert_eq(tsm_lose_session(tsm, testing_bdf(PF), "test", &refusal), 0);
	closed(request);
}

/* The same request in another bind is none. */
Test(emulated_request, unbound_and_bound_anew)
{
	uint64_t request;
	TsmUnbound unbound;
	Statement s;

	lock_it(1);
	request = ask_start(&s);
	cr_assert_eq(tsm_unbind(tsm, testing_bdf(VF0), &unbound, &refusal), 0);
	cr_assert_eq(last.asked, TSM_ASKED_NOTHING);
	cr_assert_eq(host(tsm_start, carry(1, request)), TSM_INVALID_STATE);
	bind_vf(1);
	refused(tsm_start, carry(1, request));
	refused(tsm_lock, carry(1, request));
	cr_assert_gt(ask_lock(1), request);
}

Test(emulated_request, device_refuses_to_start)
{
	uint64_t request;
	Statement s;

	lock_it(1);
	request = ask_start(&s);
	tsm_find_tdi(tsm, testing_bdf(VF0))->lock_nonce[0] ^= 1;
	cr_assert_eq(host(tsm_start, carry(1, request)), TSM_REFUSED);
	closed(request);
}

Test(emulated_request, device_refuses_to_be_locked)
{
	uint64_t request = ask_lock(1);

	cr_assert_eq(tsm_set_device_faults(tsm, testing_bdf(VF0), DEVICE_FAULT_MALFORMED_REPORT,
					   &refusal),
		     0);
	cr_assert_eq(host(tsm_lock, carry(1, request)), TSM_REFUSED);
	closed(request);
	cr_assert_eq(last.state, TDISP_CONFIG_UNLOCKED);
	cr_assert_eq(testing_tvm_lock(&a, tsm, RID, 1), GUEST_STATUS_INVALID_STATE);
}

/* A new TSM knows no bind, and gives numbers that the one before has not given. */
Test(emulated_request, restart)
{
	TsmOptions options = { .config = config, .tdi_changed = on_tdi_changed };
	_cleanup_free_ char *error = NULL;
	uint64_t request = ask_lock(1);
	Digest digest;

	tsm_free(tsm);
	cr_assert_eq(tsm_new(&tsm, &options, &error), 0, "%s", error);
	cr_assert_eq(host(tsm_lock, carry(1, request)), TSM_INVALID_STATE);
	cr_assert_eq(tsm_connect(tsm, testing_bdf(PF), 0, &digest, &refusal), 0);
	bind_vf(1);
	refused(tsm_lock, carry(1, request));
	cr_assert_eq(testing_tvm_open(&a, tsm), 0);
	cr_assert_neq(ask_lock(1), request);
}

TestSuite(emulated_request_default, .fini = tear_down);

Test(emulated_request_default, nothing_is_to_be_carried)
{
	Statement s;

	begin("");
	cr_assert_eq(testing_tvm_lock(&a, tsm, RID, 1), GUEST_STATUS_UNSUPPORTED);
	refused_but(tsm_lock, 1, 7);
	refused_but(tsm_start, 1, 7);
	cr_assert_eq(accept_it(&s), GUEST_STATUS_OK);
	cr_assert(last.accepted && last.state == TDISP_RUN);
	cr_assert_eq(last.asked, TSM_ASKED_NOTHING);
}
