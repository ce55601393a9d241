/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As dsm-requests.c: a request is refused before the engine hears of it where the engine would do
 * nothing; else it becomes an event, and the call waits while the TDI is being cleared. Several may
 * wait for one unbind. What is not quarantined need not be cleared: that is success.
 */
#include "daemon/clear-requests.h"

#include "daemon/director.h"
#include "daemon/inventory.h"
#include "daemon/refusal.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

typedef struct Request Request;

struct Request {
	ClearRequests *requests;
	const Tdi *tdi;
	VarlinkCall *call;
	Request *next;
};

struct ClearRequests {
	Tdid *tdid;
	Request *first;
};

int clear_requests_new(ClearRequests **ret, Tdid *tdid)
{
	ClearRequests *requests = calloc(1, sizeof(*requests));

	if (!requests)
		return -ENOMEM;
	requests->tdid = tdid;
	*ret = requests;
	return 0;
}

static void request_free(Request *request)
{
	Request **link = &request->requests->first;

	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	varlink_call_on_gone(request->call, NULL, NULL);
	varlink_call_unref(request->call);
	free(request);
}

ClearRequests *clear_requests_free(ClearRequests *requests)
{
	if (!requests)
		return NULL;
	while (requests->first)
		request_free(requests->first);
	free(requests);
	return NULL;
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	request_free(userdata);
}

static TdiState state_of(const Tdid *tdid, const Tdi *tdi)
{
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;

	return e ? e->state : TDI_KNOWN;
}

static int answer_done(Tdid *tdid, VarlinkCall *call, const Provider *provider, Bdf device, Bdf dsm)
{
	json_object *o = NULL;
	int r = inventory_device_to_json(tdid, provider, device, dsm, &o);

	return r < 0 ? r : varlink_call_replyb(call, J_TAKE("device", o));
}

/* --- refusals --- */

static int answer_not_ready(VarlinkCall *call, Bdf device, const Provider *provider)
{
	return refusal_answer(call, device, VERB_CLEAR,
			      "tsm %s is not ready: %s. Try again when it is",
			      provider_title(provider), provider_trouble(provider) ?: "?");
}

static int answer_no_tdi(Tdid *tdid, VarlinkCall *call, Bdf device)
{
	char text[BDF_STRING_SIZE];

	bdf_format(device, text);
	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (provider_has_dsm(tdid->providers[i], device))
			return refusal_answer(call, device, VERB_CLEAR,
					      "it is no TDI but a DSM. 'tdictl reclaim %s' ends "
					      "its quarantine, if it is in one",
					      text);
	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (!provider_is_ready(tdid->providers[i]))
			return answer_not_ready(call, device, tdid->providers[i]);
	return varlink_call_errorb(call, "NoSuchDevice", J_STRING("device", text));
}

/* Of a quarantined one. 1 when it has been refused. */
static int refuse(Tdid *tdid, VarlinkCall *call, const Tdi *tdi, const Provider *provider)
{
	const EngineTdi *e = engine_tdi(tdid->engine, tdi->id);
	const Assignment *owner =
		e->owner != ENGINE_NONE ? registry_assignment_at(tdid->registry, e->owner) : NULL;
	AssignmentState state =
		owner ? engine_assignment(tdid->engine, owner->id)->state : ASSIGNMENT_RELEASED;
	int r;

	if (state != ASSIGNMENT_QUARANTINED && assignment_state_needs_session(state))
		r = refusal_answer(call, tdi->bdf, VERB_CLEAR, "%s/%s has it and is %s. %s",
				   owner->tvm->domain ? owner->tvm->domain->name : "a TVM",
				   owner->alias, assignment_state_name(state),
				   state == ASSIGNMENT_UNBINDING ? "Try again when that is over"
								 : "Detach it first");
	else if (!provider)
		r = refusal_answer(call, tdi->bdf, VERB_CLEAR,
				   "no TSM serves it any more, so nobody can say what is held of "
				   "it. A reboot of this host ends its quarantine");
	else if (!provider_is_ready(provider))
		r = answer_not_ready(call, tdi->bdf, provider);
	else
		return 0;
	return r < 0 ? r : 1;
}

/* --- outcomes --- */

static int answer_failed(const Request *request)
{
	const char *reason = request->tdi->reason ?: "its quarantine has not ended";
	char device[BDF_STRING_SIZE];

	return varlink_call_errorb(request->call, "Refused",
				   J_STRING("object", bdf_format(request->tdi->bdf, device)),
				   J_STRING("message", reason));
}

static void settle(Request *request)
{
	Tdid *tdid = request->requests->tdid;
	const Tdi *tdi = request->tdi;
	TdiState state = state_of(tdid, tdi);
	int r;

	if (state == TDI_CLEARING)
		return;
	r = state == TDI_KNOWN
		    ? answer_done(tdid, request->call, tdi->dsm->provider, tdi->bdf, tdi->dsm->bdf)
		    : answer_failed(request);
	if (r < 0 && r != -ECONNRESET)
		log_error("clear: cannot be answered: %s", strerror(-r));
	request_free(request);
}

void clear_requests_settle(ClearRequests *requests, const Tdi *tdi)
{
	Request *next;

	for (Request *r = requests->first; r; r = next) {
		next = r->next;
		if (r->tdi == tdi)
			settle(r);
	}
}

static int begin(ClearRequests *requests, const Tdi *tdi, VarlinkCall *call)
{
	Request *request = calloc(1, sizeof(*request));
	char device[BDF_STRING_SIZE];

	if (!request)
		return -ENOMEM;
	request->requests = requests;
	request->tdi = tdi;
	request->call = varlink_call_ref(call);
	request->next = requests->first;
	requests->first = request;
	varlink_call_on_gone(call, on_gone, request);
	log_info("clear %s: asked for by uid %u", bdf_format(tdi->bdf, device),
		 (unsigned)varlink_call_peer(call)->uid);
	director_event(requests->tdid,
		       &(EngineEvent){ .type = EVENT_CLEAR_REQUESTED, .id = tdi->id }, NULL);
	/* Should the engine not have taken it, nothing else would answer. */
	clear_requests_settle(requests, tdi);
	return 0;
}

int clear_requests_take(ClearRequests *requests, const char *text, VarlinkCall *call)
{
	Tdid *tdid = requests->tdid;
	Provider *provider;
	Tdi *tdi;
	Bdf bdf, dsm;
	int r = 0;

	if (bdf_parse(&bdf, text) < 0)
		return varlink_call_invalid_parameter(call, "device");
	tdi = registry_find_tdi(tdid->registry, bdf);
	provider = tdid_provider_of(tdid, bdf, &dsm);
	if (state_of(tdid, tdi) == TDI_KNOWN)
		return provider ? answer_done(tdid, call, provider, bdf, dsm)
				: answer_no_tdi(tdid, call, bdf);
	/* A record of before may not say whose it was. */
	if (provider)
		r = registry_dsm(tdid->registry, dsm, &tdi->dsm);
	if (r < 0)
		return r;
	if (provider && !tdi->dsm->provider)
		tdi->dsm->provider = provider;
	if (state_of(tdid, tdi) == TDI_QUARANTINED) {
		r = refuse(tdid, call, tdi, tdi->dsm ? tdi->dsm->provider : NULL);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return begin(requests, tdi, call);
}
