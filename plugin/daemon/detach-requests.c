/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io.tdid.Assignments.Detach, and what else begins or ends a request (detach-request.c). */
#include "daemon/detach-private.h"

#include "daemon/assignment-view.h"
#include "daemon/records.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS 60000

DetachRequest *detach_requests_find(DetachRequests *requests, const Assignment *a)
{
	for (DetachRequest *q = requests->first; q; q = q->next)
		if (q->assignment == a)
			return q;
	return NULL;
}

bool detach_requests_has(DetachRequests *requests, const Assignment *a)
{
	return detach_requests_find(requests, a);
}

void detach_requests_start(DetachRequests *requests, Assignment *a)
{
	const EngineAssignment *e = engine_assignment(requests->tdid->engine, a->id);
	DetachRequest *request = detach_requests_find(requests, a);
	int r;

	if (!e->present)
		return;
	a->detach_again = false;
	r = request ? detach_request_extend(request, DETACH_DRAIN_USEC)
		    : detach_request_begin(requests, a, DETACH_DRAIN_USEC, &request);
	if (r < 0)
		requests->failed(requests->tdid, a, "out of memory");
	else if (!request->again)
		detach_request_ask(request);
}

void detach_requests_undrained(DetachRequests *requests, const Dsm *dsm)
{
	DetachRequest *next;

	for (DetachRequest *q = requests->first; q; q = next) {
		next = q->next;
		if (q->assignment->dsm == dsm && !q->of_caller && !q->is_taken && !q->asking)
			detach_request_let_be(q);
	}
}

/* --- the call --- */

static int no_such_assignment(VarlinkCall *call, const char *domain, const char *name)
{
	return varlink_call_errorb(call, "NoSuchAssignment", J_STRING("domain", domain),
				   J_STRING("name", name));
}

/* On disk before anybody is asked, or answered. While one is under way the first of several counts.
 */
static int take_token(DetachRequests *requests, Assignment *a, const char *token, uid_t uid)
{
	int r;

	if (a->detach_pending &&
	    (detach_requests_find(requests, a) || client_token_is(&a->detach_token, token, uid)))
		return 0;
	r = client_token_set(&a->detach_token, token, uid);
	a->detach_pending = r >= 0;
	if (r >= 0)
		r = records_write_assignment(requests->tdid, a);
	if (r < 0) {
		a->detach_pending = false;
		client_token_set(&a->detach_token, NULL, 0);
	}
	return r;
}

/*
 * It is gone, so nothing is done under this one; but it is answered, and is not to do anything
 * later. One under which something was done counts more. That it is gone is true without a record.
 */
static void keep_token(DetachRequests *requests, Assignment *a, const char *token, uid_t uid)
{
	_cleanup_free_ char *object = NULL;
	int r;

	if (a->detach_token.text)
		return;
	r = client_token_set(&a->detach_token, token, uid);
	if (r >= 0)
		r = records_write_assignment(requests->tdid, a);
	if (r >= 0)
		return;
	object = assignment_title(a);
	log_error("%s: detach: its token cannot be recorded in %s: %s; after a restart of tdid the "
		  "same call may detach what came after it",
		  object ?: a->alias, requests->tdid->config->records, strerror(-r));
}

static int refuse_record(VarlinkCall *call, const Assignment *a, int r)
{
	_cleanup_free_ char *why = NULL;

	if (asprintf(&why,
		     "its record cannot be written to %s: %s. Nothing was asked for; make room "
		     "there, and ask again",
		     a->tdid->config->records, strerror(-r)) < 0)
		why = NULL;
	return detach_refuse(call, a, why ?: "its record cannot be written");
}

static int wait_for(DetachRequests *requests, Assignment *a, int64_t timeout_ms, VarlinkCall *call)
{
	const struct ucred *peer = varlink_call_peer(call);
	DetachRequest *request = detach_requests_find(requests, a);
	uint64_t usec = (uint64_t)(timeout_ms ?: TIMEOUT_MS) * 1000;
	_cleanup_free_ char *object = assignment_title(a);
	bool is_new = !request;
	int r = 0;

	if (!request)
		r = detach_request_begin(requests, a, usec, &request);
	if (r < 0)
		return r;
	request->of_caller = true;
	if (r >= 0)
		r = detach_request_extend(request, usec);
	if (r >= 0)
		r = timed_calls_add(requests->calls, call, a, 0, timeout_ms, TIMEOUT_MS, NULL);
	if (r < 0 && is_new)
		detach_request_free(request);
	if (r < 0)
		return r;
	log_info("%s: detach: asked for by uid %u", object ?: a->alias, (unsigned)peer->uid);
	/* One that libvirt was asked for before may have been forgotten by the guest. */
	if (!request->again)
		detach_request_ask(request);
	return 0;
}

int detach_requests_take(DetachRequests *requests, json_object *parameters, VarlinkCall *call)
{
	const char *domain = json_get_string(parameters, "domain");
	const char *name = json_get_string(parameters, "name");
	const char *token = json_get_string(parameters, "client_token");
	int64_t timeout_ms = json_get_int(parameters, "timeout_ms", 0);
	Tdid *tdid = requests->tdid;
	Assignment *a = assignment_view_find(tdid, domain, name);
	const EngineAssignment *e = a ? engine_assignment(tdid->engine, a->id) : NULL;
	_cleanup_(json_unrefp) json_object *o = NULL;
	DetachMoment moment;
	bool over;
	int r;

	if (token && !client_token_valid(token))
		return varlink_call_invalid_parameter(call, "client_token");
	if (json_object_object_get(parameters, "timeout_ms") &&
	    (timeout_ms < 1 || timeout_ms > TIMED_CALL_MS_MAX))
		return varlink_call_invalid_parameter(call, "timeout_ms");
	if (!e)
		return no_such_assignment(call, domain, name);
	moment = (DetachMoment){ .a = a, .state = e->state, .generation = e->generation };
	r = assignment_view_to_json(tdid, a, &(Moment){ e->state, e->generation }, &o);
	if (r < 0)
		return r;
	if (e->state == ASSIGNMENT_QUARANTINED)
		return detach_answer_quarantined(call, &moment, o);
	over = (detach_is_over(a, e->state) && !e->present) ||
	       (!a->detach_pending &&
		client_token_is(&a->detach_token, token, varlink_call_peer(call)->uid));
	if (token && over)
		keep_token(requests, a, token, varlink_call_peer(call)->uid);
	else if (token)
		r = take_token(requests, a, token, varlink_call_peer(call)->uid);
	if (r < 0)
		return refuse_record(call, a, r);
	return over ? varlink_call_replyb(call, J_REF("assignment", o))
		    : wait_for(requests, a, timeout_ms, call);
}

void detach_requests_changed(DetachRequests *requests, Assignment *a, AssignmentState state,
			     uint64_t generation)
{
	DetachRequest *request = detach_requests_find(requests, a);
	DetachMoment moment = { .a = a, .state = state, .generation = generation };

	/* The record of its state says that of the token already. */
	if (detach_is_over(a, state))
		a->detach_pending = false;
	if (request && detach_is_over(a, state)) {
		detach_request_free(request);
	} else if (request && state == ASSIGNMENT_QUARANTINED) {
		detach_request_free(request);
	} else if (request) {
		detach_request_follow(request, state);
	}
	timed_calls_each(requests->calls, a, detach_settle, &moment);
}

void detach_requests_left(DetachRequests *requests, Assignment *a, AssignmentState state,
			  uint64_t generation)
{
	bool pending = a->detach_pending;

	a->reset = false;
	detach_requests_changed(requests, a, state, generation);
	if (pending && !a->detach_pending && engine_assignment(requests->tdid->engine, a->id))
		records_write_assignment(requests->tdid, a);
}

void detach_requests_not_let_go(DetachRequests *requests, const Tvm *tvm, const char *alias)
{
	for (DetachRequest *q = requests->first; q; q = q->next)
		if (q->assignment->tvm == tvm && strcmp(q->assignment->alias, alias) == 0) {
			detach_request_fail(
				q,
				"the guest refuses to let it go. Stop what uses it there, and ask "
				"again");
			return;
		}
}

int detach_requests_new(DetachRequests **ret, Tdid *tdid, DetachFailed failed)
{
	static const TimedCallsOps ops = { detach_timed_out, NULL };
	DetachRequests *requests = calloc(1, sizeof(*requests));
	int r;

	if (!requests)
		return -ENOMEM;
	requests->tdid = tdid;
	requests->failed = failed;
	r = timed_calls_new(&requests->calls, tdid, &ops);
	if (r < 0) {
		free(requests);
		return r;
	}
	*ret = requests;
	return 0;
}

DetachRequests *detach_requests_free(DetachRequests *requests)
{
	if (!requests)
		return NULL;
	timed_calls_free(requests->calls);
	while (requests->first)
		detach_request_free(requests->first);
	free(requests);
	return NULL;
}
