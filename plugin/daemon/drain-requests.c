/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * That a DSM is drained is on disk before it is so. From then on admission refuses its devices, and
 * this file takes one step after the other whenever something of the DSM has changed, with or
 * without callers: detach what is in a domain, and what libvirt puts there because it was asked
 * before that; when the last has gone, reclaim. A device that cannot be detached stops that until
 * somebody asks once more.
 *
 * The steps are taken from the loop, never from within an effect of the engine.
 */
#include "daemon/drain-requests.h"

#include "daemon/assignment-view.h"
#include "daemon/assignments-service.h"
#include "daemon/attach-requests.h"
#include "daemon/director.h"
#include "daemon/dsm-requests.h"
#include "daemon/inventory.h"
#include "daemon/records.h"
#include "daemon/refusal.h"
#include "daemon/timed-calls.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS 300000

struct DrainRequests {
	Tdid *tdid;
	DetachRequests *detaches;
	TimedCalls *calls;
	sd_event_source *steps;
};

/* --- answers --- */

static int answer_done(Tdid *tdid, VarlinkCall *call, const Dsm *dsm)
{
	json_object *o = NULL;
	int r = inventory_dsm_to_json(tdid, dsm->provider, dsm->bdf, &o);

	return r < 0 ? r : varlink_call_replyb(call, J_TAKE("dsm", o));
}

typedef struct Outcome {
	const Dsm *dsm;
	const char *why; /* it cannot be done; NULL: it has been */
} Outcome;

static int answer(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const Outcome *outcome = userdata;
	char object[BDF_STRING_SIZE];

	if (!outcome->why)
		return answer_done(tdid, waiting->call, outcome->dsm);
	return refusal_say(waiting->call, bdf_format(outcome->dsm->bdf, object), "drain", "%s",
			   outcome->why);
}

static void answer_all(DrainRequests *requests, const Dsm *dsm, const char *why)
{
	Outcome outcome = { dsm, why };

	timed_calls_each(requests->calls, dsm, answer, &outcome);
}

/* Something of it is still in a domain, or being unbound, or comes back after a guest's reset. */
static const Assignment *find_left(Tdid *tdid, const Dsm *dsm)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));) {
		const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

		if (a->dsm == dsm && e &&
		    (e->present || a->reset ||
		     (e->state != ASSIGNMENT_RELEASED && e->state != ASSIGNMENT_FAILED)))
			return a;
	}
	return NULL;
}

/* It is attached before that could be refused; then admission has it detached. */
static const AttachRecord *find_coming(Tdid *tdid, const Dsm *dsm)
{
	return attach_requests_under_way(assignments_service_attach_requests(tdid->assignments),
					 dsm->bdf, NULL);
}

static int on_timed_out(Tdid *tdid, const TimedCall *waiting)
{
	const Dsm *dsm = waiting->object;
	const Assignment *a = find_left(tdid, dsm);
	const EngineAssignment *e = a ? engine_assignment(tdid->engine, a->id) : NULL;
	const EngineDsm *d = engine_dsm(tdid->engine, dsm->id);
	const AttachRecord *coming = a ? NULL : find_coming(tdid, dsm);
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *message = NULL;
	char object[BDF_STRING_SIZE];
	int r;

	if (e)
		assignment_view_to_json(tdid, a, &(Moment){ e->state, e->generation }, &o);
	r = asprintf(&message, "%s: drain: after %.1f s %s%s%s is %s. It goes on",
		     bdf_format(dsm->bdf, object), (double)waiting->timeout_usec / 1e6,
		     a && a->tvm->domain ? a->tvm->domain->name : "", a ? "/" : "",
		     a	      ? a->alias
		     : coming ? coming->alias
			      : "it",
		     e	      ? assignment_state_name(e->state)
		     : coming ? "being attached"
		     : d      ? dsm_state_name(d->state)
			      : "idle");
	if (r < 0) {
		message = NULL;
		return -ENOMEM;
	}
	return varlink_call_errorb(waiting->call, "TimedOut", J_REF("assignment", o),
				   J_STRING("message", message));
}

/* --- the steps --- */

static char *why_quarantined(const Assignment *a)
{
	char device[BDF_STRING_SIZE], *why;

	bdf_format(a->tdi->bdf, device);
	if (asprintf(&why,
		     "%s (%s) is quarantined: what the TSM holds of it is not known. 'tdictl clear "
		     "%s' first, then drain it again",
		     a->alias, device, device) < 0)
		return NULL;
	return why;
}

static void reclaim(DrainRequests *requests, Dsm *dsm)
{
	const EngineDsm *e = engine_dsm(requests->tdid->engine, dsm->id);
	_cleanup_free_ char *why = NULL;

	switch (e ? e->state : DSM_IDLE) {
	case DSM_IDLE: answer_all(requests, dsm, NULL); break;
	case DSM_CONNECTED:
		if (!dsm->drain_asked) {
			dsm->drain_asked = true;
			director_event(
				requests->tdid,
				&(EngineEvent){ .type = EVENT_RECLAIM_REQUESTED, .id = dsm->id },
				NULL);
			break;
		}
		if (asprintf(&why, "%s. It is still connected; look into that and drain it again",
			     dsm->reason ?: "device_reclaim was not done") < 0)
			why = NULL;
		answer_all(requests, dsm, why ?: "device_reclaim was refused");
		break;
	case DSM_QUARANTINED:
		answer_all(
			requests, dsm,
			"nothing of it is in a domain any more, but it is quarantined: whether "
			"the TSM has a session with it is not known. 'tdictl reclaim' is the way "
			"out");
		break;
	default: break; /* on its way */
	}
}

static void step(DrainRequests *requests, Dsm *dsm)
{
	Tdid *tdid = requests->tdid;
	const Assignment *quarantined = NULL;
	bool anew = dsm->drain_anew;
	AssignmentState state;
	Assignment *a;

	dsm->drain_anew = false;
	if (!find_left(tdid, dsm)) {
		if (!find_coming(tdid, dsm))
			reclaim(requests, dsm);
		return;
	}
	dsm->drain_asked = false;
	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));) {
		if (a->dsm != dsm)
			continue;
		state = engine_assignment(tdid->engine, a->id)->state;
		if (state == ASSIGNMENT_QUARANTINED)
			quarantined = a;
		else if (state != ASSIGNMENT_DETACHING && !dsm->drain_stuck &&
			 (anew ||
			  (!a->detach_again && !detach_requests_has(requests->detaches, a))))
			detach_requests_start(requests->detaches, a);
	}
	if (quarantined) {
		_cleanup_free_ char *why = why_quarantined(quarantined);

		answer_all(requests, dsm, why ?: "a device of it is quarantined");
	}
}

static int on_steps(sd_event_source *source, void *userdata)
{
	DrainRequests *requests = userdata;
	Dsm *dsm;

	for (uint32_t p = 0; (dsm = registry_next_dsm(requests->tdid->registry, &p));)
		if (dsm->drained)
			step(requests, dsm);
	return 0;
}

static void take_steps(DrainRequests *requests)
{
	sd_event_source_set_enabled(requests->steps, SD_EVENT_ONESHOT);
}

typedef struct DrainMoment {
	const Assignment *a;
	AssignmentState state;
	uint64_t generation;
} DrainMoment;

static int tell(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const DrainMoment *moment = userdata;
	json_object *dsm = NULL, *assignment = NULL;

	if (varlink_call_is_more(waiting->call) &&
	    inventory_dsm_to_json(tdid, moment->a->dsm->provider, moment->a->dsm->bdf, &dsm) >= 0 &&
	    assignment_view_to_json(tdid, moment->a, &(Moment){ moment->state, moment->generation },
				    &assignment) >= 0)
		varlink_call_notifyb(waiting->call, J_REF("dsm", dsm),
				     J_REF("assignment", assignment));
	json_object_put(dsm);
	json_object_put(assignment);
	return 1;
}

void drain_requests_changed(DrainRequests *requests, const Assignment *a, AssignmentState state,
			    uint64_t generation)
{
	DrainMoment moment = { a, state, generation };

	if (!a->dsm->drained)
		return;
	timed_calls_each(requests->calls, a->dsm, tell, &moment);
	take_steps(requests);
}

void drain_requests_dsm_changed(DrainRequests *requests, const Dsm *dsm)
{
	if (dsm->drained)
		take_steps(requests);
}

void drain_requests_stuck(DrainRequests *requests, const Assignment *a, const char *why)
{
	_cleanup_free_ char *text = NULL;

	if (!a->dsm->drained)
		return;
	a->dsm->drain_stuck = true;
	if (asprintf(&text, "%s/%s cannot be detached: %s",
		     a->tvm->domain ? a->tvm->domain->name : "?", a->alias, why) < 0)
		text = NULL;
	answer_all(requests, a->dsm, text ?: why);
}

/* --- the calls --- */

/* 0, or a negative errno: then it is as before. */
static int set_drained(Tdid *tdid, Dsm *dsm, bool drained)
{
	bool before = dsm->drained;
	int r;

	dsm->drained = drained;
	r = records_write_drain(tdid, dsm);
	if (r < 0)
		dsm->drained = before;
	return r;
}

static int refuse_record(Tdid *tdid, VarlinkCall *call, const Dsm *dsm, const char *verb, int r)
{
	char object[BDF_STRING_SIZE];

	return refusal_say(call, bdf_format(dsm->bdf, object), verb,
			   "its record cannot be written to %s: %s. Nothing has changed; make room "
			   "there, and ask again",
			   tdid->config->records, strerror(-r));
}

int drain_requests_take(DrainRequests *requests, json_object *parameters, VarlinkCall *call)
{
	int64_t timeout_ms = json_get_int(parameters, "timeout_ms", 0);
	Tdid *tdid = requests->tdid;
	char object[BDF_STRING_SIZE];
	Dsm *dsm;
	int r;

	if (json_object_object_get(parameters, "timeout_ms") &&
	    (timeout_ms < 1 || timeout_ms > TIMED_CALL_MS_MAX))
		return varlink_call_invalid_parameter(call, "timeout_ms");
	r = dsm_requests_find(tdid, call, json_get_string(parameters, "dsm"), "drain", &dsm);
	if (r != 0)
		return r < 0 ? r : 0;
	r = set_drained(tdid, dsm, true);
	if (r < 0)
		return refuse_record(tdid, call, dsm, "drain", r);
	log_info("%s: drained from now on: asked for by uid %u", bdf_format(dsm->bdf, object),
		 (unsigned)varlink_call_peer(call)->uid);
	dsm->drain_stuck = dsm->drain_asked = false;
	dsm->drain_anew = true;
	r = timed_calls_add(requests->calls, call, dsm, 0, timeout_ms, TIMEOUT_MS, NULL);
	take_steps(requests); /* it is drained, whether somebody waits for that or not */
	return r;
}

int drain_requests_end(DrainRequests *requests, json_object *parameters, VarlinkCall *call)
{
	Tdid *tdid = requests->tdid;
	char object[BDF_STRING_SIZE];
	Dsm *dsm;
	int r = dsm_requests_find(tdid, call, json_get_string(parameters, "dsm"), "undrain", &dsm);

	if (r != 0)
		return r < 0 ? r : 0;
	if (dsm->drained) {
		r = set_drained(tdid, dsm, false);
		if (r < 0)
			return refuse_record(tdid, call, dsm, "undrain", r);
		log_info("%s: no longer drained: asked for by uid %u", bdf_format(dsm->bdf, object),
			 (unsigned)varlink_call_peer(call)->uid);
		detach_requests_undrained(requests->detaches, dsm);
		answer_all(requests, dsm,
			   "an Undrain has ended it. Drain it again if that was not "
			   "meant");
	}
	return answer_done(tdid, call, dsm);
}

int drain_requests_new(DrainRequests **ret, Tdid *tdid, DetachRequests *detaches)
{
	static const TimedCallsOps ops = { on_timed_out, NULL };
	DrainRequests *requests = calloc(1, sizeof(*requests));
	int r;

	if (!requests)
		return -ENOMEM;
	requests->tdid = tdid;
	requests->detaches = detaches;
	r = timed_calls_new(&requests->calls, tdid, &ops);
	if (r >= 0)
		r = sd_event_add_defer(tdid->event, &requests->steps, on_steps, requests);
	/* The first steps are those of an earlier run's drains. */
	if (r >= 0)
		r = sd_event_source_set_enabled(requests->steps, SD_EVENT_ONESHOT);
	if (r < 0) {
		drain_requests_free(requests);
		return r;
	}
	*ret = requests;
	return 0;
}

DrainRequests *drain_requests_free(DrainRequests *requests)
{
	if (!requests)
		return NULL;
	timed_calls_free(requests->calls);
	sd_event_source_disable_unref(requests->steps);
	free(requests);
	return NULL;
}
