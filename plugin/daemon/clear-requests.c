/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As dsm-requests.c: a request is refused before the engine hears of it where the engine would do
 * nothing; else it becomes an event, and the call waits while the TDI is being cleared. Several may
 * wait for one unbind. What is not quarantined need not be cleared, and that is success; unless the
 * TSM holds it although no assignment has bound it, because the records of its bind were lost.
 */
#include "daemon/clear-requests.h"

#include "daemon/inventory.h"
#include "daemon/refusal.h"

#include <errno.h>

static TdiState state_of(const Tdid *tdid, const Tdi *tdi)
{
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;

	return e ? e->state : TDI_KNOWN;
}

static const EngineAssignment *find_owner(const Tdid *tdid, const Tdi *tdi)
{
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;

	return e && e->owner != ENGINE_NONE ? engine_assignment(tdid->engine, e->owner) : NULL;
}

/* The TSM holds it, in no bind that is on record here. */
static bool is_held_without_record(const Tdid *tdid, const Provider *provider, const Tdi *tdi,
				   Bdf bdf)
{
	const EngineAssignment *owner = find_owner(tdid, tdi);
	const ProviderDevice *device =
		provider ? provider_view_device(provider_view(provider), bdf) : NULL;

	return device && device->bound &&
	       (!owner || !assignment_state_needs_session(owner->state) ||
		owner->state == ASSIGNMENT_CONNECTING || owner->state == ASSIGNMENT_WAITING);
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

/* Of one that is to be cleared. 1 when it has been refused. */
static int refuse(Tdid *tdid, VarlinkCall *call, const Tdi *tdi, const Provider *provider)
{
	const EngineTdi *e = engine_tdi(tdid->engine, tdi->id);
	const Assignment *owner = e && e->owner != ENGINE_NONE
					  ? registry_assignment_at(tdid->registry, e->owner)
					  : NULL;
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

static int answer_failed(VarlinkCall *call, const Tdi *tdi)
{
	char device[BDF_STRING_SIZE];

	return varlink_call_errorb(
		call, "Refused", J_STRING("object", bdf_format(tdi->bdf, device)),
		J_STRING("message", tdi->reason ?: "its quarantine has not ended"));
}

static int answer(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const Tdi *tdi = waiting->object;
	TdiState state = state_of(tdid, tdi);

	if (state == TDI_CLEARING)
		return 1;
	return state == TDI_KNOWN ? answer_done(tdid, waiting->call, tdi->dsm->provider, tdi->bdf,
						tdi->dsm->bdf)
				  : answer_failed(waiting->call, tdi);
}

void clear_requests_settle(TimedCalls *calls, const Tdi *tdi)
{
	timed_calls_each(calls, tdi, answer, NULL);
}

int clear_requests_take(Tdid *tdid, TimedCalls *calls, const char *text, VarlinkCall *call)
{
	Provider *provider;
	Tdi *tdi;
	Bdf bdf, dsm;
	int r = 0;

	if (bdf_parse(&bdf, text) < 0)
		return varlink_call_invalid_parameter(call, "device");
	tdi = registry_find_tdi(tdid->registry, bdf);
	provider = tdid_provider_of(tdid, bdf, &dsm);
	if (state_of(tdid, tdi) == TDI_KNOWN && !is_held_without_record(tdid, provider, tdi, bdf))
		return provider ? answer_done(tdid, call, provider, bdf, dsm)
				: answer_no_tdi(tdid, call, bdf);
	if (!tdi)
		r = registry_tdi(tdid->registry, bdf, &tdi);
	/* A record of before may not say whose it was. */
	if (r >= 0 && provider)
		r = registry_dsm(tdid->registry, dsm, &tdi->dsm);
	if (r < 0)
		return r;
	if (provider && !tdi->dsm->provider)
		tdi->dsm->provider = provider;
	if (state_of(tdid, tdi) != TDI_CLEARING) {
		r = refuse(tdid, call, tdi, tdi->dsm ? tdi->dsm->provider : NULL);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return timed_calls_begin(calls, call, tdi, tdi->bdf, VERB_CLEAR,
				 &(EngineEvent){ .type = EVENT_CLEAR_REQUESTED, .id = tdi->id },
				 answer);
}
