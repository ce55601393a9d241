/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls go by names, not by objects: what they wait for may not be there yet, or be there again as
 * another object, while a DSM or TDI (timed-calls.c) is there as long as tdid runs.
 *
 * libvirt may know more than tdid: virsh attach-device has returned, and its event is still on its
 * way. That an assignment cannot get there is therefore believed only when its domain has been read
 * once more.
 */
#include "daemon/wait-requests.h"

#include "daemon/domains.h"
#include "daemon/wait-goal.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS_MAX	    (INT64_C(1000) * 3600 * 24 * 365)
#define TIMER_ACCURACY_USEC 1000

typedef struct Waiter Waiter;

struct Waiter {
	WaitRequests *requests;
	VarlinkCall *call;
	char *domain, *name;
	uint32_t wanted; /* a bit for each state */
	bool known;	 /* its domain was, when the call came: it is no mistyped name */
	bool seen;	 /* it has been on its way since the call */
	uint64_t read;	 /* the read of its domain that has to be over; 0: none */
	bool doomed;	 /* it could not get there any more, from here: */
	AssignmentState doomed_state;
	json_object *doomed_as; /* the assignment as it was then */
	sd_event_source *timer;
	Waiter *next;
};

struct WaitRequests {
	Tdid *tdid;
	Waiter *first;
	size_t n;
};

int wait_requests_new(WaitRequests **ret, Tdid *tdid)
{
	WaitRequests *requests = calloc(1, sizeof(*requests));

	if (!requests)
		return -ENOMEM;
	requests->tdid = tdid;
	*ret = requests;
	return 0;
}

static void waiter_free(Waiter *waiter)
{
	Waiter **link = &waiter->requests->first;

	while (*link != waiter)
		link = &(*link)->next;
	*link = waiter->next;
	waiter->requests->n--;
	sd_event_source_disable_unref(waiter->timer);
	varlink_call_on_gone(waiter->call, NULL, NULL);
	varlink_call_unref(waiter->call);
	free(waiter->domain);
	free(waiter->name);
	json_object_put(waiter->doomed_as);
	free(waiter);
}

WaitRequests *wait_requests_free(WaitRequests *requests)
{
	if (!requests)
		return NULL;
	while (requests->first)
		waiter_free(requests->first);
	free(requests);
	return NULL;
}

size_t wait_requests_count(const WaitRequests *requests)
{
	return requests->n;
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	waiter_free(userdata);
}

/* What has that name now; *ret is its other half. NULL: nothing. */
static const EngineAssignment *find(const Waiter *waiter, const Assignment **ret)
{
	Tdid *tdid = waiter->requests->tdid;
	const Assignment *a = assignment_view_find(tdid, waiter->domain, waiter->name);

	*ret = a;
	return a ? engine_assignment(tdid->engine, a->id) : NULL;
}

/* --- answers; each ends the waiter --- */

static void end(Waiter *waiter, int r)
{
	if (r < 0 && r != -ECONNRESET)
		log_error("%s/%s: Wait cannot be answered: %s", waiter->domain, waiter->name,
			  strerror(-r));
	waiter_free(waiter);
}

static void answer_there(Waiter *waiter, const Assignment *a, const Moment *moment)
{
	json_object *o = NULL;
	int r = a ? assignment_view_to_json(waiter->requests->tdid, a, moment, &o) : 0;

	end(waiter, r < 0 ? r : varlink_call_replyb(waiter->call, J_TAKE("assignment", o)));
}

static const char *way_out(AssignmentState state)
{
	switch (state) {
	case ASSIGNMENT_QUARANTINED: return "'tdictl clear' is the way out";
	case ASSIGNMENT_HELD: return "Look into that, and detach it";
	case ASSIGNMENT_RELEASED: return "It has been taken out of the domain";
	default: return "Look into that, and attach it again";
	}
}

static void answer_never(Waiter *waiter)
{
	_cleanup_free_ char *message = NULL, *wanted = wait_goal_words(waiter->wanted);
	const char *state = assignment_state_name(waiter->doomed_state);
	const char *reason = json_get_string(waiter->doomed_as, "reason");
	int r = asprintf(&message, "%s/%s: it is %s%s%s, and does not become %s by itself. %s",
			 waiter->domain, waiter->name, state, reason ? ": " : "", reason ?: "",
			 wanted ?: "?", way_out(waiter->doomed_state));

	if (r < 0)
		message = NULL;
	end(waiter, r < 0 ? -ENOMEM
			  : varlink_call_errorb(waiter->call, "NotReached",
						J_REF("assignment", waiter->doomed_as),
						J_STRING("message", message)));
}

static void answer_timed_out(Waiter *waiter)
{
	const Assignment *a;
	const EngineAssignment *e = find(waiter, &a);
	_cleanup_free_ char *message = NULL, *wanted = wait_goal_words(waiter->wanted);
	const char *state = e ? assignment_state_name(e->state) : NULL;
	const char *reason = e ? a->reason : NULL;
	int r = asprintf(&message, "%s/%s: it is not %s in time: it is %s%s%s", waiter->domain,
			 waiter->name, wanted ?: "?", state ?: "not there", reason ? ": " : "",
			 reason ?: "");

	if (r < 0)
		message = NULL;
	end(waiter, r < 0 ? -ENOMEM
			  : varlink_call_errorb(
				    waiter->call, "TimedOut", J_STRING("domain", waiter->domain),
				    J_STRING("name", waiter->name), J_STRING("state", state),
				    J_STRING("reason", reason), J_STRING("message", message)));
}

/* --- what has become of it --- */

static void doom(Waiter *waiter, const Assignment *a, AssignmentState state, const Moment *moment)
{
	Domain *domain = a->tvm->domain;
	json_object *o;
	int r = assignment_view_to_json(waiter->requests->tdid, a, moment, &o);

	if (r < 0) {
		end(waiter, r);
		return;
	}
	waiter->doomed = true;
	waiter->doomed_state = state;
	json_object_put(waiter->doomed_as);
	waiter->doomed_as = o;
	if (waiter->read)
		return;
	if (domain) {
		/* One under way may have begun too early; another one follows it. */
		waiter->read = domain->reads_begun + 1;
		domains_read(waiter->requests->tdid, domain);
	}
	if (!domain || !domain->reading)
		answer_never(waiter);
}

static void consider(Waiter *waiter, const Assignment *a, AssignmentState state,
		     const Moment *moment)
{
	switch (wait_goal_judge(waiter->wanted, state, waiter->seen)) {
	case WAIT_THERE: answer_there(waiter, a, moment); break;
	case WAIT_NEVER: doom(waiter, a, state, moment); break;
	case WAIT_ON:
		waiter->doomed = false;
		waiter->seen |= state != ASSIGNMENT_RELEASED;
		break;
	}
}

/* Nothing has that name: it is not there yet, or not any more. */
static void consider_absent(Waiter *waiter)
{
	if (waiter->known && wait_goal_has(waiter->wanted, ASSIGNMENT_RELEASED))
		answer_there(waiter, NULL, NULL);
	else if (waiter->doomed)
		answer_never(waiter);
	else if (!assignment_view_has_domain(waiter->requests->tdid, waiter->domain))
		end(waiter, varlink_call_errorb(waiter->call, "NoSuchDomain",
						J_STRING("domain", waiter->domain)));
}

static void look(Waiter *waiter)
{
	const Assignment *a;
	const EngineAssignment *e = find(waiter, &a);

	if (e)
		consider(waiter, a, e->state, NULL);
	else
		consider_absent(waiter);
}

/* libvirt has no news that would change it. */
static void confirm(Waiter *waiter)
{
	const Assignment *a;
	const EngineAssignment *e = find(waiter, &a);

	waiter->read = 0;
	if (waiter->doomed &&
	    (!e || wait_goal_judge(waiter->wanted, e->state, waiter->seen) == WAIT_NEVER))
		answer_never(waiter);
	else
		look(waiter);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	answer_timed_out(userdata);
	return 0;
}

static int waiter_new(WaitRequests *requests, VarlinkCall *call, json_object *parameters,
		      WaitGoal wanted, Waiter **ret)
{
	Waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	waiter->requests = requests;
	waiter->call = varlink_call_ref(call);
	waiter->wanted = wanted;
	waiter->domain = strdup(json_get_string(parameters, "domain"));
	waiter->name = strdup(json_get_string(parameters, "name"));
	waiter->next = requests->first;
	requests->first = waiter;
	requests->n++;
	varlink_call_on_gone(call, on_gone, waiter);
	if (!waiter->domain || !waiter->name) {
		waiter_free(waiter);
		return -ENOMEM;
	}
	waiter->known = assignment_view_has_domain(requests->tdid, waiter->domain);
	*ret = waiter;
	return 0;
}

int wait_requests_take(WaitRequests *requests, VarlinkCall *call, json_object *parameters)
{
	int64_t timeout = json_get_int(parameters, "timeout_ms", INT64_MIN);
	Waiter *waiter;
	WaitGoal wanted;
	int r = 0;

	if (wait_goal_parse(json_get_array(parameters, "states"), &wanted) < 0)
		return varlink_call_invalid_parameter(call, "states");
	if (timeout != INT64_MIN && (timeout < 0 || timeout > TIMEOUT_MS_MAX))
		return varlink_call_invalid_parameter(call, "timeout_ms");
	r = waiter_new(requests, call, parameters, wanted, &waiter);
	if (r < 0)
		return r;
	if (timeout != INT64_MIN)
		r = sd_event_add_time_relative(requests->tdid->event, &waiter->timer,
					       CLOCK_BOOTTIME, (uint64_t)timeout * 1000,
					       TIMER_ACCURACY_USEC, on_timeout, waiter);
	if (r < 0)
		waiter_free(waiter);
	else
		look(waiter);
	return r;
}

/* --- what happens --- */

void wait_requests_state(WaitRequests *requests, const Assignment *a, const Moment *moment)
{
	Waiter *next;

	for (Waiter *w = requests->first; w; w = next) {
		next = w->next;
		if (!assignment_view_is_of(a, w->domain) ||
		    assignment_view_find(requests->tdid, w->domain, w->name) != a)
			continue;
		consider(w, a, moment->state, moment);
	}
}

void wait_requests_domain_read(WaitRequests *requests, const Domain *domain)
{
	/* One that libvirt could not be asked for any more does not come. */
	bool is_over = domain->reads_ended == domain->reads_begun;
	char uuid[UUID_STRING_SIZE];
	Waiter *next;

	if (domain->reading)
		return;
	uuid_format(domain->uuid, uuid);
	for (Waiter *w = requests->first; w; w = next) {
		next = w->next;
		if (w->read && (is_over || domain->reads_ended >= w->read) &&
		    assignment_view_domain_is(w->domain, uuid, domain->name))
			confirm(w);
	}
}

void wait_requests_domain_gone(WaitRequests *requests)
{
	Waiter *next;

	for (Waiter *w = requests->first; w; w = next) {
		next = w->next;
		if (!assignment_view_has_domain(requests->tdid, w->domain))
			look(w);
	}
}
