/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the evidence is good: what evidence_check() and the policy say of it, and the relying
 * party, if the policy names one. What the TSM is to confirm of the MMIO ranges comes from here.
 *
 * The time for certificates comes from the guest's clock, which the host can set (RTC, kvmclock): a
 * host can make an expired certificate look valid, or a valid one expired. It cannot make a revoked
 * or unknown one trusted, nor old measurements fresh, since those carry this verification's nonce.
 */
#include "agent/verify-private.h"

#include "core/tdisp.h"
#include "rpc/log.h"

#include <string.h>
#include <time.h>

/*
 * The certificate's identity, only to find the policy's entry for it; nothing is parsed before its
 * digest fits. evidence_check() does it all again, and properly.
 */
static bool peek_identity(const TsmAnswer *answer, DeviceIdentity *ret)
{
	const struct iovec *chain = &answer->blobs.certificates;
	_cleanup_(cert_chain_freep) CertChain *parsed = NULL;
	Statement statement;
	Digest digest;

	return statement_parse(&statement, answer->body, answer->body_size) == 0 &&
	       digest_of(&digest, chain->iov_base, chain->iov_len) == 0 &&
	       digest_equal(&digest, &statement.evidence.certificates) &&
	       cert_chain_parse(&parsed, chain->iov_base, chain->iov_len, NULL) == 0 &&
	       cert_chain_identity(parsed, ret, NULL) == 0;
}

/* What the TSM has to confirm range by range. False: a BAR does not lie on a page. */
static bool ranges_collect(Verify *verify, const EvidenceVerdict *verdict)
{
	const InterfaceReport *report = &verdict->report;

	verify->n_ranges = verify->range = 0;
	for (unsigned int i = 0; i < report->n_ranges; i++) {
		const InterfaceRange *range = &report->ranges[i];
		uint64_t address;

		if (interface_range_is_shared(range, &verdict->rules))
			continue;
		address = verify->function.starts[range->id] +
			  interface_report_page(report, verify->function.bars, &verdict->rules, i) *
				  INTERFACE_REPORT_PAGE_SIZE;
		if (address % INTERFACE_REPORT_PAGE_SIZE)
			return false;
		verify->ranges[verify->n_ranges++] =
			(GuestMmioValidate){ .rid = verify_rid(verify),
					     .range = (uint16_t)i,
					     .generation = verify->target.generation,
					     .address = address,
					     .pages = range->n_pages };
	}
	return true;
}

static void evidence_expect(const Verify *verify, EvidenceExpectations *ret)
{
	*ret = (EvidenceExpectations){ .guest_rid = verify_rid(verify),
				       .has_generation = true,
				       .generation = verify->target.generation,
				       .function = verify->function.identity,
				       .accepted_before = verify->target.accepted_before };
	memcpy(ret->nonce, verify->nonce, sizeof(ret->nonce));
	memcpy(ret->tvm, verify->target.tvm.bytes, sizeof(ret->tvm));
	memcpy(ret->bars, verify->function.bars, sizeof(ret->bars));
}

/* 1: good; 0: failed, and all has been said and done. */
static int evidence_judge(Verify *verify, const TsmAnswer *answer)
{
	EvidenceVerdict verdict;
	EvidenceExpectations expected;
	EvidencePolicy policy;
	DeviceIdentity identity;
	char named[DEVICE_IDENTITY_STRING_SIZE], address[BDF_STRING_SIZE];
	bool known, fits;
	int r;

	known = peek_identity(answer, &identity);
	fits = agent_policy_select(verify->policy, known ? &identity : NULL, &policy);
	evidence_expect(verify, &expected);
	r = evidence_check(&verdict, answer->body, answer->body_size, &answer->blobs, &expected,
			   &policy, time(NULL));
	if (r < 0) {
		verify_fail(verify, "info", "the evidence could not be checked: %s", strerror(-r));
		return 0;
	}
	if (verdict.statement.guest_rid == verify_rid(verify) && verdict.statement.generation)
		verify->revoke_generation = verdict.statement.generation;
	if (!verdict.good) {
		verify_fail(verify, evidence_step_name(verdict.step), "%s",
			    verdict.reason ? verdict.reason : "refused");
		evidence_verdict_done(&verdict);
		return 0;
	}
	verify->statement = verdict.statement;
	verify->running = verdict.statement.tdisp_state == TDISP_RUN;
	r = 0;
	if (!fits)
		verify_fail(verify, evidence_step_name(EVIDENCE_IDENTITY),
			    "the certificate names %s, which no device of the policy fits in all "
			    "it asks for",
			    device_identity_format(&verdict.identity, named));
	else if (!ranges_collect(verify, &verdict))
		verify_fail(verify, evidence_step_name(EVIDENCE_RANGES),
			    "a BAR is not aligned to pages");
	else
		r = 1;
	if (r == 1 && verdict.msix_unlocked)
		log_info("%s: MSI-X is not locked: interrupts are untrusted input to the driver",
			 bdf_format(verify->target.address, address));
	evidence_verdict_done(&verdict);
	return r;
}

static void on_asked(void *userdata, bool accepted, const char *reason)
{
	Verify *verify = userdata;

	if (!accepted) {
		verify_fail(verify, verify_phase_name(VERIFY_ASK), "%s",
			    reason ? reason : "the relying party refuses the device");
		return;
	}
	verify_ask_no_more(verify);
	verify->handlers.progress(verify->userdata, verify_phase_name(VERIFY_ASK));
	verify_evidence_done(verify);
}

/* Whatever comes of it, the agent has nothing against the device itself. */
static void verify_ask(Verify *verify, const TsmAnswer *answer)
{
	const EvidenceSubject subject = { .function = &verify->function,
					  .nonce = verify->nonce,
					  .statement = answer->body,
					  .statement_size = answer->body_size,
					  .stated = &verify->statement,
					  .blobs = &answer->blobs };
	_cleanup_free_ char *error = NULL;
	int r;

	verify->phase = VERIFY_ASK;
	r = relying_party_ask(&verify->relying_party, verify->loop, &verify->policy->relying_party,
			      &subject, on_asked, verify, &error);
	if (r < 0)
		verify_fail(verify, verify_phase_name(VERIFY_ASK), "%s",
			    error ? error : strerror(-r));
}

void verify_judge(Verify *verify, const TsmAnswer *answer)
{
	char driver[FUNCTION_DRIVER_SIZE];
	int r;

	verify->handlers.progress(verify->userdata, "info");
	if (!answer->has_evidence) {
		verify_fail(verify, evidence_step_name(EVIDENCE_DIGESTS),
			    "the host relayed the TSM's statement without the evidence, or it does "
			    "not decode");
		return;
	}
	r = function_read(&verify->function, verify->tree, verify->target.address);
	if (r < 0) {
		verify_fail(verify, "info", "the function cannot be read: %s", strerror(-r));
		return;
	}
	if (!evidence_judge(verify, answer))
		return;
	verify->handlers.progress(verify->userdata, "checked");
	if (!verify->running &&
	    function_driver(verify->tree, verify->target.address, driver) == 0) {
		verify_fail(verify, "driver",
			    "driver %s holds the function, which has not been accepted yet: unbind "
			    "it, or let the policy do so (\"unbind_driver\")",
			    driver);
		return;
	}
	if (verify->policy->relying_party.arguments)
		verify_ask(verify, answer);
	else
		verify_evidence_done(verify);
}
