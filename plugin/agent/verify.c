/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *   STATE (only running_will_do) --not running, or not accepted--> INFO
 *   INFO --NOT_LOCKED--> LOCK --asked--> LOCKED --the host has locked it--> INFO
 *   INFO --evidence good--> MMIO, one request per TEE range --> VALIDATE --> CONFIRM --RUN--> done
 *        --evidence good, and the TDI runs with an acceptance--> MMIO --> CONFIRM
 *   INFO --evidence good, and the policy names a relying party--> ASK --it accepts--> as above
 *   any --refusal, deadline, TSM out of reach--> failed, REVOKE --answered or not--> done
 *   MMIO, VALIDATE --STALE--> INFO, with a fresh nonce, a few times
 *   CONFIRM --START has been asked for, and the host has not issued it--> CONFIRM, after a wait
 *   any --BUSY--> the same request after a wait, bounded
 *
 * An acceptance that another process of the agent gave, or an earlier boot, says nothing about
 * where the BARs are now: so ranges are confirmed at their addresses whether the TDI runs or not.
 *
 * Every fact comes out of a sealed answer, but for the evidence itself, which evidence_check()
 * believes as far as the statement's digests go. VALIDATE quotes what was checked, so that the TSM
 * refuses if the evidence changed in between. VALIDATE that found the TDI in another state may be
 * one that had its effect before its answer was lost: CONFIRM tells.
 *
 * Where LOCK or START is the host's to issue, the TSM is asked whether it has been, more and more
 * seldom (nothing that the host could say of it counts), until the deadline of all. CONFIG_LOCKED
 * is never enough, whatever was asked for.
 */
#include "agent/verify-private.h"

#include "core/tdisp.h"
#include "rpc/log.h"

#include <openssl/rand.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const phase_names[] = {
	[VERIFY_STATE] = "state",   [VERIFY_INFO] = "info",	    [VERIFY_ASK] = "relying-party",
	[VERIFY_MMIO] = "mmio",	    [VERIFY_VALIDATE] = "validate", [VERIFY_CONFIRM] = "confirm",
	[VERIFY_REVOKE] = "revoke", [VERIFY_LOCK] = "lock",	    [VERIFY_LOCKED] = "lock",
};

static void verify_step(Verify *verify);

const char *verify_phase_name(VerifyPhase phase)
{
	return phase_names[phase];
}

void verify_ask_no_more(Verify *verify)
{
	if (verify->relying_party)
		verify->relying_party = relying_party_free(verify->relying_party);
}

static void verify_done(Verify *verify, bool accepted)
{
	loop_timer_off(&verify->deadline);
	loop_timer_off(&verify->busy_timer);
	tsm_client_cancel(verify->client, verify);
	verify->handlers.done(verify->userdata, accepted);
}

void verify_fail(Verify *verify, const char *step, const char *format, ...)
{
	_cleanup_free_ char *reason = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&reason, format, arguments) < 0)
		reason = NULL;
	va_end(arguments);
	tsm_client_cancel(verify->client, verify);
	verify_ask_no_more(verify);
	loop_timer_off(&verify->busy_timer);
	loop_timer_set(&verify->deadline, VERIFY_REVOKE_USEC);
	verify->phase = VERIFY_REVOKE;
	verify->n_busy = 0;
	verify->handlers.failed(verify->userdata, step, reason);
	verify_step(verify);
}

static void on_deadline(void *userdata)
{
	Verify *verify = userdata;

	if (verify->phase == VERIFY_REVOKE) {
		log_warning("revocation of generation %" PRIu64 " could not be delivered in time",
			    verify->target.generation);
		verify_done(verify, false);
		return;
	}
	if (verify->wait_usec)
		verify_fail(verify, verify_phase_name(verify->phase),
			    "the host has not issued %s, which was asked for, within %llu s",
			    verify->phase == VERIFY_CONFIRM ? "START" : "LOCK",
			    VERIFY_USEC / USEC_PER_SEC);
	else
		verify_fail(verify, verify_phase_name(verify->phase), "not finished within %llu s",
			    VERIFY_USEC / USEC_PER_SEC);
}

static void on_busy_timer(void *userdata)
{
	verify_step(userdata);
}

/* --- the answers --- */

static void ranges_done(Verify *verify)
{
	verify->phase = verify->running ? VERIFY_CONFIRM : VERIFY_VALIDATE;
}

void verify_evidence_done(Verify *verify)
{
	if (verify->n_ranges)
		verify->phase = VERIFY_MMIO;
	else
		ranges_done(verify);
	verify_step(verify);
}

static bool status_take(Verify *verify, const TsmAnswer *answer, GuestTdiStatus *ret)
{
	if (guest_tdi_status_parse(ret, answer->body, answer->body_size) < 0) {
		verify_fail(verify, verify_phase_name(verify->phase),
			    "the TSM's answer breaks the format");
		return false;
	}
	verify->revoke_generation = ret->generation;
	if (ret->generation == verify->target.generation)
		return true;
	verify_fail(verify, verify_phase_name(verify->phase),
		    "the TSM speaks of bind %" PRIu64 ", the host said %" PRIu64, ret->generation,
		    verify->target.generation);
	return false;
}

/* The same is asked again after a while. */
static void wait_for_host(Verify *verify, const char *step)
{
	if (verify->wait_usec == 0)
		verify->handlers.progress(verify->userdata, step);
	verify->wait_usec = verify->wait_usec == 0 ? VERIFY_WAIT_USEC : 2 * verify->wait_usec;
	if (verify->wait_usec > VERIFY_WAIT_MAX_USEC)
		verify->wait_usec = VERIFY_WAIT_MAX_USEC;
	loop_timer_set(&verify->busy_timer, verify->wait_usec);
}

static void on_locked(Verify *verify, const TsmAnswer *answer)
{
	GuestTdiStatus status;

	if (!status_take(verify, answer, &status))
		return;
	if (status.tdisp_state == TDISP_CONFIG_LOCKED) {
		verify->wait_usec = 0;
		verify->handlers.progress(verify->userdata, "locked");
		verify->phase = VERIFY_INFO;
		verify_step(verify);
	} else if (status.requested == GUEST_REQUESTED_LOCK) {
		verify->phase = VERIFY_LOCKED;
		wait_for_host(verify, "lock-asked");
	} else {
		verify_fail(verify, verify_phase_name(verify->phase),
			    "the TDI is in state %s, and LOCK is not asked for any more",
			    tdisp_state_name(status.tdisp_state));
	}
}

static void on_state(Verify *verify, const TsmAnswer *answer)
{
	GuestTdiStatus status;

	if (!status_take(verify, answer, &status))
		return;
	if (status.tdisp_state == TDISP_RUN && status.accepted) {
		verify->handlers.progress(verify->userdata, "confirmed");
		verify_done(verify, true);
	} else if (status.tdisp_state == TDISP_RUN || status.tdisp_state == TDISP_CONFIG_LOCKED) {
		/* A record of ours is by generation, which the host gives out. */
		verify->phase = VERIFY_INFO;
		verify_step(verify);
	} else {
		verify_fail(verify, verify_phase_name(VERIFY_STATE),
			    "the TDI is in state %s, expected config_locked or run",
			    tdisp_state_name(status.tdisp_state));
	}
}

static void on_confirm(Verify *verify, const TsmAnswer *answer)
{
	GuestTdiStatus status;
	Function now;
	int r;

	if (!status_take(verify, answer, &status))
		return;
	if (status.requested == GUEST_REQUESTED_START) {
		wait_for_host(verify, "start-asked");
		return;
	}
	if (status.tdisp_state != TDISP_RUN ||
	    !(status.accepted || verify->target.accepted_before)) {
		verify_fail(verify, verify_phase_name(VERIFY_CONFIRM),
			    "the TSM does not confirm the acceptance: state %s, %s",
			    tdisp_state_name(status.tdisp_state),
			    status.accepted ? "accepted" : "not accepted");
		return;
	}
	/* The driver will use what sysfs says now, and that has to be what was validated. */
	r = function_read(&now, verify->tree, verify->target.address);
	if (r < 0 || !function_equal(&now, &verify->function)) {
		verify_fail(verify, verify_phase_name(VERIFY_CONFIRM),
			    "the function's BARs or identity changed during the verification");
		return;
	}
	verify->handlers.progress(verify->userdata, "confirmed");
	verify_done(verify, true);
}

static void on_ok(Verify *verify, const TsmAnswer *answer)
{
	switch (verify->phase) {
	case VERIFY_STATE: on_state(verify, answer); break;
	case VERIFY_INFO: verify_judge(verify, answer); break;
	case VERIFY_LOCK:
	case VERIFY_LOCKED: on_locked(verify, answer); break;
	case VERIFY_ASK: break; /* nothing was requested */
	case VERIFY_MMIO:
		if (++verify->range == verify->n_ranges) {
			verify->handlers.progress(verify->userdata, "mmio");
			ranges_done(verify);
		}
		verify_step(verify);
		break;
	case VERIFY_VALIDATE:
		verify->handlers.progress(verify->userdata, "validated");
		verify->phase = VERIFY_CONFIRM;
		verify_step(verify);
		break;
	case VERIFY_CONFIRM: on_confirm(verify, answer); break;
	case VERIFY_REVOKE: verify_done(verify, false); break;
	}
}

static void on_status(Verify *verify, GuestStatus status)
{
	bool in_middle = verify->phase == VERIFY_MMIO || verify->phase == VERIFY_VALIDATE;

	if (verify->phase == VERIFY_REVOKE) {
		/* Nothing of ours to revoke: no bind, or not accepted. */
		log_info("the TSM on the revocation: %s", guest_status_sentence(status));
		verify_done(verify, false);
	} else if (status == GUEST_STATUS_STALE && in_middle &&
		   verify->n_stale < VERIFY_MAX_STALE) {
		verify->n_stale++;
		verify->phase = VERIFY_INFO;
		verify_step(verify);
	} else if (status == GUEST_STATUS_NOT_LOCKED && verify->phase == VERIFY_INFO &&
		   !verify->lock_asked) {
		verify->lock_asked = true;
		verify->phase = VERIFY_LOCK;
		verify_step(verify);
	} else if (status == GUEST_STATUS_INVALID_STATE && verify->phase == VERIFY_VALIDATE) {
		verify->phase = VERIFY_CONFIRM;
		verify_step(verify);
	} else if (verify->phase == VERIFY_MMIO) {
		const GuestMmioValidate *range = &verify->ranges[verify->range];

		verify_fail(verify, verify_phase_name(VERIFY_MMIO),
			    "the TSM refused range %u at 0x%" PRIx64 ", %" PRIu64 " pages: %s",
			    range->range, range->address, range->pages,
			    guest_status_sentence(status));
	} else {
		verify_fail(verify, verify_phase_name(verify->phase), "the TSM refused: %s",
			    guest_status_sentence(status));
	}
}

static void on_answer(void *userdata, const TsmAnswer *answer, const char *error)
{
	Verify *verify = userdata;

	if (!answer) {
		if (verify->phase == VERIFY_REVOKE) {
			log_warning("the TSM could not be told to revoke: %s", error);
			verify_done(verify, false);
			return;
		}
		verify_fail(verify, verify_phase_name(verify->phase),
			    "the TSM cannot be reached: %s", error);
		return;
	}
	if (answer->status == GUEST_STATUS_BUSY && verify->n_busy < VERIFY_MAX_BUSY) {
		verify->n_busy++;
		loop_timer_set(&verify->busy_timer, VERIFY_BUSY_USEC);
	} else if (answer->status == GUEST_STATUS_OK) {
		on_ok(verify, answer);
	} else {
		on_status(verify, answer->status);
	}
}

/* --- the requests --- */

static int request_info(Verify *verify)
{
	GuestTdiInfo info = { .rid = verify_rid(verify) };
	uint8_t payload[GUEST_TDI_INFO_SIZE];

	if (RAND_bytes(verify->nonce, sizeof(verify->nonce)) != 1)
		return -EIO;
	memcpy(info.nonce, verify->nonce, sizeof(info.nonce));
	guest_tdi_info_write(&info, payload);
	return tsm_client_request(verify->client, GUEST_MESSAGE_TDI_INFO, payload, sizeof(payload),
				  on_answer, verify);
}

static int request_mmio(Verify *verify)
{
	uint8_t payload[GUEST_MMIO_VALIDATE_SIZE];

	guest_mmio_validate_write(&verify->ranges[verify->range], payload);
	return tsm_client_request(verify->client, GUEST_MESSAGE_MMIO_VALIDATE, payload,
				  sizeof(payload), on_answer, verify);
}

static int request_validate(Verify *verify, GuestValidateAction action)
{
	GuestTdiValidate validate = { .rid = verify_rid(verify),
				      .action = (uint8_t)action,
				      .generation = verify->revoke_generation };
	uint8_t payload[GUEST_TDI_VALIDATE_SIZE];

	if (action == GUEST_VALIDATE_ACCEPT) {
		validate.generation = verify->target.generation;
		validate.evidence = verify->statement.evidence;
	}
	guest_tdi_validate_write(&validate, payload);
	return tsm_client_request(verify->client, GUEST_MESSAGE_TDI_VALIDATE, payload,
				  sizeof(payload), on_answer, verify);
}

static int request_lock(Verify *verify)
{
	GuestTdiLock lock = { .rid = verify_rid(verify), .generation = verify->target.generation };
	uint8_t payload[GUEST_TDI_LOCK_SIZE];

	guest_tdi_lock_write(&lock, payload);
	return tsm_client_request(verify->client, GUEST_MESSAGE_TDI_LOCK, payload, sizeof(payload),
				  on_answer, verify);
}

static int request_state(Verify *verify)
{
	GuestTdiState state = { .rid = verify_rid(verify) };
	uint8_t payload[GUEST_TDI_STATE_SIZE];

	guest_tdi_state_write(&state, payload);
	return tsm_client_request(verify->client, GUEST_MESSAGE_TDI_STATE, payload, sizeof(payload),
				  on_answer, verify);
}

static void verify_step(Verify *verify)
{
	int r = 0;

	switch (verify->phase) {
	case VERIFY_INFO: r = request_info(verify); break;
	case VERIFY_ASK: return; /* a command runs, and nothing is asked of the TSM */
	case VERIFY_MMIO: r = request_mmio(verify); break;
	case VERIFY_VALIDATE: r = request_validate(verify, GUEST_VALIDATE_ACCEPT); break;
	case VERIFY_LOCK: r = request_lock(verify); break;
	case VERIFY_LOCKED:
	case VERIFY_STATE:
	case VERIFY_CONFIRM: r = request_state(verify); break;
	case VERIFY_REVOKE: r = request_validate(verify, GUEST_VALIDATE_REVOKE); break;
	}
	if (r == 0)
		return;
	/* Out of memory or randomness: wait as if the TSM were busy; the deadline ends it. */
	log_warning("a request to the TSM could not be made: %s", strerror(-r));
	loop_timer_set(&verify->busy_timer, VERIFY_BUSY_USEC);
}

int verify_new(Verify **ret, Loop *loop, const Tree *tree, TsmClient *client,
	       const AgentPolicy *policy, const VerifyTarget *target,
	       const VerifyHandlers *handlers, void *userdata)
{
	Verify *verify = calloc(1, sizeof(*verify));

	if (!verify)
		return -ENOMEM;
	verify->loop = loop;
	verify->tree = tree;
	verify->client = client;
	verify->policy = policy;
	verify->target = *target;
	verify->handlers = *handlers;
	verify->userdata = userdata;
	verify->revoke_generation = target->generation;
	verify->phase = target->running_will_do ? VERIFY_STATE : VERIFY_INFO;
	loop_timer_init(loop, &verify->deadline, on_deadline, verify);
	loop_timer_init(loop, &verify->busy_timer, on_busy_timer, verify);
	loop_timer_set(&verify->deadline, VERIFY_USEC);
	verify_step(verify);
	*ret = verify;
	return 0;
}

Verify *verify_free(Verify *verify)
{
	tsm_client_cancel(verify->client, verify);
	verify_ask_no_more(verify);
	loop_timer_off(&verify->deadline);
	loop_timer_off(&verify->busy_timer);
	free(verify);
	return NULL;
}

bool verify_is_revoking(const Verify *verify)
{
	return verify->phase == VERIFY_REVOKE;
}
