/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each DSM has a queue of its own; the first of it may be sent when its provider is ready, and so
 * may those with force, wherever they stand. DSMs of which something has not been sent yet that may
 * be are due: only these are looked at. States of an operation:
 *
 *   waiting -> sent -> started -> done (removed)
 *
 * A lost connection takes sent and started ones back to waiting; the deadline of a started one goes
 * on. When only that connection was lost, and not the provider, a timer sends it again: there is no
 * event for "the provider takes connections again". What is given up is over here; what the
 * provider does with it all the same is found by the force of the clear that it takes. Everything
 * is driven from the loop: submit only arms a deferred source. That goes before what else there is
 * to be read, because verbs take long elsewhere, and after the providers' watches.
 *
 * What an earlier run of tdid, or this one over a connection that is lost, has sent is sent again
 * without a look at what Query says of operations: by its id the provider knows it, and tells what
 * comes of it, whether it is queued, has started, is done or never came.
 *
 * One that is called off is refused here if it was never sent. Else the provider is asked to take
 * it back as soon as it says that it is queued, which answers the verb itself as refused; that it
 * has started, or no answer, leaves it as it is. A connect may be needed again by the time it is
 * refused: it goes once more, under another id, and so does one that an earlier run of tdid may
 * have called off.
 */
#include "daemon/operations.h"

#include "common/expiry.h"
#include "daemon/provider.h"
#include "daemon/verb-message.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define AGAIN_USEC  (200 * UINT64_C(1000))
#define CANCEL_USEC (5 * UINT64_C(1000000))

struct Operation {
	Operations *operations;
	OperationRequest request;
	ProviderCall *call;
	bool sent; /* once, at least: that it cannot be sent now says nothing about it */
	bool started;
	bool queued; /* as the provider said in answer to `call` */
	bool called_off;
	ProviderCall *cancel;
	uint64_t begun_usec;   /* when it was sent, or said to have started; 0: neither */
	char *refusal;	       /* of an unbind that is asked again; NULL: none */
	unsigned int refusals; /* after which it was asked again */
	Expiry deadline;
	Operation *next; /* of its DSM */
	Operation *next_of_all, **link_of_all;
};

struct Operations {
	sd_event *event;
	Expiries deadlines; /* of those that have started */
	OperationHandlers handlers;
	void *userdata;
	Operation *all;
	Dsm *due, **last_due;
	size_t n_due, n_force;
	sd_event_source *deferred, *again;
};

static void operation_free(Operation *operation)
{
	*operation->link_of_all = operation->next_of_all;
	if (operation->next_of_all)
		operation->next_of_all->link_of_all = operation->link_of_all;
	provider_call_forget(operation->call);
	provider_call_forget(operation->cancel);
	expiry_end(&operation->deadline);
	free(operation->refusal);
	free(operation);
}

Operations *operations_free(Operations *operations)
{
	if (!operations)
		return NULL;
	while (operations->all) {
		operations->all->request.dsm->operations = NULL;
		operation_free(operations->all);
	}
	sd_event_source_disable_unref(operations->deferred);
	sd_event_source_disable_unref(operations->again);
	expiries_done(&operations->deadlines);
	sd_event_unref(operations->event);
	free(operations);
	return NULL;
}

static void arm(Operations *operations)
{
	sd_event_source_set_enabled(operations->deferred, SD_EVENT_ONESHOT);
}

static void add_due(Operations *operations, Dsm *dsm)
{
	if (!dsm->is_due) {
		dsm->is_due = true;
		dsm->next_due = NULL;
		*operations->last_due = dsm;
		operations->last_due = &dsm->next_due;
		operations->n_due++;
	}
}

static Dsm *take_due(Operations *operations)
{
	Dsm *dsm = operations->due;

	operations->due = dsm->next_due;
	if (!operations->due)
		operations->last_due = &operations->due;
	operations->n_due--;
	dsm->is_due = false;
	return dsm;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	Operations *operations = userdata;

	operations->again = sd_event_source_disable_unref(operations->again);
	arm(operations);
	return 0;
}

static void try_again(Operations *operations)
{
	int r;

	if (operations->again)
		return;
	r = sd_event_add_time_relative(operations->event, &operations->again, CLOCK_MONOTONIC,
				       AGAIN_USEC, AGAIN_USEC / 10, on_again, operations);
	if (r < 0)
		log_error("verbs that could not be sent: no timer can be set to send them again: "
			  "%s; the next verb, or a provider that comes, brings them along",
			  strerror(-r));
}

static bool may_be_sent(const Operation *operation)
{
	return !operation->call && (operation == operation->request.dsm->operations ||
				    verb_message_has_force(&operation->request));
}

static void take_out(Operation *operation)
{
	Operation **link = &operation->request.dsm->operations;

	while (*link != operation)
		link = &(*link)->next;
	*link = operation->next;
}

static void finish(Operation *operation, const OperationResult *result)
{
	Operations *operations = operation->operations;
	OperationRequest request = operation->request;
	OperationResult told = *result;

	told.called_off = operation->called_off && told.outcome == OUTCOME_REFUSED;
	told.timed = operation->begun_usec > 0 && !request.resumed && !told.called_off;
	told.duration_usec = told.timed ? boottime_usec() - operation->begun_usec : 0;
	take_out(operation);
	operations->n_force -= verb_message_has_force(&request);
	operation_free(operation);
	if (request.dsm->operations) {
		add_due(operations, request.dsm);
		arm(operations);
	}
	if (request.dsm->provider)
		provider_verb_answered(request.dsm->provider);
	operations->handlers.done(&request, &told, operations->userdata);
}

static void on_deadline(void *userdata)
{
	Operation *operation = userdata;
	_cleanup_free_ char *reason = NULL;

	if (asprintf(&reason, "no outcome within %" PRIu64 " ms of its start%s%s",
		     operation->operations->deadlines.length_usec / 1000,
		     operation->refusal ? ": " : "", operation->refusal ?: "") < 0)
		reason = NULL;
	finish(operation,
	       &(OperationResult){ .outcome = OUTCOME_UNKNOWN, .reason = reason ?: "timeout" });
}

static void started(Operation *operation)
{
	if (operation->started)
		return;
	operation->started = true;
	operation->called_off = false; /* too late */
	operation->cancel = provider_call_forget(operation->cancel);
	operation->begun_usec = boottime_usec();
	expiry_begin(&operation->deadline, &operation->operations->deadlines, operation->begun_usec,
		     on_deadline, operation);
	operation->operations->handlers.started(&operation->request,
						operation->operations->userdata);
}

/*
 * A TSM that cannot do anything just now refuses, and nothing is done. What is bound has to be
 * unbound all the same, so it is asked again until its deadline, which counts from here. Under
 * another id: the provider would answer a repeated one with the same refusal.
 */
static void unbind_later(Operation *operation, const VarlinkReply *reply, const char *error)
{
	char *reason = provider_reply_reason(reply, error), object[BDF_STRING_SIZE];

	if (!operation->refusal)
		log_warning("%s %s: tsm %s: %s; asked again until its deadline",
			    verb_name(operation->request.verb),
			    bdf_format(operation_object(&operation->request), object),
			    provider_title(operation->request.dsm->provider),
			    reason ?: "out of memory");
	free(operation->refusal);
	operation->refusal = reason;
	operation->refusals++;
	started(operation);
	add_due(operation->operations, operation->request.dsm);
	try_again(operation->operations);
}

/* Whether it was still queued there changes nothing any more. */
static void on_taken_back(const VarlinkReply *reply, const char *error, void *userdata)
{
}

/* What is queued behind something else must not be carried out when nobody expects it. */
static void take_back(const Operation *operation)
{
	Provider *provider = operation->request.dsm->provider;
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char number[VERB_MESSAGE_ID_SIZE];

	verb_message_id(number, &operation->request, operation->refusals);
	if (operation->call && json_build(&parameters, J_STRING("operation", number)) >= 0)
		provider_call(provider, "io.tdid.Tsm.Cancel", parameters, PROVIDER_CALL_OWN,
			      CANCEL_USEC, on_taken_back, NULL, NULL);
}

static Operation *find_of_tvm(const Operations *operations, const Tvm *tvm)
{
	for (Operation *o = operations->all; o; o = o->next_of_all)
		if (o->request.assignment && o->request.assignment->tvm == tvm)
			return o;
	return NULL;
}

void operations_give_up(Operations *operations, const Tvm *tvm, const char *reason)
{
	Operation *operation;

	while ((operation = find_of_tvm(operations, tvm))) {
		take_back(operation);
		finish(operation, &(OperationResult){ .outcome = operation->sent ? OUTCOME_UNKNOWN
										 : OUTCOME_REFUSED,
						      .reason = reason });
	}
}

static bool is_needed(const Operation *operation)
{
	const Operations *operations = operation->operations;

	return operations->handlers.needed(&operation->request, operations->userdata);
}

/* What has come of it is the verb's own answer to tell. */
static void on_cancelled(const VarlinkReply *reply, const char *error, void *userdata)
{
	Operation *operation = userdata;

	operation->cancel = NULL;
}

static void cancel(Operation *operation)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char number[VERB_MESSAGE_ID_SIZE], object[BDF_STRING_SIZE];
	int r;

	if (!operation->called_off || !operation->queued || operation->started ||
	    operation->cancel || is_needed(operation))
		return;
	verb_message_id(number, &operation->request, operation->refusals);
	r = json_build(&parameters, J_STRING("operation", number));
	if (r >= 0)
		r = provider_call(operation->request.dsm->provider, "io.tdid.Tsm.Cancel",
				  parameters, 0, CANCEL_USEC, on_cancelled, operation,
				  &operation->cancel);
	if (r < 0)
		log_warning("%s %s: cannot be called off: %s; it goes on",
			    verb_name(operation->request.verb),
			    bdf_format(operation_object(&operation->request), object),
			    strerror(-r));
}

/* As if it had not been: it was needed again before it could be refused. */
static bool connect_after_all(Operation *operation)
{
	bool doubtful =
		operation->called_off || (operation->request.resumed && operation->refusals == 0);

	if (operation->request.verb != VERB_CONNECT || !doubtful || operation->started ||
	    !is_needed(operation))
		return false;
	operation->called_off = false;
	operation->cancel = provider_call_forget(operation->cancel);
	operation->refusals++;
	add_due(operation->operations, operation->request.dsm);
	arm(operation->operations);
	return true;
}

static void on_reply(const VarlinkReply *reply, const char *error, void *userdata)
{
	Operation *operation = userdata;
	OperationResult result = { .outcome = OUTCOME_DONE };
	_cleanup_free_ char *reason = NULL;
	const char *state;

	if (reply->status >= 0 && !error && reply->continues) {
		const char *progress = json_get_string(reply->parameters, "progress");

		if (progress && strcmp(progress, "started") == 0)
			started(operation);
		operation->queued = progress && strcmp(progress, "queued") == 0;
		cancel(operation);
		return;
	}
	operation->call = NULL;
	operation->queued = false;
	operation->cancel = provider_call_forget(operation->cancel);
	if (reply->status == -ECONNRESET) {
		add_due(operation->operations, operation->request.dsm);
		try_again(operation->operations);
		return;
	}
	if (reply->status >= 0 && error && operation->request.verb == VERB_UNBIND &&
	    strcmp(error, "Refused") == 0) {
		unbind_later(operation, reply, error);
		return;
	}
	if (reply->status >= 0 && error && verb_message_is_refusal(error) &&
	    connect_after_all(operation))
		return;
	if (reply->status < 0 || error) {
		reason = provider_reply_reason(reply, error);
		result.outcome = reply->status >= 0 && verb_message_is_refusal(error)
					 ? OUTCOME_REFUSED
					 : OUTCOME_UNKNOWN;
		result.reason = reason ?: "out of memory";
		finish(operation, &result);
		return;
	}
	state = json_get_string(reply->parameters, "progress");
	if (!state || strcmp(state, "done") != 0) {
		finish(operation,
		       &(OperationResult){ .outcome = OUTCOME_UNKNOWN,
					   .reason =
						   "its last reply does not say that it is done" });
		return;
	}
	state = json_get_string(reply->parameters, "state");
	if (state && tdisp_state_parse(&result.state, state) < 0)
		result.state = TDISP_ERROR;
	if (operation->request.verb == VERB_UNBIND || operation->request.verb == VERB_CLEAR) {
		result.device_confirmed =
			verb_message_confirms(&operation->request, reply->parameters, &reason);
		if (!result.device_confirmed)
			result.reason = reason ?: "the device has not confirmed STOP";
	}
	finish(operation, &result);
}

static void send_operation(Operation *operation)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	int r = verb_message_build(&operation->request, operation->refusals, &parameters);

	if (r >= 0)
		r = provider_call(operation->request.dsm->provider,
				  verb_message_method(operation->request.verb), parameters,
				  VARLINK_CALL_MORE | PROVIDER_CALL_VERB, 0, on_reply, operation,
				  &operation->call);
	if (r >= 0) {
		operation->sent = true;
		operation->begun_usec = operation->begun_usec ?: boottime_usec();
	}
	/* A provider that has just gone away will be ready again; anything else is our own fault.
	 * What may have been done already is not refused for that. */
	else if (operation->sent || r == -ECONNREFUSED || r == -ENOENT || r == -ENOTCONN ||
		 r == -EAGAIN)
		try_again(operation->operations);
	else
		finish(operation,
		       &(OperationResult){ .outcome = OUTCOME_REFUSED, .reason = strerror(-r) });
}

/* Hardly ever there is one behind the first. */
static Operation *next_that_may_be(const Operations *operations, Operation *o)
{
	for (; o && !may_be_sent(o); o = o->next)
		if (operations->n_force == 0)
			return NULL;
	return o;
}

/* The first that was never sent, and need not be; or NULL. */
static Operation *find_needless(const Dsm *dsm)
{
	for (Operation *o = dsm->operations; o; o = o->next)
		if (o->called_off && !o->sent && !is_needed(o))
			return o;
	return NULL;
}

/* True: something could not be sent that may be. */
static bool send_what_may_be(const Operations *operations, Dsm *dsm)
{
	bool ready = dsm->provider && provider_is_ready(dsm->provider);

	for (Operation *o; (o = find_needless(dsm));)
		finish(o, &(OperationResult){ .outcome = OUTCOME_REFUSED,
					      .reason = "called off before it was sent" });

	for (Operation *o = dsm->operations, *next; ready && o; o = next) {
		o = next_that_may_be(operations, o);
		next = o ? o->next : NULL;
		if (o)
			send_operation(o);
	}
	return next_that_may_be(operations, dsm->operations);
}

static int on_deferred(sd_event_source *source, void *userdata)
{
	Operations *operations = userdata;

	/* What becomes due meanwhile arms this anew. */
	for (size_t n = operations->n_due; n > 0; n--) {
		Dsm *dsm = take_due(operations);

		if (send_what_may_be(operations, dsm))
			add_due(operations, dsm);
	}
	return 0;
}

int operations_new(Operations **ret, sd_event *event, uint64_t deadline_usec,
		   const OperationHandlers *handlers, void *userdata)
{
	_cleanup_(operations_freep) Operations *operations = calloc(1, sizeof(*operations));
	int r;

	if (!operations)
		return -ENOMEM;
	operations->event = sd_event_ref(event);
	operations->handlers = *handlers;
	operations->userdata = userdata;
	operations->last_due = &operations->due;
	r = sd_event_add_defer(event, &operations->deferred, on_deferred, operations);
	if (r >= 0)
		r = sd_event_source_set_priority(operations->deferred,
						 SD_EVENT_PRIORITY_IMPORTANT + 1);
	if (r >= 0)
		r = sd_event_source_set_enabled(operations->deferred, SD_EVENT_OFF);
	if (r >= 0)
		r = expiries_init(&operations->deadlines, event, "verbs", CLOCK_BOOTTIME,
				  deadline_usec);
	if (r < 0)
		return r;
	*ret = steal_ptr(operations);
	return 0;
}

int operations_submit(Operations *operations, const OperationRequest *request)
{
	Operation *operation = calloc(1, sizeof(*operation)), **link = &request->dsm->operations;

	if (!operation)
		return -ENOMEM;
	operation->operations = operations;
	operation->request = *request;
	/* An unbind has to be sent, whatever is in the way. */
	operation->sent = request->resumed || request->verb == VERB_UNBIND;
	operations->n_force += verb_message_has_force(request);
	operation->next_of_all = operations->all;
	operation->link_of_all = &operations->all;
	if (operations->all)
		operations->all->link_of_all = &operation->next_of_all;
	operations->all = operation;
	while (*link)
		link = &(*link)->next;
	*link = operation;
	add_due(operations, request->dsm);
	arm(operations);
	return 0;
}

void operations_call_off(Operations *operations, Dsm *dsm, const Assignment *assignment)
{
	for (Operation *o = dsm->operations; o; o = o->next) {
		if (o->request.assignment != assignment || o->request.verb == VERB_UNBIND ||
		    (!assignment && o->request.verb != VERB_CONNECT))
			continue;
		o->called_off = true;
		cancel(o);
		add_due(operations, dsm);
		arm(operations);
	}
}

void operations_provider_ready(Operations *operations)
{
	arm(operations);
}
