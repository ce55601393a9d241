/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/guest-tsm.h"

#include <errno.h>
#include <string.h>

#define CALLS_MAX     8	 /* of one guest */
#define CALLS_MAX_ALL 32 /* each is a connection, of which the provider takes so many */
#define TIMEOUT_USEC  (60 * UINT64_C(1000000)) /* it may wait for other DSMs' verbs */

/* The port may be closed or have another session when it is back. */
typedef struct GuestCall {
	GuestTsm *guest;
	ProviderCall *provider_call;
	char session[GUEST_SESSION_LEN + 1];
	int64_t id;
	struct GuestCall *next;
} GuestCall;

struct GuestTsm {
	Tdid *tdid;
	Tvm *tvm;
	void (*answered)(void *userdata, const GuestTsmAnswer *answer);
	void *userdata;
	unsigned int n_calls;
	GuestCall *first;
};

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

GuestTsm *guest_tsm_free(GuestTsm *guest)
{
	if (!guest)
		return NULL;
	while (guest->first) {
		GuestCall *call = guest->first;

		guest->first = call->next;
		provider_call_forget(call->provider_call);
		free(call);
	}
	guest->tdid->guest_calls -= guest->n_calls;
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
	GuestTsm *guest = call->guest;
	GuestCall **link;

	for (link = &guest->first; *link != call;)
		link = &(*link)->next;
	*link = call->next;
	guest->n_calls--;
	guest->tdid->guest_calls--;
	if (reply->status >= 0 && !error) {
		answer(guest, call->session, call->id, reply->parameters, NULL, NULL);
		return;
	}
	reason = provider_reply_reason(reply, error);
	answer(guest, call->session, call->id, NULL,
	       error && strcmp(error, "GuestMessageRejected") == 0 ? "TsmRejected"
								   : "TsmUnavailable",
	       reason ?: "out of memory");
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

static int call_provider(GuestCall *call, Provider *provider, json_object *asked)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char uuid[UUID_STRING_SIZE];
	int r;

	r = json_build(&parameters, J_STRING("tvm", uuid_format(call->guest->tvm->uuid, uuid)),
		       J_STRING("scope", json_get_string(asked, "scope")),
		       J_STRING("message", json_get_string(asked, "message")));
	if (r >= 0)
		r = provider_call(provider, "io.tdid.Tsm.GuestRequest", parameters, 0, TIMEOUT_USEC,
				  on_reply, call, &call->provider_call);
	return r;
}

void guest_tsm_request(GuestTsm *guest, const GuestFrame *frame)
{
	bool busy = guest->n_calls >= CALLS_MAX || guest->tdid->guest_calls >= CALLS_MAX_ALL;
	_cleanup_free_ GuestCall *call = NULL;
	Provider *provider = tsm_of(guest);
	int r;

	if (!provider || !provider_is_ready(provider) || busy) {
		answer(guest, frame->session, frame->id, NULL, "TsmUnavailable",
		       busy ? "too many requests at once" : "the TSM's provider is not there");
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call)
		return;
	call->guest = guest;
	call->id = frame->id;
	snprintf(call->session, sizeof(call->session), "%s", frame->session);
	r = call_provider(call, provider, frame->parameters);
	if (r < 0) {
		answer(guest, frame->session, frame->id, NULL, "TsmUnavailable", strerror(-r));
		return;
	}
	call->next = guest->first;
	guest->first = steal_ptr(call);
	guest->n_calls++;
	guest->tdid->guest_calls++;
}
