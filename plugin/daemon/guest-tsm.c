/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/guest-tsm.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define CALLS_MAX     8	 /* of one guest */
#define CALLS_MAX_ALL 32 /* each is a connection, of which the provider takes so many */
#define TIMEOUT_USEC  (60 * UINT64_C(1000000)) /* it may wait for other DSMs' verbs */
/*
 * How long a request is held back when the TSM is not to be had: shorter than an agent waits for
 * an answer (10 s), but an agent asks only so often, and then gives up a TDI that runs. A provider
 * that is restarted ends its verb first, and every agent asks anew after a restart of tdid, when
 * the provider may not have been heard of yet. Once it is there it gets the request.
 */
#define HOLD_USEC (5 * UINT64_C(1000000))

/* The port may be closed or have another session when it is back. */
typedef struct GuestCall {
	GuestTsm *guest;
	ProviderCall *provider_call;
	bool is_sent; /* else it is held back */
	sd_event_source *hold;
	const char *reason; /* why it is held back */
	bool waits_for_place;
	json_object *asked;
	char session[GUEST_SESSION_LEN + 1];
	int64_t id;
	uint64_t round; /* in which it was carried last */
	struct GuestCall *next;
} GuestCall;

struct GuestTsm {
	Tdid *tdid;
	Tvm *tvm;
	void (*answered)(void *userdata, const GuestTsmAnswer *answer);
	void *userdata;
	unsigned int n_calls;
	uint64_t round;	  /* one for each time that a provider is ready */
	GuestCall *first; /* in the order of arrival */
	bool is_in_line;
	GuestTsm *next_in_line;
};

/* --- whose turn it is --- */

static int on_turn(sd_event_source *source, void *userdata);

/* Later, since whoever makes a place free may be ending its guest. */
static void look_for_place(Tdid *tdid)
{
	GuestTurns *turns = &tdid->guest_turns;
	int r = 0;

	if (!turns->first || turns->in_flight >= CALLS_MAX_ALL)
		return;
	if (!turns->next)
		r = sd_event_add_defer(tdid->event, &turns->next, on_turn, tdid);
	if (r >= 0)
		r = sd_event_source_set_enabled(turns->next, SD_EVENT_ONESHOT);
	if (r < 0)
		log_error("guests' TSM requests: %s; what waits goes on with the next one",
			  strerror(-r));
}

static void join_line(GuestTsm *guest)
{
	GuestTsm **link = &guest->tdid->guest_turns.first;

	if (guest->is_in_line)
		return;
	while (*link)
		link = &(*link)->next_in_line;
	*link = guest;
	guest->next_in_line = NULL;
	guest->is_in_line = true;
	look_for_place(guest->tdid);
}

static void leave_line(GuestTsm *guest)
{
	GuestTsm **link = &guest->tdid->guest_turns.first;

	if (!guest->is_in_line)
		return;
	while (*link != guest)
		link = &(*link)->next_in_line;
	*link = guest->next_in_line;
	guest->is_in_line = false;
}

static GuestCall *first_that_waits(const GuestTsm *guest)
{
	GuestCall *call = guest->first;

	while (call && !call->waits_for_place)
		call = call->next;
	return call;
}

void guest_turns_done(GuestTurns *turns)
{
	turns->next = sd_event_source_disable_unref(turns->next);
}

/* --- one guest's --- */

int guest_tsm_new(GuestTsm **ret, Tdid *tdid, Tvm *tvm,
		  void (*answered)(void *userdata, const GuestTsmAnswer *answer), void *userdata)
{
	GuestTsm *guest = calloc(1, sizeof(*guest));

	if (!guest)
		return -ENOMEM;
	guest->tdid = tdid;
	guest->tvm = tvm;
	guest->answered = answered;
	guest->userdata = userdata;
	*ret = guest;
	return 0;
}

/* Before it is answered, since nobody knows what else comes of that. */
static void guest_call_end(GuestCall *call)
{
	GuestTsm *guest = call->guest;
	GuestCall **link;

	for (link = &guest->first; *link != call;)
		link = &(*link)->next;
	*link = call->next;
	guest->n_calls--;
	if (call->is_sent) {
		guest->tdid->guest_turns.in_flight--;
		look_for_place(guest->tdid);
	}
	call->hold = sd_event_source_disable_unref(call->hold);
	call->asked = json_unref(call->asked);
}

static void guest_call_free(GuestCall *call)
{
	provider_call_forget(call->provider_call);
	guest_call_end(call);
	free(call);
}

GuestTsm *guest_tsm_free(GuestTsm *guest)
{
	if (!guest)
		return NULL;
	leave_line(guest);
	while (guest->first)
		guest_call_free(guest->first);
	free(guest);
	return NULL;
}

static void answer(GuestTsm *guest, const char *session, int64_t id, json_object *reply,
		   const char *error, const char *reason)
{
	guest->answered(guest->userdata, &(GuestTsmAnswer){ session, id, reply, error, reason });
}

static void on_reply(const VarlinkReply *reply, const char *error, void *userdata)
{
	_cleanup_free_ GuestCall *call = userdata;
	_cleanup_free_ char *reason = NULL;

	guest_call_end(call);
	if (reply->status >= 0 && !error) {
		answer(call->guest, call->session, call->id, reply->parameters, NULL, NULL);
		return;
	}
	reason = provider_reply_reason(reply, error);
	answer(call->guest, call->session, call->id, NULL,
	       error && strcmp(error, "GuestMessageRejected") == 0 ? "TsmRejected"
								   : "TsmUnavailable",
	       reason ?: "out of memory");
}

static int on_hold(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_free_ GuestCall *call = userdata;

	guest_call_end(call);
	answer(call->guest, call->session, call->id, NULL, "TsmUnavailable", call->reason);
	return 0;
}

/* The TSM of this TVM's devices; before it has one, the first that is ready. */
static Provider *tsm_of(const GuestTsm *guest)
{
	const Tdid *tdid = guest->tdid;
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_of_tvm(guest->tvm, &p));)
		if (a->dsm->provider)
			return a->dsm->provider;
	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (provider_is_ready(tdid->providers[i]))
			return tdid->providers[i];
	return NULL;
}

static int call_provider(GuestCall *call, Provider *provider)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char uuid[UUID_STRING_SIZE];
	int r;

	r = json_build(&parameters, J_STRING("tvm", uuid_format(call->guest->tvm->uuid, uuid)),
		       J_STRING("scope", json_get_string(call->asked, "scope")),
		       J_STRING("message", json_get_string(call->asked, "message")));
	if (r >= 0)
		r = provider_call(provider, "io.tdid.Tsm.GuestRequest", parameters,
				  PROVIDER_CALL_OWN, TIMEOUT_USEC, on_reply, call,
				  &call->provider_call);
	return r;
}

static int guest_call_new(GuestCall **ret, GuestTsm *guest, const GuestFrame *frame)
{
	GuestCall *call = calloc(1, sizeof(*call)), **link = &guest->first;

	if (!call)
		return -ENOMEM;
	call->guest = guest;
	call->id = frame->id;
	call->asked = json_object_get(frame->parameters);
	snprintf(call->session, sizeof(call->session), "%s", frame->session);
	while (*link)
		link = &(*link)->next;
	*link = call;
	guest->n_calls++;
	*ret = call;
	return 0;
}

/* However often it is held back, its time is that of the first. */
static int hold_back(GuestCall *call, const char *reason)
{
	call->reason = reason;
	if (call->hold)
		return 0;
	return sd_event_add_time_relative(call->guest->tdid->event, &call->hold, CLOCK_MONOTONIC,
					  HOLD_USEC, 0, on_hold, call);
}

static int send_call(GuestCall *call, Provider *provider)
{
	call->hold = sd_event_source_disable_unref(call->hold);
	call->is_sent = true;
	call->guest->tdid->guest_turns.in_flight++;
	return call_provider(call, provider);
}

/* `turn`: it has waited for its place; any other one is behind those that wait. */
static void carry(GuestCall *call, bool turn)
{
	GuestTsm *guest = call->guest;
	const GuestTurns *turns = &guest->tdid->guest_turns;
	Provider *provider = tsm_of(guest);
	int r;

	call->waits_for_place = false;
	if (!provider || !provider_is_ready(provider)) {
		r = hold_back(call, "the TSM's provider is not there");
	} else if (turns->in_flight >= CALLS_MAX_ALL || (turns->first && !turn)) {
		r = hold_back(call, "too many requests at once");
		call->waits_for_place = r >= 0;
		if (r >= 0)
			join_line(guest);
	} else {
		r = send_call(call, provider);
	}
	if (r < 0) {
		guest_call_end(call);
		answer(guest, call->session, call->id, NULL, "TsmUnavailable", strerror(-r));
		free(call);
	}
}

static int on_turn(sd_event_source *source, void *userdata)
{
	Tdid *tdid = userdata;
	GuestTsm *guest;
	GuestCall *call;

	while (tdid->guest_turns.in_flight < CALLS_MAX_ALL && (guest = tdid->guest_turns.first)) {
		leave_line(guest);
		call = first_that_waits(guest);
		if (!call)
			continue;
		call->waits_for_place = false;
		if (first_that_waits(guest))
			join_line(guest);
		carry(call, true);
	}
	return 0;
}

void guest_tsm_request(GuestTsm *guest, const GuestFrame *frame)
{
	GuestCall *call;

	if (guest->n_calls >= CALLS_MAX) {
		answer(guest, frame->session, frame->id, NULL, "TsmUnavailable",
		       "too many requests at once");
		return;
	}
	if (guest_call_new(&call, guest, frame) == 0)
		carry(call, false);
}

/* The first that waits and has not had its turn. */
static GuestCall *next_of_round(GuestTsm *guest)
{
	for (GuestCall *call = guest->first; call; call = call->next)
		if (!call->is_sent && call->round != guest->round)
			return call;
	return NULL;
}

/* To carry one may end the session, and the others with it. */
void guest_tsm_provider_ready(GuestTsm *guest)
{
	GuestCall *call;

	if (!guest)
		return;
	guest->round++;
	while ((call = next_of_round(guest))) {
		call->round = guest->round;
		carry(call, false);
	}
}

void guest_tsm_end_session(GuestTsm *guest)
{
	GuestCall *next;

	for (GuestCall *call = guest ? guest->first : NULL; call; call = next) {
		next = call->next;
		if (!call->is_sent)
			guest_call_free(call);
	}
}
