/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a call of Attach comes to: a request of its own, one that is under way, or an assignment
 * that is there. A token's memory is the assignment: asked for again, it is answered with that.
 */
#include "daemon/attach-requests.h"

#include "core/domain-xml.h"
#include "daemon/admission.h"
#include "daemon/assignment-view.h"
#include "daemon/assignments-service.h"
#include "daemon/attach-arguments.h"
#include "daemon/attach-private.h"
#include "daemon/records.h"
#include "daemon/refusal.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS 300000

/* --- the calls --- */

static int find_domain(Tdid *tdid, const char *text, Uuid *ret)
{
	Domain *domain;

	if (uuid_from_string(ret, text) >= 0)
		return 0;
	for (uint32_t p = 0; (domain = registry_next_domain(tdid->registry, &p));)
		if (domain->name && strcmp(domain->name, text) == 0) {
			*ret = domain->uuid;
			return 0;
		}
	return -ENOENT;
}

static Assignment *find_assignment(Tdid *tdid, const char *token, uid_t uid)
{
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));)
		if (client_token_is(&a->attach_token, token, uid))
			return a;
	return NULL;
}

static AttachRequest *find_request(AttachRequests *requests, const char *token, uid_t uid,
				   Bdf device)
{
	for (AttachRequest *q = requests->first; q; q = q->next)
		if (!q->dry_run && q->stage != ATTACH_STAGE_SEEN &&
		    (token ? client_token_is(&q->record.token, token, uid)
			   : bdf_equal(q->record.device, device)))
			return q;
	return NULL;
}

static int refuse_token(Tdid *tdid, VarlinkCall *call, const AttachArguments *arguments, Uuid uuid,
			Uuid domain, Bdf device, const char *alias)
{
	char text[UUID_STRING_SIZE], bdf[BDF_STRING_SIZE];
	_cleanup_free_ char *why = NULL;

	if (asprintf(&why,
		     "client_token %s stands for the attach of %s to %s as %s. Use another one",
		     arguments->token, bdf_format(device, bdf),
		     attach_domain_name(tdid, domain, text), alias) < 0)
		return -ENOMEM;
	return attach_refuse_call(tdid, call, uuid, arguments->device, why);
}

/* An attach of the same device, to somewhere else or under another name. */
static int refuse_other(Tdid *tdid, VarlinkCall *call, const AttachArguments *arguments,
			Uuid domain, const AttachRequest *request)
{
	char uuid[UUID_STRING_SIZE];
	_cleanup_free_ char *why = NULL;

	if (asprintf(&why,
		     request->doubtful
			     ? "whether libvirt has attached it to %s as %s is not known. Ask for "
			       "that again first, or try again in a few minutes"
			     : "its attach to %s as %s is under way. Try again when that is over",
		     attach_domain_name(tdid, request->record.domain, uuid), request->alias) < 0)
		return -ENOMEM;
	return attach_refuse_call(tdid, call, domain, arguments->device, why);
}

static int wait_for_assignment(AttachRequests *requests, const AttachArguments *arguments,
			       Assignment *a, VarlinkCall *call, bool waits)
{
	Tdid *tdid = requests->tdid;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	AttachMoment moment = { a, e->state, e->generation };
	json_object *o = NULL;
	int r;

	if (!waits) {
		r = assignment_view_to_json(tdid, a, &(Moment){ e->state, e->generation }, &o);
		return r < 0 ? r : varlink_call_replyb(call, J_TAKE("assignment", o));
	}
	r = timed_calls_add(requests->calls, call, a, (int)arguments->wait_for,
			    arguments->timeout_ms, TIMEOUT_MS, NULL);
	if (r >= 0)
		timed_calls_each(requests->calls, a, attach_settle, &moment);
	return r;
}

/* The token of the first caller who has one. 0: it is the request's, or there is none to take. */
static int take_token(AttachRequest *request, const AttachArguments *arguments, uid_t uid,
		      const char **ret_why)
{
	AttachRecord *record = &request->record;
	int r;

	if (!arguments->token || client_token_is(&record->token, arguments->token, uid))
		return 0;
	if (record->token.text) {
		*ret_why = "its attach there is under way under another client_token. Ask without "
			   "one, or when that is over";
		return 1;
	}
	r = client_token_set(&record->token, arguments->token, uid);
	/* Not asked for yet: its record comes with that. */
	if (r >= 0 && record->pid)
		r = attach_record_write(request->requests->tdid, record);
	if (r >= 0)
		return 0;
	client_token_set(&record->token, NULL, 0);
	*ret_why = "its attach there is under way, but the client_token cannot be recorded. See "
		   "that there is room for tdid's records, and ask again";
	return 1;
}

static int join_request(AttachRequests *requests, AttachRequest *request,
			const AttachArguments *arguments, VarlinkCall *call)
{
	TimedCall *waiting;
	const char *why;
	int r = take_token(request, arguments, varlink_call_peer(call)->uid, &why);

	if (r > 0)
		return attach_refuse_call(requests->tdid, call, request->record.domain,
					  arguments->device, why);
	r = timed_calls_add(requests->calls, call, request, (int)arguments->wait_for,
			    arguments->timeout_ms, TIMEOUT_MS, &waiting);

	if (r < 0)
		return r;
	if (request->doubtful && request->stage == ATTACH_STAGE_ASKED && !request->asking)
		attach_request_read(request);
	else if (request->plan)
		attach_tell_plan(requests->tdid, waiting, request);
	return 0;
}

static int begin(AttachRequests *requests, const AttachArguments *arguments, Uuid domain,
		 VarlinkCall *call)
{
	uid_t uid = varlink_call_peer(call)->uid;
	AttachRequest *request = calloc(1, sizeof(*request));
	char device[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	int r;

	if (!request)
		return -ENOMEM;
	*request = (AttachRequest){ .requests = requests,
				    .dry_run = arguments->dry_run,
				    .named = arguments->named,
				    .record = { .domain = domain, .device = arguments->device },
				    .alias = strdup(arguments->alias),
				    .next = requests->first };
	requests->first = request;
	request->record.alias = request->alias;
	r = client_token_set(&request->record.token, arguments->token, uid);
	if (r >= 0 && !request->alias)
		r = -ENOMEM;
	if (r >= 0)
		r = timed_calls_add(requests->calls, call, request, (int)arguments->wait_for,
				    arguments->timeout_ms, TIMEOUT_MS, NULL);
	if (r < 0) {
		attach_request_free(request);
		return r;
	}
	log_info("attach of %s to %s as %s: asked for by uid %u%s",
		 bdf_format(arguments->device, device),
		 attach_domain_name(requests->tdid, domain, uuid), request->alias, (unsigned)uid,
		 request->dry_run ? ", dry run" : "");
	attach_request_read(request);
	return 0;
}

static int take(AttachRequests *requests, const AttachArguments *arguments, json_object *parameters,
		VarlinkCall *call)
{
	uid_t uid = varlink_call_peer(call)->uid;
	Tdid *tdid = requests->tdid;
	AttachRequest *request = NULL;
	Assignment *a = NULL;
	Uuid domain;

	if (find_domain(tdid, arguments->domain, &domain) < 0)
		return refusal_say(
			call, json_shown(arguments->domain), "attach",
			"tdid knows no running domain of that name: only those that have "
			"the guest port " DOMAIN_XML_GUEST_PORT " or a trusted device. "
			"See 'virsh list' and examples/domain.xml");
	if (arguments->dry_run)
		return begin(requests, arguments, domain, call);
	if (arguments->token) {
		a = find_assignment(tdid, arguments->token, uid);
		request = find_request(requests, arguments->token, uid, arguments->device);
	}
	if (request && (!uuid_equal(request->record.domain, domain) ||
			!bdf_equal(request->record.device, arguments->device) ||
			(arguments->named && strcmp(request->alias, arguments->alias) != 0)))
		return refuse_token(tdid, call, arguments, domain, request->record.domain,
				    request->record.device, request->alias);
	if (!request && a &&
	    (!uuid_equal(a->tvm->uuid, domain) || !bdf_equal(a->tdi->bdf, arguments->device) ||
	     (arguments->named && strcmp(a->alias, arguments->alias) != 0)))
		return refuse_token(tdid, call, arguments, domain, a->tvm->uuid, a->tdi->bdf,
				    a->alias);
	if (!request && a)
		return wait_for_assignment(requests, arguments, a, call,
					   json_get_string(parameters, "wait_for"));
	if (!request)
		request = find_request(requests, NULL, 0, arguments->device);
	if (!request)
		return begin(requests, arguments, domain, call);
	if (uuid_equal(request->record.domain, domain) &&
	    (!arguments->named || strcmp(request->alias, arguments->alias) == 0))
		return join_request(requests, request, arguments, call);
	return refuse_other(tdid, call, arguments, domain, request);
}

int attach_requests_take(AttachRequests *requests, json_object *parameters, VarlinkCall *call)
{
	AttachArguments arguments;
	int r = attach_arguments_read(&arguments, call, parameters);

	if (r != 0)
		return r < 0 ? r : 0;
	r = take(requests, &arguments, parameters, call);
	attach_arguments_done(&arguments);
	return r;
}

/* --- what becomes of it --- */

/* Where the assignment's record could not be written, this one has to say whose token it is. */
static void end_seen(AttachRequest *request)
{
	const Assignment *a =
		registry_assignment_at(request->requests->tdid->registry, request->seen);

	if (a && a->unrecorded)
		attach_request_free(request);
	else
		attach_request_end(request);
}

static int on_ends(sd_event_source *source, void *userdata)
{
	AttachRequests *requests = userdata;
	AttachRequest *next;

	for (AttachRequest *q = requests->first; q; q = next) {
		next = q->next;
		if (q->stage == ATTACH_STAGE_SEEN)
			end_seen(q);
	}
	return 0;
}

/* Which one has asked for it, or NULL. */
static AttachRequest *awaited(AttachRequests *requests, const Assignment *a)
{
	for (AttachRequest *q = requests->first; q; q = q->next)
		if (q->stage != ATTACH_STAGE_SEEN &&
		    (q->stage != ATTACH_STAGE_READING || q->doubtful) &&
		    uuid_equal(q->record.domain, a->tvm->uuid) &&
		    bdf_equal(q->record.device, a->tdi->bdf) && strcmp(q->alias, a->alias) == 0)
			return q;
	return NULL;
}

void attach_requests_begins(AttachRequests *requests, Assignment *a)
{
	const AttachRequest *q = awaited(requests, a);

	if (q)
		client_token_set(&a->attach_token, q->record.token.text, q->record.token.uid);
}

/* Its own record goes when this turn of the loop is over: the assignment's has its token now. */
static void seen(AttachRequest *request, Assignment *a)
{
	timed_calls_move(request->requests->calls, request, a);
	request->stage = ATTACH_STAGE_SEEN;
	request->seen = a->id;
	sd_event_source_set_enabled(request->requests->ends, SD_EVENT_ONESHOT);
}

void attach_requests_changed(AttachRequests *requests, Assignment *a, AssignmentState state,
			     uint64_t generation)
{
	AttachRequest *q = state == ASSIGNMENT_ATTACHED ? awaited(requests, a) : NULL;
	AttachMoment moment = { a, state, generation };

	if (q)
		seen(q, a);
	timed_calls_each(requests->calls, a, attach_settle, &moment);
}

void attach_requests_left(AttachRequests *requests, const Assignment *a)
{
	AttachMoment moment = { a, a->last_state, a->last_generation };

	timed_calls_each(requests->calls, a, attach_settle, &moment);
}

void attach_requests_tvm_ended(AttachRequests *requests, const Tvm *tvm)
{
	AttachRequest *next;

	for (AttachRequest *q = requests->first; q; q = next) {
		next = q->next;
		if (q->stage != ATTACH_STAGE_SEEN && uuid_equal(q->record.domain, tvm->uuid) &&
		    (q->record.pid == tvm->pid || !q->record.pid))
			attach_request_refuse(q, "the domain has ended meanwhile. Start it first");
	}
}

/* It was, with the reset of its guest, and has not come back. */
static void settle_released(AttachRequests *requests, Assignment *a)
{
	const EngineAssignment *e = engine_assignment(requests->tdid->engine, a->id);
	AttachMoment moment = { a, e->state, e->generation };

	if (e->state == ASSIGNMENT_RELEASED)
		timed_calls_each(requests->calls, a, attach_settle, &moment);
}

void attach_requests_compared(AttachRequests *requests, const Tvm *tvm, const DomainXml *xml,
			      uint64_t number)
{
	AttachRequest *next;
	Assignment *a;

	for (AttachRequest *q = requests->first; q; q = next) {
		next = q->next;
		if (uuid_equal(q->record.domain, tvm->uuid))
			attach_request_compared(q, xml, number);
	}
	for (uint32_t p = 0; (a = registry_next_of_tvm(tvm, &p));)
		settle_released(requests, a);
}

const AttachRecord *attach_requests_under_way(const AttachRequests *requests, Bdf dsm,
					      const Bdf *beside)
{
	for (const AttachRequest *q = requests->first; q; q = q->next)
		if (attach_request_is_under_way(q) && bdf_equal(q->record.dsm, dsm) &&
		    (!beside || admission_excludes(dsm, *beside, q->record.device)))
			return &q->record;
	return NULL;
}

/* --- callers that wait in vain, and those who leave --- */

static AttachRequest *request_at(AttachRequests *requests, const void *object)
{
	for (AttachRequest *q = requests->first; q; q = q->next)
		if (q == object)
			return q;
	return NULL;
}

static void cancel_if_alone(AttachRequest *request)
{
	char device[BDF_STRING_SIZE];

	if (request->stage != ATTACH_STAGE_READING ||
	    timed_calls_any(request->requests->calls, request))
		return;
	if (request->doubtful) { /* as before that call: who asks next has it read anew */
		attach_request_expect_nothing(request);
		request->stage = ATTACH_STAGE_ASKED;
		return;
	}
	log_info("attach of %s: cancelled, its caller has gone",
		 bdf_format(request->record.device, device));
	attach_request_end(request);
}

static AttachRequests *requests_of(Tdid *tdid)
{
	return assignments_service_attach_requests(tdid->assignments);
}

static int on_timed_out(Tdid *tdid, const TimedCall *waiting)
{
	const AttachRequest *request = request_at(requests_of(tdid), waiting->object);

	return attach_answer_too_late(tdid, waiting, request, request ? NULL : waiting->object);
}

static void on_gone(Tdid *tdid, const void *object)
{
	AttachRequest *request = request_at(requests_of(tdid), object);

	if (request)
		cancel_if_alone(request);
}

int attach_requests_new(AttachRequests **ret, Tdid *tdid, char **ret_error)
{
	static const TimedCallsOps ops = { on_timed_out, on_gone };
	AttachRequests *requests = calloc(1, sizeof(*requests));
	int r;

	if (!requests)
		return -ENOMEM;
	requests->tdid = tdid;
	r = timed_calls_new(&requests->calls, tdid, &ops);
	if (r >= 0)
		r = sd_event_add_defer(tdid->event, &requests->ends, on_ends, requests);
	if (r >= 0)
		r = attach_requests_restore(requests, ret_error);
	if (r < 0) {
		attach_requests_free(requests);
		return r;
	}
	*ret = requests;
	return 0;
}

AttachRequests *attach_requests_free(AttachRequests *requests)
{
	if (!requests)
		return NULL;
	timed_calls_free(requests->calls);
	sd_event_source_disable_unref(requests->ends);
	while (requests->first)
		attach_request_free(requests->first);
	free(requests);
	return NULL;
}
