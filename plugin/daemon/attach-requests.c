/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request goes through these stages:
 *
 *   reading   the domain is read once more and everything is checked (attach-check.c). Until here
 *             nothing has been done, and when the last caller goes away nothing is
 *   asked     its record is written, the DSM connects ahead, libvirt attaches. From here on it goes
 *             on without callers
 *   plugged   it is in the domain; the read that follows libvirt's word brings the assignment
 *   seen      the assignment has its token and its callers; the record goes when that is on disk
 *
 * What libvirt refuses ends it: the record goes, and a DSM that was connected for it is idle, which
 * is not a reference to anything. Where nobody knows what libvirt did (no answer in time, the
 * connection broke, tdid died) it stays `asked`, and doubtful: the assignment may come yet, and
 * another call for the same reads the domain and asks again.
 *
 * A token's memory is the assignment: asked for again, it is answered with that.
 */
#include "daemon/attach-requests.h"

#include "core/domain-xml.h"
#include "daemon/assignments-service.h"
#include "daemon/attach-arguments.h"
#include "daemon/attach-check.h"
#include "daemon/attach-records.h"
#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/records.h"
#include "daemon/refusal.h"
#include "daemon/timed-calls.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS 300000

typedef struct AttachRequest AttachRequest;

typedef enum Stage {
	STAGE_READING,
	STAGE_ASKED,
	STAGE_PLUGGED,
	STAGE_SEEN,
} Stage;

/* libvirt's answer may come after the request's end. */
typedef struct Asking {
	AttachRequest *request; /* NULL: that was it */
} Asking;

struct AttachRequest {
	AttachRequests *requests;
	Stage stage;
	bool doubtful, dry_run, named;
	AttachRecord record; /* its texts are the request's */
	char *alias;
	json_object *plan;
	Asking *asking;
	sd_event_source *end;
	AttachRequest *next;
};

struct AttachRequests {
	Tdid *tdid;
	TimedCalls *calls;
	AttachRequest *first;
};

static void request_free(AttachRequest *request)
{
	AttachRequest **link = &request->requests->first;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	if (request->asking)
		request->asking->request = NULL;
	sd_event_source_disable_unref(request->end);
	json_object_put(request->plan);
	client_token_set(&request->record.token, NULL, 0);
	free(request->alias);
	free(request);
}

/* Of one that was never asked for there is no record. */
static void request_end(AttachRequest *request)
{
	if (request->stage != STAGE_READING || request->doubtful)
		attach_record_remove(request->requests->tdid, &request->record);
	request_free(request);
}

/* --- answers --- */

static const char *domain_name(Tdid *tdid, Uuid uuid, char text[static UUID_STRING_SIZE])
{
	const Domain *domain = registry_find_domain(tdid->registry, uuid);

	return domain && domain->name ? domain->name : uuid_format(uuid, text);
}

static int refuse_call(Tdid *tdid, VarlinkCall *call, Uuid domain, Bdf device, const char *why)
{
	char uuid[UUID_STRING_SIZE], bdf[BDF_STRING_SIZE];
	_cleanup_free_ char *object = NULL;

	if (asprintf(&object, "%s/%s", domain_name(tdid, domain, uuid), bdf_format(device, bdf)) <
	    0) {
		object = NULL;
		return -ENOMEM;
	}
	return refusal_say(call, object, "attach", "%s", why);
}

typedef struct Refusal {
	const AttachRequest *request;
	const char *why;
} Refusal;

static int refuse_one(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const Refusal *refusal = userdata;

	return refuse_call(tdid, waiting->call, refusal->request->record.domain,
			   refusal->request->record.device, refusal->why);
}

static void refuse_callers(AttachRequest *request, const char *why)
{
	Refusal refusal = { request, why };

	timed_calls_each(request->requests->calls, request, refuse_one, &refusal);
}

static void request_refuse(AttachRequest *request, const char *why)
{
	refuse_callers(request, why);
	request_end(request);
}

/* libvirt has told nothing: a doubt stays one. */
static void request_refuse_untold(AttachRequest *request, const char *why)
{
	if (!request->doubtful) {
		request_refuse(request, why);
		return;
	}
	request->stage = STAGE_ASKED;
	refuse_callers(request, why);
}

/* The assignment's as of a moment: the engine may be further already. */
typedef struct Moment {
	const Assignment *a;
	AssignmentState state;
	uint64_t generation;
} Moment;

static int answer_off_the_way(Tdid *tdid, VarlinkCall *call, const Moment *moment, json_object *o)
{
	const Assignment *a = moment->a;
	char uuid[UUID_STRING_SIZE];
	_cleanup_free_ char *message = NULL;

	if (asprintf(&message, "%s/%s: attach: it is %s%s%s",
		     domain_name(tdid, a->tvm->uuid, uuid), a->alias,
		     assignment_state_name(moment->state), a->reason ? ": " : "",
		     a->reason ?: "") < 0)
		message = NULL;
	return varlink_call_errorb(call, "NotReached", J_REF("assignment", o),
				   J_STRING("message", message ?: "it is not there"));
}

static int settle(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const Moment *moment = userdata;
	_cleanup_(json_unrefp) json_object *o = NULL;
	int at = attach_progress(moment->state);
	int r = assignments_service_to_json(tdid, moment->a, moment->state, moment->generation, &o);

	if (r < 0)
		return r;
	if (at < 0)
		return answer_off_the_way(tdid, waiting->call, moment, o);
	if (at >= attach_progress((AssignmentState)waiting->goal))
		return varlink_call_replyb(waiting->call, J_REF("assignment", o));
	/* Whoever does not read is dropped by the server. */
	if (varlink_call_is_more(waiting->call))
		varlink_call_notifyb(waiting->call, J_REF("assignment", o));
	return 1;
}

static int tell_plan(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const AttachRequest *request = userdata;

	if (request->dry_run)
		return varlink_call_replyb(waiting->call, J_REF("plan", request->plan));
	if (varlink_call_is_more(waiting->call))
		varlink_call_notifyb(waiting->call, J_REF("plan", request->plan));
	return 1;
}

static AttachRequest *request_at(AttachRequests *requests, const void *object)
{
	for (AttachRequest *q = requests->first; q; q = q->next)
		if (q == object)
			return q;
	return NULL;
}

static int answer_too_late(Tdid *tdid, const TimedCall *waiting, const AttachRequest *request,
			   const Assignment *a)
{
	const EngineAssignment *e = a ? engine_assignment(tdid->engine, a->id) : NULL;
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *message = NULL;
	char uuid[UUID_STRING_SIZE];
	int r;

	if (e)
		assignments_service_to_json(tdid, a, e->state, e->generation, &o);
	r = asprintf(&message, "%s/%s: attach: after %.1f s %s%s. It goes on; 'tdictl watch' shows it",
		     domain_name(tdid, a ? a->tvm->uuid : request->record.domain, uuid),
		     a ? a->alias : request->alias, (double)waiting->timeout_usec / 1e6,
		     e ? "it is "
		     : request->stage == STAGE_READING ? "libvirt has not told of the domain yet"
		     : request->stage == STAGE_ASKED	 ? "libvirt is still attaching it"
							 : "it is in the domain, and not yet read",
		     e ? assignment_state_name(e->state) : "");
	if (r < 0)
		message = NULL;
	return varlink_call_errorb(waiting->call, "TimedOut", J_REF("assignment", o),
				   J_STRING("message", message ?: "it goes on"));
}

static void cancel_if_alone(AttachRequest *request)
{
	char device[BDF_STRING_SIZE];

	if (request->stage != STAGE_READING || timed_calls_any(request->requests->calls, request))
		return;
	if (request->doubtful) { /* as before that call */
		request->stage = STAGE_ASKED;
		return;
	}
	log_info("attach of %s: cancelled, its caller has gone",
		 bdf_format(request->record.device, device));
	request_end(request);
}

static AttachRequests *requests_of(Tdid *tdid)
{
	return assignments_service_attach_requests(tdid->assignments);
}

static int on_timed_out(Tdid *tdid, const TimedCall *waiting)
{
	const AttachRequest *request = request_at(requests_of(tdid), waiting->object);

	return answer_too_late(tdid, waiting, request, request ? NULL : waiting->object);
}

static void on_gone(Tdid *tdid, const void *object)
{
	AttachRequest *request = request_at(requests_of(tdid), object);

	if (request)
		cancel_if_alone(request);
}

/* --- libvirt --- */

static int ask(AttachRequest *request, Asking **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->request = request;
	request->asking = *ret;
	return 0;
}

static AttachRequest *answered(Asking *asking)
{
	AttachRequest *request = asking->request;

	if (request)
		request->asking = NULL;
	free(asking);
	return request;
}

static void on_attached(int r, const char *message, void *userdata)
{
	AttachRequest *request = answered(userdata);
	_cleanup_free_ char *why = NULL;

	if (!request)
		return;
	if (r == VMM_ATTACH_DONE) {
		request->stage = STAGE_PLUGGED;
		domains_added(request->requests->tdid, request->record.domain, request->alias);
		return;
	}
	request->doubtful = r == -ETIMEDOUT || r == -ENOTCONN;
	if (asprintf(&why, "libvirt: %s%s", message ?: strerror(r < 0 ? -r : EIO),
		     request->doubtful ? ". Ask again to see what has come of it"
		     : r == VMM_ATTACH_BUSY
			     ? ". Nothing was done; try again when that job is over"
			     : ". Nothing is left of it; look into that and ask again") < 0)
		why = NULL;
	log_warning("%s: %s", request->alias, why ?: "out of memory");
	request_refuse_untold(request, why ?: "libvirt refused");
}

/* Not for long: what it is for comes with the assignment. */
static void connect_ahead(Tdid *tdid, const AttachFinding *finding)
{
	Dsm *dsm;

	if (!finding->connects || registry_dsm(tdid->registry, finding->dsm, &dsm) < 0)
		return;
	if (!dsm->provider)
		dsm->provider = finding->provider;
	director_event(tdid, &(EngineEvent){ .type = EVENT_CONNECT_AHEAD, .id = dsm->id }, NULL);
}

static void attach(AttachRequest *request, const AttachFinding *finding)
{
	Tdid *tdid = request->requests->tdid;
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], why[256];
	Asking *asking;
	int r;

	request->record.pid = finding->tvm->pid;
	r = attach_record_write(tdid, &request->record);
	if (r < 0) {
		snprintf(why, sizeof(why),
			 "its record cannot be written to %.120s: %s. Make room there, and ask again",
			 tdid->config->records, strerror(-r));
		request_refuse(request, why);
		return;
	}
	request->stage = STAGE_ASKED;
	request->doubtful = false;
	timed_calls_each(request->requests->calls, request, tell_plan, request);
	r = ask(request, &asking);
	if (r >= 0)
		r = vmm_attach(tdid->vmm, uuid_format(request->record.domain, uuid), request->alias,
			       bdf_format(request->record.device, device), 0, on_attached, asking);
	if (r >= 0) {
		connect_ahead(tdid, finding);
		return;
	}
	free(request->asking);
	request->asking = NULL;
	snprintf(why, sizeof(why), "libvirt cannot be asked: %s. Try again", strerror(-r));
	request_refuse(request, why);
}

static void move_to(AttachRequest *request, Assignment *a)
{
	timed_calls_move(request->requests->calls, request, a);
	client_token_set(&a->attach_token, request->record.token.text, request->record.token.uid);
}

/* It is there, of whomever: a token that comes now is remembered if there is none. */
static void join_assignment(AttachRequest *request, Assignment *a)
{
	AttachRequests *requests = request->requests;
	Tdid *tdid = requests->tdid;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	Moment moment = { a, e->state, e->generation };

	timed_calls_move(requests->calls, request, a);
	if (request->record.token.text && !a->attach_token.text &&
	    client_token_set(&a->attach_token, request->record.token.text,
			     request->record.token.uid) >= 0)
		records_write_assignment(tdid, a);
	request_end(request);
	timed_calls_each(requests->calls, a, settle, &moment);
}

static void go_on(AttachRequest *request, const AttachQuestion *question, AttachFinding *finding)
{
	Tdid *tdid = request->requests->tdid;

	json_object_put(request->plan);
	request->plan = NULL;
	if (attach_plan(tdid, question, finding, &request->plan) < 0) {
		request_refuse(request, "out of memory");
	} else if (request->dry_run) {
		timed_calls_each(request->requests->calls, request, tell_plan, request);
		request_end(request);
	} else if (finding->assignment) {
		join_assignment(request, finding->assignment);
	} else if (finding->plugged) {
		free(request->alias);
		request->alias = steal_ptr(finding->alias);
		request->record.alias = request->alias;
		request->stage = STAGE_PLUGGED;
		domains_added(tdid, request->record.domain, request->alias);
	} else {
		attach(request, finding);
	}
}

static void on_read(int r, const VmmDomain *seen, const char *message, void *userdata)
{
	AttachRequest *request = answered(userdata);
	_cleanup_free_ char *why = NULL;
	AttachQuestion question;
	AttachFinding finding = {};

	if (!request || request->stage != STAGE_READING)
		return;
	question = (AttachQuestion){ .domain = request->record.domain,
				     .device = request->record.device,
				     .alias = request->alias,
				     .named = request->named };
	if (r < 0) {
		if (asprintf(&why, "libvirt: %s. Try again", message ?: strerror(-r)) < 0)
			why = NULL;
		request_refuse_untold(request, why ?: "libvirt does not tell of the domain");
		return;
	}
	r = attach_check(request->requests->tdid, &question, seen, &finding, &why);
	if (r != 0)
		request_refuse(request, r > 0 && why ? why : "out of memory");
	else
		go_on(request, &question, &finding);
	attach_finding_done(&finding);
}

static void read_domain(AttachRequest *request)
{
	Tdid *tdid = request->requests->tdid;
	char uuid[UUID_STRING_SIZE], why[128];
	Asking *asking;
	int r;

	request->stage = STAGE_READING;
	r = ask(request, &asking);
	if (r >= 0)
		r = vmm_read_domain(tdid->vmm, uuid_format(request->record.domain, uuid), 0, 0,
				    on_read, asking);
	if (r >= 0)
		return;
	free(request->asking);
	request->asking = NULL;
	snprintf(why, sizeof(why), "libvirt cannot be asked: %s. Try again",
		 r == -ENOTCONN ? "tdid is not connected to it (see that libvirtd runs)"
				: strerror(-r));
	request_refuse_untold(request, why);
}

/* --- the calls --- */

static int find_domain(Tdid *tdid, const char *text, Uuid *ret)
{
	Domain *domain;

	for (uint32_t p = 0; (domain = registry_next_domain(tdid->registry, &p));)
		if (domain->name && strcmp(domain->name, text) == 0) {
			*ret = domain->uuid;
			return 0;
		}
	return uuid_from_string(ret, text);
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
		if (!q->dry_run && q->stage != STAGE_SEEN &&
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
		     arguments->token, bdf_format(device, bdf), domain_name(tdid, domain, text),
		     alias) < 0)
		return -ENOMEM;
	return refuse_call(tdid, call, uuid, arguments->device, why);
}

static int wait_for_assignment(AttachRequests *requests, const AttachArguments *arguments,
			       Assignment *a, VarlinkCall *call, bool waits)
{
	Tdid *tdid = requests->tdid;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	Moment moment = { a, e->state, e->generation };
	json_object *o = NULL;
	int r;

	if (!waits) {
		r = assignments_service_to_json(tdid, a, e->state, e->generation, &o);
		return r < 0 ? r : varlink_call_replyb(call, J_TAKE("assignment", o));
	}
	r = timed_calls_add(requests->calls, call, a, (int)arguments->wait_for,
			    arguments->timeout_ms, TIMEOUT_MS, NULL);
	if (r >= 0)
		timed_calls_each(requests->calls, a, settle, &moment);
	return r;
}

static int join_request(AttachRequests *requests, AttachRequest *request,
			const AttachArguments *arguments, VarlinkCall *call)
{
	TimedCall *waiting;
	int r = timed_calls_add(requests->calls, call, request, (int)arguments->wait_for,
				arguments->timeout_ms, TIMEOUT_MS, &waiting);

	if (r < 0)
		return r;
	if (request->doubtful && request->stage == STAGE_ASKED && !request->asking)
		read_domain(request);
	else if (request->plan)
		tell_plan(requests->tdid, waiting, request);
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
		request_free(request);
		return r;
	}
	log_info("attach of %s to %s as %s: asked for by uid %u%s",
		 bdf_format(arguments->device, device), domain_name(requests->tdid, domain, uuid),
		 request->alias, (unsigned)uid, request->dry_run ? ", dry run" : "");
	read_domain(request);
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
		return refusal_say(call, arguments->domain, "attach",
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
			strcmp(request->alias, arguments->alias) != 0))
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
	return refuse_call(tdid, call, domain, arguments->device,
			   "another attach of it is under way. Try again when that is over");
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

static int on_end(sd_event_source *source, void *userdata)
{
	request_end(userdata);
	return 0;
}

/* The assignment's own record is written in this turn of the loop. */
static void seen(AttachRequest *request, Assignment *a)
{
	move_to(request, a);
	request->stage = STAGE_SEEN;
	if (sd_event_add_defer(request->requests->tdid->event, &request->end, on_end, request) < 0)
		log_error("%s: out of memory", request->alias);
}

void attach_requests_changed(AttachRequests *requests, Assignment *a, AssignmentState state,
			     uint64_t generation)
{
	Moment moment = { a, state, generation };

	for (AttachRequest *q = requests->first; q; q = q->next)
		if ((q->stage == STAGE_PLUGGED || q->stage == STAGE_ASKED || q->doubtful) &&
		    state == ASSIGNMENT_ATTACHED && uuid_equal(q->record.domain, a->tvm->uuid) &&
		    bdf_equal(q->record.device, a->tdi->bdf) && strcmp(q->alias, a->alias) == 0) {
			seen(q, a);
			break;
		}
	timed_calls_each(requests->calls, a, settle, &moment);
}

void attach_requests_tvm_ended(AttachRequests *requests, const Tvm *tvm)
{
	AttachRequest *next;

	for (AttachRequest *q = requests->first; q; q = next) {
		next = q->next;
		if (q->stage != STAGE_SEEN && uuid_equal(q->record.domain, tvm->uuid) &&
		    (q->record.pid == tvm->pid || !q->record.pid))
			request_refuse(q, "the domain has ended meanwhile. Start it first");
	}
}

/* --- restarts --- */

static Tvm *find_tvm(Tdid *tdid, const AttachRecord *record)
{
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		if (uuid_equal(tvm->uuid, record->domain) && tvm->pid == record->pid)
			return tvm;
	return NULL;
}

static int restore(Tdid *tdid, const AttachRecord *record, void *userdata)
{
	AttachRequests *requests = userdata;
	Tvm *tvm = find_tvm(tdid, record);
	Assignment *a = tvm ? registry_find_assignment(tdid->registry, tvm, record->alias,
						       record->device)
			    : NULL;
	AttachRequest *request;

	if (!tvm || (a && attach_progress(engine_assignment(tdid->engine, a->id)->state) >= 0)) {
		if (a && client_token_set(&a->attach_token, record->token.text,
					  record->token.uid) >= 0)
			records_write_assignment(tdid, a);
		attach_record_remove(tdid, record);
		return 0;
	}
	request = calloc(1, sizeof(*request));
	if (!request)
		return -ENOMEM;
	*request = (AttachRequest){ .requests = requests,
				    .stage = STAGE_ASKED,
				    .doubtful = true,
				    .named = true,
				    .record = *record,
				    .alias = strdup(record->alias),
				    .next = requests->first };
	requests->first = request;
	request->record.alias = request->alias;
	request->record.token.text = NULL;
	if (!request->alias)
		return -ENOMEM;
	return client_token_set(&request->record.token, record->token.text, record->token.uid);
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
		r = attach_records_each(tdid, restore, requests, ret_error);
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
	while (requests->first)
		request_free(requests->first);
	free(requests);
	return NULL;
}
