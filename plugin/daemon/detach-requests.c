/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that runs the device, and whose agent is there, is asked to release it first: the agent
 * unbinds the driver and revokes to the TSM, at whose word the engine unbinds and has the device
 * taken out. It has ten seconds for that, or half of the caller's time.
 *
 * Else, and after that, libvirt is asked to take the device out of the live domain, as by 'virsh
 * detach-device': the guest lets it go in its own time, QEMU tells, the engine unbinds, and the
 * assignment is released. A request ends when that has happened, or cannot; and when its time is
 * over, because what was asked of the guest then stands without us.
 *
 * "Busy" is not a no: another job of the domain, or a guest whose slot still blinks from the attach
 * (5 s, pciehp); nor is a libvirt that is away or does not answer. Nothing tells when that is over,
 * so it is asked again every second until the request's time is over. While its DSM is drained a
 * request starts anew instead of ending.
 */
#include "daemon/detach-requests.h"

#include "daemon/assignment-view.h"
#include "daemon/assignments-service.h"
#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/guest-port.h"
#include "daemon/records.h"
#include "daemon/refusal.h"
#include "daemon/timed-calls.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS   60000
#define DRAIN_USEC   (300 * UINT64_C(1000000))
#define AGAIN_USEC   UINT64_C(1000000)
#define RELEASE_USEC (10 * UINT64_C(1000000))

typedef struct DetachRequest DetachRequest;

/* libvirt's answer may come after the request's end. */
typedef struct Asking {
	DetachRequest *request; /* NULL: that was it */
} Asking;

struct DetachRequest {
	DetachRequests *requests;
	Assignment *assignment;
	uint64_t until_usec; /* CLOCK_BOOTTIME */
	bool guest_asked;
	bool of_caller; /* not only of a drain */
	bool is_taken;	/* libvirt has said that it does it */
	char *not_yet;	/* why it has not; NULL: it has not said no */
	bool is_reset;	/* its guest boots anew: it comes back with the next read */
	Asking *asking;
	sd_event_source *again; /* libvirt is asked then */
	sd_event_source *end;	/* at until_usec */
	DetachRequest *next;
};

struct DetachRequests {
	Tdid *tdid;
	TimedCalls *calls;
	DetachFailed failed;
	DetachRequest *first;
};

static void request_free(DetachRequest *request)
{
	DetachRequest **link = &request->requests->first;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	if (request->asking)
		request->asking->request = NULL;
	sd_event_source_disable_unref(request->again);
	sd_event_source_disable_unref(request->end);
	free(request->not_yet);
	free(request);
}

static DetachRequest *find(DetachRequests *requests, const Assignment *a)
{
	for (DetachRequest *q = requests->first; q; q = q->next)
		if (q->assignment == a)
			return q;
	return NULL;
}

bool detach_requests_has(DetachRequests *requests, const Assignment *a)
{
	return find(requests, a);
}

/* --- answers --- */

static char *title(const Assignment *a)
{
	char uuid[UUID_STRING_SIZE], *text;

	if (asprintf(&text, "%s/%s",
		     a->tvm->domain ? a->tvm->domain->name : uuid_format(a->tvm->uuid, uuid),
		     a->alias) < 0)
		return NULL;
	return text;
}

static int refuse_call(VarlinkCall *call, const Assignment *a, const char *why)
{
	_cleanup_free_ char *object = title(a);

	return object ? refusal_say(call, object, "detach", "%s", why) : -ENOMEM;
}

typedef struct DetachMoment {
	Assignment *a;
	AssignmentState state;
	uint64_t generation;
	const char *why; /* it cannot be done */
} DetachMoment;

/* Of one whose guest was reset it is not: the device is still there. */
static bool is_over(const Assignment *a, AssignmentState state)
{
	return !a->reset && (state == ASSIGNMENT_RELEASED || state == ASSIGNMENT_FAILED);
}

static int answer_quarantined(Tdid *tdid, VarlinkCall *call, const DetachMoment *moment,
			      json_object *o)
{
	const Assignment *a = moment->a;
	_cleanup_free_ char *message = NULL, *object = title(a);
	char device[BDF_STRING_SIZE];

	if (!object ||
	    asprintf(&message,
		     "%s: detach: it is quarantined: %s. 'tdictl clear %s' is the way out", object,
		     a->reason ?: "what the TSM holds of it is not known",
		     bdf_format(a->tdi->bdf, device)) < 0)
		message = NULL;
	return varlink_call_errorb(call, "NotReached", J_REF("assignment", o),
				   J_STRING("message", message ?: "it is quarantined"));
}

static int settle(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const DetachMoment *moment = userdata;
	_cleanup_(json_unrefp) json_object *o = NULL;
	int r;

	if (moment->why)
		return refuse_call(waiting->call, moment->a, moment->why);
	r = assignment_view_to_json(tdid, moment->a, &(Moment){ moment->state, moment->generation },
				    &o);
	if (r < 0)
		return r;
	if (is_over(moment->a, moment->state))
		return varlink_call_replyb(waiting->call, J_REF("assignment", o));
	if (moment->state == ASSIGNMENT_QUARANTINED)
		return answer_quarantined(tdid, waiting->call, moment, o);
	if (varlink_call_is_more(waiting->call))
		varlink_call_notifyb(waiting->call, J_REF("assignment", o));
	return 1;
}

/* Nothing is done under it. */
static void forget_token(Tdid *tdid, Assignment *a)
{
	if (!a->detach_pending)
		return;
	a->detach_pending = false;
	client_token_set(&a->detach_token, NULL, 0);
	records_write_assignment(tdid, a);
}

static void fail(DetachRequest *request, const char *why)
{
	DetachRequests *requests = request->requests;
	DetachMoment moment = { .a = request->assignment, .why = why };
	_cleanup_free_ char *object = title(moment.a);

	log_warning("%s: detach: %s", object ?: "?", why);
	request_free(request);
	forget_token(requests->tdid, moment.a);
	timed_calls_each(requests->calls, moment.a, settle, &moment);
	requests->failed(requests->tdid, moment.a, why);
}

static int say_timed_out(char **ret, Tdid *tdid, const TimedCall *waiting)
{
	const Assignment *a = waiting->object;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	const DetachRequest *request =
		find(assignments_service_detach_requests(tdid->assignments), a);
	const char *state = assignment_state_name(e->state);
	double seconds = (double)waiting->timeout_usec / 1e6;
	_cleanup_free_ char *object = title(a);

	if (!object)
		return -ENOMEM;
	if (request && request->not_yet)
		return asprintf(ret,
				"%s: detach: after %.1f s it is %s, and libvirt has not taken it: "
				"%s. Ask again",
				object, seconds, state, request->not_yet);
	return asprintf(ret,
			"%s: detach: after %.1f s it is %s%s. What was asked for stands: ask "
			"again, or look into the guest; to stop the domain takes it back in any "
			"case",
			object, seconds, state,
			e->present ? ", and the guest has not let it go" : "");
}

static int on_timed_out(Tdid *tdid, const TimedCall *waiting)
{
	const Assignment *a = waiting->object;
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	_cleanup_(json_unrefp) json_object *o = NULL;
	_cleanup_free_ char *message = NULL;
	int r = assignment_view_to_json(tdid, a, &(Moment){ e->state, e->generation }, &o);

	if (r >= 0 && say_timed_out(&message, tdid, waiting) < 0) {
		message = NULL;
		r = -ENOMEM;
	}
	return r < 0 ? r
		     : varlink_call_errorb(waiting->call, "TimedOut", J_REF("assignment", o),
					   J_STRING("message", message));
}

/* --- libvirt --- */

static void ask(DetachRequest *request);

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	DetachRequest *request = userdata;

	request->again = sd_event_source_disable_unref(request->again);
	ask(request);
	return 0;
}

static void ask_after(DetachRequest *request, uint64_t usec)
{
	request->again = sd_event_source_disable_unref(request->again);
	if (sd_event_add_time_relative(request->requests->tdid->event, &request->again,
				       CLOCK_BOOTTIME, usec, 0, on_again, request) < 0)
		log_error("%s: detach: out of memory", request->assignment->alias);
}

/* Once for a request. */
static bool ask_guest(DetachRequest *request)
{
	Assignment *a = request->assignment;
	const EngineAssignment *e = engine_assignment(request->requests->tdid->engine, a->id);
	uint64_t now = timeline_now();
	uint64_t left = request->until_usec > now ? request->until_usec - now : 0;

	if (request->guest_asked || e->state != ASSIGNMENT_RUNNING ||
	    !guest_port_has_session(a->tvm->port))
		return false;
	request->guest_asked = true;
	director_mark(request->requests->tdid, a, "guest asked to release it", NULL);
	guest_port_tell_withdrawn(a, e->generation, "it is to be detached");
	ask_after(request, left / 2 < RELEASE_USEC ? left / 2 : RELEASE_USEC);
	return true;
}

/* What was asked for stands without it. The read gives the assignment its own policy back. */
static void let_be(DetachRequest *request)
{
	Tdid *tdid = request->requests->tdid;
	Domain *domain = request->assignment->tvm->domain;

	request_free(request);
	if (domain)
		domains_read(tdid, domain);
}

/* As with the engine's own detach, domain-detach.c. */
static bool is_for_now(int r)
{
	return r == VMM_DETACH_BUSY || r == -ENOTCONN || r == -ETIMEDOUT || r == -EHOSTUNREACH;
}

static void not_yet(DetachRequest *request, int r, const char *message)
{
	const char *why = message ?: strerror(r < 0 ? -r : EBUSY);

	if (!request->of_caller && !request->assignment->dsm->drained) {
		let_be(request);
		return;
	}
	free(request->not_yet);
	request->not_yet = strdup(why);
	log_info("%s: not detached yet: %s", request->assignment->alias, why);
	ask_after(request, AGAIN_USEC);
}

static void on_detached(int r, const char *message, void *userdata)
{
	_cleanup_free_ Asking *asking = userdata;
	DetachRequest *request = asking->request;
	_cleanup_free_ char *why = NULL;
	Domain *domain;

	if (!request)
		return;
	request->asking = NULL;
	domain = request->assignment->tvm->domain;
	if (r == VMM_DETACH_REQUESTED) {
		request->is_taken = true;
		free(request->not_yet);
		request->not_yet = NULL;
		return;
	}
	if (r == VMM_DETACH_GONE && domain) {
		domains_read(request->requests->tdid, domain);
		return;
	}
	if (is_for_now(r)) {
		not_yet(request, r, message);
		return;
	}
	if (asprintf(&why, "libvirt: %s. Look into that and ask again",
		     message ?: strerror(r < 0 ? -r : EIO)) < 0)
		why = NULL;
	fail(request, why ?: "libvirt refused");
}

static void ask(DetachRequest *request)
{
	Assignment *a = request->assignment;
	Tdid *tdid = request->requests->tdid;
	char uuid[UUID_STRING_SIZE], device[BDF_STRING_SIZE], why[128];
	int r = -ENOMEM;

	/* It is gone from there, and being unbound. */
	if (!engine_assignment(tdid->engine, a->id)->present || request->asking ||
	    ask_guest(request))
		return;
	request->asking = calloc(1, sizeof(*request->asking));
	if (request->asking) {
		request->asking->request = request;
		r = vmm_detach(tdid->vmm, uuid_format(a->tvm->uuid, uuid), a->alias,
			       bdf_format(a->tdi->bdf, device), 0, on_detached, request->asking);
	}
	if (r >= 0)
		return;
	free(request->asking);
	request->asking = NULL;
	if (is_for_now(r)) {
		not_yet(request, r, NULL);
		return;
	}
	snprintf(why, sizeof(why), "libvirt cannot be asked: %s. Try again", strerror(-r));
	fail(request, why);
}

static int on_end(sd_event_source *source, uint64_t usec, void *userdata);

static int extend(DetachRequest *request, uint64_t usec)
{
	uint64_t until_usec = timeline_now() + usec;
	int r;

	if (request->until_usec >= until_usec)
		return 0;
	request->until_usec = until_usec;
	request->end = sd_event_source_disable_unref(request->end);
	r = sd_event_add_time(request->requests->tdid->event, &request->end, CLOCK_BOOTTIME,
			      until_usec, 1000, on_end, request);
	/* A caller whose time is over as well is answered first. */
	return r < 0 ? r : sd_event_source_set_priority(request->end, SD_EVENT_PRIORITY_NORMAL + 1);
}

/* Its caller's time is over; a drain's is not until it is ended. */
static int on_end(sd_event_source *source, uint64_t usec, void *userdata)
{
	DetachRequest *request = userdata;
	Assignment *a = request->assignment;

	if (!a->dsm->drained || a->dsm->drain_stuck) {
		let_be(request);
		return 0;
	}
	log_warning("%s: not detached in time; its DSM is drained, so it is asked for anew",
		    a->alias);
	request->guest_asked = request->of_caller = false;
	if (extend(request, DRAIN_USEC) < 0)
		fail(request, "out of memory");
	else if (!request->again)
		ask(request);
	return 0;
}

static int begin(DetachRequests *requests, Assignment *a, uint64_t usec, DetachRequest **ret)
{
	DetachRequest *request = calloc(1, sizeof(*request));
	int r;

	if (!request)
		return -ENOMEM;
	*request =
		(DetachRequest){ .requests = requests, .assignment = a, .next = requests->first };
	requests->first = request;
	r = extend(request, usec);
	if (r < 0) {
		request_free(request);
		return r;
	}
	*ret = request;
	return 0;
}

void detach_requests_start(DetachRequests *requests, Assignment *a)
{
	const EngineAssignment *e = engine_assignment(requests->tdid->engine, a->id);
	DetachRequest *request = find(requests, a);
	int r;

	if (!e->present)
		return;
	a->detach_again = false;
	r = request ? extend(request, DRAIN_USEC) : begin(requests, a, DRAIN_USEC, &request);
	if (r < 0)
		requests->failed(requests->tdid, a, "out of memory");
	else if (!request->again)
		ask(request);
}

void detach_requests_undrained(DetachRequests *requests, const Dsm *dsm)
{
	DetachRequest *next;

	for (DetachRequest *q = requests->first; q; q = next) {
		next = q->next;
		if (q->assignment->dsm == dsm && !q->of_caller && !q->is_taken && !q->asking)
			let_be(q);
	}
}

/* --- the call --- */

static int no_such_assignment(VarlinkCall *call, const char *domain, const char *name)
{
	return varlink_call_errorb(call, "NoSuchAssignment", J_STRING("domain", domain),
				   J_STRING("name", name));
}

/* On disk before anybody is asked. While one is under way the first of several counts. */
static int take_token(DetachRequests *requests, Assignment *a, const char *token, uid_t uid)
{
	int r;

	if (a->detach_pending &&
	    (find(requests, a) || client_token_is(&a->detach_token, token, uid)))
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

static int refuse_record(VarlinkCall *call, const Assignment *a, int r)
{
	_cleanup_free_ char *why = NULL;

	if (asprintf(&why,
		     "its record cannot be written to %s: %s. Nothing was asked for; make room "
		     "there, and ask again",
		     a->tdid->config->records, strerror(-r)) < 0)
		why = NULL;
	return refuse_call(call, a, why ?: "its record cannot be written");
}

static int wait_for(DetachRequests *requests, Assignment *a, int64_t timeout_ms, VarlinkCall *call)
{
	const struct ucred *peer = varlink_call_peer(call);
	DetachRequest *request = find(requests, a);
	uint64_t usec = (uint64_t)(timeout_ms ?: TIMEOUT_MS) * 1000;
	_cleanup_free_ char *object = title(a);
	bool is_new = !request;
	int r = 0;

	if (!request)
		r = begin(requests, a, usec, &request);
	if (r < 0)
		return r;
	request->of_caller = true;
	if (r >= 0)
		r = extend(request, usec);
	if (r >= 0)
		r = timed_calls_add(requests->calls, call, a, 0, timeout_ms, TIMEOUT_MS, NULL);
	if (r < 0 && is_new)
		request_free(request);
	if (r < 0)
		return r;
	log_info("%s: detach: asked for by uid %u", object ?: a->alias, (unsigned)peer->uid);
	/* One that libvirt was asked for before may have been forgotten by the guest. */
	if (!request->again)
		ask(request);
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
		return answer_quarantined(tdid, call, &moment, o);
	if ((is_over(a, e->state) && !e->present) ||
	    (!a->detach_pending &&
	     client_token_is(&a->detach_token, token, varlink_call_peer(call)->uid)))
		return varlink_call_replyb(call, J_REF("assignment", o));
	r = token ? take_token(requests, a, token, varlink_call_peer(call)->uid) : 0;
	if (r < 0)
		return refuse_record(call, a, r);
	return wait_for(requests, a, timeout_ms, call);
}

/* The guest may have released it: then the engine does the rest, unless it stays in the domain. */
static void follow(DetachRequest *request, AssignmentState state)
{
	if (request->assignment->reset) {
		request->is_reset = true;
		return;
	}
	/* The guest that was asked, and the slot that was told, are of the boot before. */
	if (request->is_reset && state != ASSIGNMENT_UNBINDING) {
		request->is_reset = request->is_taken = request->guest_asked = false;
		ask_after(request, state == ASSIGNMENT_DETACHING ? AGAIN_USEC : 0);
		return;
	}
	if (!request->guest_asked)
		return;
	if (state == ASSIGNMENT_UNBINDING)
		request->again = sd_event_source_disable_unref(request->again);
	else if (state != ASSIGNMENT_RUNNING)
		ask_after(request, state == ASSIGNMENT_DETACHING ? AGAIN_USEC : 0);
}

void detach_requests_changed(DetachRequests *requests, Assignment *a, AssignmentState state,
			     uint64_t generation)
{
	DetachRequest *request = find(requests, a);
	DetachMoment moment = { .a = a, .state = state, .generation = generation };

	/* The record of its state says that of the token already. */
	if (is_over(a, state))
		a->detach_pending = false;
	if (request && is_over(a, state)) {
		request_free(request);
	} else if (request && state == ASSIGNMENT_QUARANTINED) {
		request_free(request);
	} else if (request) {
		follow(request, state);
	}
	timed_calls_each(requests->calls, a, settle, &moment);
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
			fail(q, "the guest refuses to let it go. Stop what uses it there, and ask "
				"again");
			return;
		}
}

int detach_requests_new(DetachRequests **ret, Tdid *tdid, DetachFailed failed)
{
	static const TimedCallsOps ops = { on_timed_out, NULL };
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
		request_free(requests->first);
	free(requests);
	return NULL;
}
