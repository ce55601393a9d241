/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request is refused before the engine hears of it where the engine would do nothing, or not what
 * was asked for. Else it becomes an event, and the call waits until the DSM's state says how it
 * went:
 *
 *   connect: while connecting or reclaiming; connected is success
 *   reclaim: while reclaiming; idle, or connecting again for others, is success
 */
#include "daemon/dsm-requests.h"

#include "daemon/admission.h"
#include "daemon/inventory.h"
#include "daemon/refusal.h"

#include <errno.h>

/* --- refusals --- */

static Provider *provider_of_dsm(Tdid *tdid, Bdf bdf)
{
	const Dsm *known = registry_find_dsm(tdid->registry, bdf);
	const EngineDsm *e = known ? engine_dsm(tdid->engine, known->id) : NULL;

	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (provider_has_dsm(tdid->providers[i], bdf))
			return tdid->providers[i];
	/* No longer listed, but there is still something of it to be taken back. */
	return known && ((e && e->state != DSM_IDLE) || known->drained) ? known->provider : NULL;
}

/* The DSM of a function that is none itself, listed or not. */
static bool find_dsm_of(Tdid *tdid, Bdf function, Bdf *ret)
{
	Bdf zero = function;

	for (size_t i = 0; i < tdid->config->n_tsms; i++) {
		const ProviderDevice *device =
			provider_view_device(provider_view(tdid->providers[i]), function);

		if (!device || !provider_of_dsm(tdid, device->dsm))
			continue;
		*ret = device->dsm;
		return true;
	}
	zero.function = 0;
	*ret = zero;
	return provider_of_dsm(tdid, zero);
}

static int answer_no_dsm(Tdid *tdid, VarlinkCall *call, Bdf bdf, const char *step)
{
	char text[BDF_STRING_SIZE], object[BDF_STRING_SIZE];
	Bdf dsm;

	bdf_format(bdf, object);
	if (find_dsm_of(tdid, bdf, &dsm))
		return refusal_say(call, object, step,
				   "it is a function of the DSM %s. Name that one",
				   bdf_format(dsm, text));
	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (!provider_is_ready(tdid->providers[i]))
			return refusal_say(call, object, step,
					   "what serves it is not known while tsm %s is not "
					   "ready: %s. Try again when it is",
					   provider_title(tdid->providers[i]),
					   provider_trouble(tdid->providers[i]) ?: "?");
	return varlink_call_errorb(call, "NoSuchDevice", J_STRING("device", object));
}

static const Assignment *find_user(Tdid *tdid, const Dsm *dsm)
{
	const Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_dsm(dsm, &p));)
		if (assignment_state_needs_session(engine_assignment(tdid->engine, a->id)->state))
			return a;
	return NULL;
}

static int answer_in_use(Tdid *tdid, VarlinkCall *call, const Dsm *dsm, const Assignment *user)
{
	AssignmentState state = engine_assignment(tdid->engine, user->id)->state;
	char device[BDF_STRING_SIZE], uuid[UUID_STRING_SIZE];
	const char *domain =
		user->tvm->domain ? user->tvm->domain->name : uuid_format(user->tvm->uuid, uuid);

	bdf_format(user->tdi->bdf, device);
	if (state == ASSIGNMENT_QUARANTINED)
		return refusal_answer(call, dsm->bdf, VERB_RECLAIM,
				      "%s/%s (%s) is quarantined: what the TSM holds of it is not "
				      "known. 'tdictl clear %s' first",
				      domain, user->alias, device, device);
	return refusal_answer(call, dsm->bdf, VERB_RECLAIM, "%s/%s (%s) is %s. %s", domain,
			      user->alias, device, assignment_state_name(state),
			      state == ASSIGNMENT_UNBINDING ? "Try again when that is over"
							    : "Detach it first");
}

/* 1 when it has been refused. */
static int refuse_connect(Tdid *tdid, VarlinkCall *call, const Dsm *dsm, DsmState state)
{
	const Provider *rival = tdid_rival_of(tdid, dsm->provider, NULL, dsm->bdf);
	_cleanup_free_ char *why = rival ? admission_rivals(dsm->provider, rival) : NULL;
	int r = 0;

	if (rival && !why)
		return -ENOMEM;
	if (rival)
		r = refusal_answer(call, dsm->bdf, VERB_CONNECT, "%s", why);
	else if (state == DSM_QUARANTINED)
		r = refusal_answer(call, dsm->bdf, VERB_CONNECT,
				   "it is quarantined (%s). Reclaim it first",
				   dsm->reason ?: "the outcome of a verb is not known");
	else if (dsm->drained)
		r = refusal_answer(call, dsm->bdf, VERB_CONNECT,
				   "it is being drained. 'tdictl undrain' ends that");
	else if (state != DSM_CONNECTED && !provider_is_ready(dsm->provider))
		r = refusal_answer(call, dsm->bdf, VERB_CONNECT,
				   "tsm %s is not ready: %s. Try again when it is",
				   provider_title(dsm->provider),
				   provider_trouble(dsm->provider) ?: "?");
	else
		return 0;
	return r < 0 ? r : 1;
}

static int refuse_reclaim(Tdid *tdid, VarlinkCall *call, const Dsm *dsm, DsmState state)
{
	const Assignment *user = find_user(tdid, dsm);
	int r = 0;

	if (user)
		r = answer_in_use(tdid, call, dsm, user);
	else if (state == DSM_CONNECTING)
		r = refusal_answer(call, dsm->bdf, VERB_RECLAIM,
				   "device_connect of it is under way. Try again when that is "
				   "over");
	else if (!provider_is_ready(dsm->provider))
		r = refusal_answer(call, dsm->bdf, VERB_RECLAIM,
				   "tsm %s is not ready: %s. Try again when it is",
				   provider_title(dsm->provider),
				   provider_trouble(dsm->provider) ?: "?");
	else if (state == DSM_IDLE &&
		 provider_view_dsm_is_connected(provider_view(dsm->provider), dsm->bdf))
		r = refusal_answer(call, dsm->bdf, VERB_RECLAIM,
				   "its session is not tdid's: somebody else has connected it. "
				   "Disconnect it in that way, or connect it here first");
	else
		return 0;
	return r < 0 ? r : 1;
}

/* --- outcomes --- */

/* dsm->reason is about the verb that has just ended, if that did not end well. */
static int answer_failed(const TimedCall *waiting, const Dsm *dsm, DsmState state)
{
	_cleanup_free_ char *message = NULL;
	char device[BDF_STRING_SIZE];
	const char *way;

	if (!dsm->reason)
		return refusal_answer(waiting->call, dsm->bdf, (Verb)waiting->goal,
				      "another request has taken it back. Ask again if that was "
				      "not meant");
	way = state == DSM_QUARANTINED ? "It is quarantined now"
	      : state == DSM_CONNECTED ? "It is still connected. Look into that and ask again"
				       : "It is not connected. Look into that and ask again";
	if (asprintf(&message, "%s. %s", dsm->reason, way) < 0) {
		message = NULL;
		return -ENOMEM;
	}
	return varlink_call_errorb(waiting->call, "Refused",
				   J_STRING("object", bdf_format(dsm->bdf, device)),
				   J_STRING("message", message));
}

static int answer_done(Tdid *tdid, VarlinkCall *call, const Dsm *dsm)
{
	json_object *o = NULL;
	int r = inventory_dsm_to_json(tdid, dsm->provider, dsm->bdf, &o);

	return r < 0 ? r : varlink_call_replyb(call, J_TAKE("dsm", o));
}

static int answer(Tdid *tdid, const TimedCall *waiting, void *userdata)
{
	const Dsm *dsm = waiting->object;
	const EngineDsm *e = engine_dsm(tdid->engine, dsm->id);
	DsmState state = e ? e->state : DSM_IDLE;
	bool connect = waiting->goal == VERB_CONNECT, done;

	if (state == DSM_RECLAIMING || (connect && state == DSM_CONNECTING))
		return 1;
	done = connect ? state == DSM_CONNECTED : state == DSM_IDLE || state == DSM_CONNECTING;
	return done ? answer_done(tdid, waiting->call, dsm) : answer_failed(waiting, dsm, state);
}

void dsm_requests_settle(TimedCalls *calls, const Dsm *dsm)
{
	timed_calls_each(calls, dsm, answer, NULL);
}

int dsm_requests_find(Tdid *tdid, VarlinkCall *call, const char *text, const char *step, Dsm **ret)
{
	Provider *provider;
	Bdf bdf;
	int r;

	if (bdf_parse(&bdf, text) < 0) {
		r = varlink_call_invalid_parameter(call, "dsm");
		return r < 0 ? r : 1;
	}
	provider = provider_of_dsm(tdid, bdf);
	if (!provider) {
		r = answer_no_dsm(tdid, call, bdf, step);
		return r < 0 ? r : 1;
	}
	r = registry_dsm(tdid->registry, bdf, ret);
	if (r >= 0 && !(*ret)->provider)
		(*ret)->provider = provider;
	return r < 0 ? r : 0;
}

int dsm_requests_take(Tdid *tdid, TimedCalls *calls, Verb verb, const char *text, VarlinkCall *call)
{
	const EngineDsm *e;
	DsmState state;
	Dsm *dsm;
	int r = dsm_requests_find(tdid, call, text, verb_name(verb), &dsm);

	if (r != 0)
		return r < 0 ? r : 0;
	e = engine_dsm(tdid->engine, dsm->id);
	state = e ? e->state : DSM_IDLE;
	r = verb == VERB_CONNECT ? refuse_connect(tdid, call, dsm, state)
				 : refuse_reclaim(tdid, call, dsm, state);
	if (r != 0)
		return r < 0 ? r : 0;
	if (verb == VERB_RECLAIM && !e)
		return answer_done(tdid, call, dsm); /* nothing was ever asked of it */
	if (verb == VERB_CONNECT)
		dsm->asked_by = varlink_call_peer(call)->uid;
	return timed_calls_begin(calls, call, dsm, dsm->bdf, verb,
				 &(EngineEvent){ .type = verb == VERB_CONNECT
								 ? EVENT_CONNECT_REQUESTED
								 : EVENT_RECLAIM_REQUESTED,
						 .id = dsm->id },
				 answer);
}
