/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verbs that the engine asks for: how they get to operations.c, what has come of them as the
 * engine's events, and what was in flight when tdid ended.
 */
#include "daemon/director-private.h"

#include "daemon/guest-timer.h"
#include "daemon/held-timers.h"
#include "daemon/idle-timer.h"
#include "daemon/metrics.h"
#include "daemon/reason.h"
#include "daemon/records.h"
#include "daemon/retry-timer.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* It could not even be sent. */
static void refused(Tdid *tdid, const EngineEvent *event, const OperationRequest *request,
		    const char *why)
{
	_cleanup_free_ char *reason = NULL;
	char object[BDF_STRING_SIZE] = "";

	if (request->dsm)
		bdf_format(operation_object(request), object);
	if (asprintf(&reason, "%s %s: %s", verb_name(request->verb), object, why) < 0)
		reason = NULL;
	director_event(tdid, event, reason);
}

void director_submit(Tdid *tdid, Verb verb, const EngineEffect *effect, int record, bool resumed)
{
	static const EngineEventType events[VERB_N] = {
		[VERB_CONNECT] = EVENT_CONNECT_DONE, [VERB_RECLAIM] = EVENT_RECLAIM_DONE,
		[VERB_BIND] = EVENT_BIND_DONE,	     [VERB_UNBIND] = EVENT_UNBIND_DONE,
		[VERB_CLEAR] = EVENT_CLEAR_DONE,     [VERB_LOCK] = EVENT_REQUEST_DONE,
		[VERB_START] = EVENT_REQUEST_DONE,
	};
	bool carries = verb == VERB_LOCK || verb == VERB_START;
	bool forward = verb == VERB_CONNECT || verb == VERB_BIND || carries;
	OperationRequest request = { .verb = verb,
				     .number = effect->operation,
				     .generation = effect->generation,
				     .request = effect->request,
				     .resumed = resumed };
	const char *why =
		record > 0 ? "its record may be lost: the records' directory could not be synced "
			     "(does its disk fail?)"
			   : "its record could not be written (is the records' file system full?)";
	int r = -EIO;

	if (verb == VERB_BIND || verb == VERB_UNBIND || carries) {
		request.assignment = registry_assignment_at(tdid->registry, effect->id);
		request.dsm = request.assignment ? request.assignment->dsm : NULL;
	} else if (verb == VERB_CLEAR) {
		request.tdi = registry_tdi_at(tdid->registry, effect->id);
		request.dsm = request.tdi ? request.tdi->dsm : NULL;
	} else {
		const EngineDsm *e = engine_dsm(tdid->engine, effect->id);

		request.dsm = registry_dsm_at(tdid->registry, effect->id);
		request.force = verb == VERB_RECLAIM && e && e->doubtful;
	}
	if (record == 0 || !forward) {
		r = request.dsm ? operations_submit(tdid->operations, &request) : -ENOENT;
		why = NULL;
	}
	if (r < 0)
		refused(tdid,
			&(EngineEvent){ .type = events[verb],
					.id = effect->id,
					.operation = effect->operation,
					.outcome = OUTCOME_REFUSED },
			&request, why ?: strerror(-r));
}

static void mark_verb(Tdid *tdid, const OperationRequest *request, const char *what,
		      const char *detail)
{
	char name[TIMELINE_NAME_MAX];

	snprintf(name, sizeof(name), "%s %s", verb_name(request->verb), what);
	if (request->verb == VERB_LOCK || request->verb == VERB_START)
		director_guest_mark(tdid, request->assignment, name, detail);
	else
		director_mark(tdid, request->assignment, name, detail);
}

static void on_operation_started(const OperationRequest *request, void *userdata)
{
	Tdid *tdid = userdata;
	Assignment *a;

	if (request->assignment) {
		mark_verb(tdid, request, "started", NULL);
		return;
	}
	if (request->verb != VERB_CONNECT)
		return;
	request->dsm->connect_started = true;
	for (uint32_t p = 0; (a = registry_next_of_dsm(request->dsm, &p));)
		if (engine_assignment(tdid->engine, a->id)->state == ASSIGNMENT_CONNECTING)
			director_mark(tdid, a, "device_connect started", NULL);
}

static void on_operation_done(const OperationRequest *request, const OperationResult *result,
			      void *userdata)
{
	Tdid *tdid = userdata;
	EngineEvent event = { .operation = request->number,
			      .outcome = result->outcome,
			      .tdi_state = result->state,
			      .device_confirmed = result->device_confirmed };
	_cleanup_free_ char *reason = NULL;
	char object[BDF_STRING_SIZE];

	if (!result->called_off)
		metrics_verb(tdid->metrics, request->verb, result);
	bdf_format(operation_object(request), object);
	if (result->called_off) {
		log_info("%s %s: called off, nothing was done", verb_name(request->verb), object);
	} else if (result->outcome != OUTCOME_DONE || result->reason) {
		reason = reason_of_operation(request, result);
		log_warning("%s", reason ?: "out of memory");
	} else {
		log_info("%s %s: done (tsm: %s)", verb_name(request->verb), object,
			 provider_title(request->dsm->provider));
	}
	event.id = request->tdi		 ? request->tdi->id
		   : request->assignment ? request->assignment->id
					 : request->dsm->id;
	if ((request->verb == VERB_CONNECT || request->verb == VERB_RECLAIM) &&
	    result->outcome == OUTCOME_DONE)
		provider_dsm_said(request->dsm->provider, request->dsm->bdf,
				  request->verb == VERB_CONNECT);
	switch (request->verb) {
	case VERB_CONNECT: event.type = EVENT_CONNECT_DONE; break;
	case VERB_RECLAIM: event.type = EVENT_RECLAIM_DONE; break;
	case VERB_BIND: event.type = EVENT_BIND_DONE; break;
	case VERB_CLEAR: event.type = EVENT_CLEAR_DONE; break;
	case VERB_LOCK:
	case VERB_START: event.type = EVENT_REQUEST_DONE; break;
	default: event.type = EVENT_UNBIND_DONE; break;
	}
	if (request->verb == VERB_CONNECT)
		request->dsm->connect_started = false;
	/* Where that leaves it, no change of its state will tell. */
	if (event.type == EVENT_REQUEST_DONE && result->outcome == OUTCOME_REFUSED &&
	    !result->called_off)
		mark_verb(tdid, request, "refused", result->reason);
	director_event(tdid, &event, reason);
	if (request->dsm->loss_noticed) {
		request->dsm->loss_noticed = false;
		provider_ask_again(request->dsm->provider);
	}
}

void director_stop_overdue(Tdid *tdid, Uuid domain)
{
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));) {
		const EngineTvm *e = engine_tvm(tdid->engine, tvm->id);

		if (uuid_equal(tvm->uuid, domain) && e && e->stopping)
			operations_give_up(tdid->operations, tvm,
					   "no outcome in the time for which its domain's stop "
					   "waits, and libvirt gives the device back to the host");
	}
}

static bool is_connect_needed(const Dsm *dsm)
{
	const EngineDsm *e = engine_dsm(dsm->tdid->engine, dsm->id);

	return e && (e->users > 0 || e->pinned);
}

/* The device has been taken out since it began, or its TVM ends: it could only be unbound. */
static bool is_bind_needed(const Assignment *a)
{
	const EngineAssignment *e = engine_assignment(a->tdid->engine, a->id);

	return !e || e->state != ASSIGNMENT_BINDING || !e->left;
}

/* The bind in which its TVM has asked for it is not being ended. */
static bool is_request_needed(const OperationRequest *request)
{
	const Assignment *a = request->assignment;
	const EngineAssignment *e = engine_assignment(a->tdid->engine, a->id);

	return e && e->operation == request->number;
}

static bool on_operation_needed(const OperationRequest *request, void *userdata)
{
	switch (request->verb) {
	case VERB_CONNECT: return is_connect_needed(request->dsm);
	case VERB_BIND: return is_bind_needed(request->assignment);
	case VERB_LOCK:
	case VERB_START: return is_request_needed(request);
	default: return true;
	}
}

const OperationHandlers director_operation_handlers = {
	.started = on_operation_started,
	.done = on_operation_done,
	.needed = on_operation_needed,
};

void director_bind_needless(Assignment *a)
{
	if (!is_bind_needed(a))
		operations_call_off(a->tdid->operations, a->dsm, a);
}

void director_connect_needless(Dsm *dsm)
{
	if (dsm && !is_connect_needed(dsm))
		operations_call_off(dsm->tdid->operations, dsm, NULL);
}

static void restore_grace(Tdid *tdid, Dsm *dsm, const EngineDsm *e)
{
	if (!e->idle_timer)
		dsm->idle_until_usec = 0;
	else if (idle_timer_restore(dsm))
		records_write_dsm(tdid, dsm);
}

/* What no record tells is put on record, so that it begins anew once only. */
static void restore_timers(Tdid *tdid, Assignment *a, const EngineAssignment *e)
{
	bool anew = false;

	if (e->state == ASSIGNMENT_WAITING || e->state == ASSIGNMENT_BOUND ||
	    e->state == ASSIGNMENT_LOCKED)
		anew = guest_timer_restore(a);
	else
		guest_timer_stop(a);
	if (e->retry_timer)
		anew |= retry_timer_restore(a);
	else
		retry_timer_stop(a);
	if (anew)
		records_write_assignment(tdid, a);
}

void director_resume(Tdid *tdid)
{
	Assignment *a;
	Tdi *tdi;
	Dsm *dsm;

	held_timers_begin(tdid);
	for (uint32_t p = 0; (dsm = registry_next_dsm(tdid->registry, &p));) {
		const EngineDsm *e = engine_dsm(tdid->engine, dsm->id);
		EngineEffect effect = { .id = dsm->id, .operation = e ? e->operation : 0 };

		if (!e)
			continue;
		if (e->state == DSM_CONNECTING)
			director_submit(tdid, VERB_CONNECT, &effect, 0, true);
		else if (e->state == DSM_RECLAIMING)
			director_submit(tdid, VERB_RECLAIM, &effect, 0, true);
		restore_grace(tdid, dsm, e);
	}
	for (uint32_t p = 0; (tdi = registry_next_tdi(tdid->registry, &p));) {
		const EngineTdi *e = engine_tdi(tdid->engine, tdi->id);

		if (e && e->state == TDI_CLEARING)
			director_submit(tdid, VERB_CLEAR,
					&(EngineEffect){ .id = tdi->id, .operation = e->operation },
					0, true);
	}
	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));) {
		const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
		EngineEffect effect = { .id = a->id,
					.operation = e->operation,
					.generation = e->generation,
					.request = e->request };
		bool waits = e->state == ASSIGNMENT_BOUND || e->state == ASSIGNMENT_LOCKED;

		if (waits && e->operation)
			director_submit(tdid, e->state == ASSIGNMENT_BOUND ? VERB_LOCK : VERB_START,
					&effect, 0, true);
		if (e->state == ASSIGNMENT_BINDING) {
			director_submit(tdid, VERB_BIND, &effect, 0, true);
			director_bind_needless(a);
		} else if (e->state == ASSIGNMENT_UNBINDING) {
			director_submit(tdid, VERB_UNBIND, &effect, 0, true);
		}
		restore_timers(tdid, a, e);
		a->detach_again = e->state == ASSIGNMENT_DETACHING || a->dsm->drained;
		director_mark(tdid, a, "tdid restarted", NULL);
	}
}
