/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/provider-private.h"

#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int send_call(ProviderCall *call, char **ret_error);

/* Whether the answer says of itself that it is this verb's. */
static bool is_named(const ProviderCall *call, const VarlinkReply *reply)
{
	const char *operation =
		reply->status < 0 ? NULL : json_get_string(reply->parameters, "operation");
	const char *asked = json_get_string(call->parameters, "operation");

	return operation && asked && strcmp(operation, asked) == 0;
}

/* What has come may be another call's. The provider knows the verb by its id, and does it once. */
static int ask_again(ProviderCall *call)
{
	log_warning("tsm %s: what came in answer to %s does not name its operation; asked again",
		    call->provider->name, call->method);
	call->client = varlink_client_free(call->client);
	call->own = true;
	return send_call(call, NULL);
}

static void on_call_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	static const VarlinkReply lost = { .status = -ECONNRESET };
	ProviderCall *call = userdata;
	ProviderReplied replied = call->replied;
	void *data = call->userdata;
	bool named = call->verb && is_named(call, reply);
	const char *name;

	/* Where there is another one now, it knows nothing of the verb before it is ready. */
	if (call->verb && call->kept && !named && reply->status != -ECONNRESET) {
		if (call->provider->ready && ask_again(call) >= 0)
			return;
		reply = &lost;
	}
	expiry_end(&call->silence);
	call->unnamed |= call->verb && !named;
	name = reply->error ? varlink_error_name(reply->error, PROVIDER_INTERFACE) : NULL;
	if (reply->error && !name)
		name = reply->error;
	if (reply->status >= 0 && !reply->error && reply->continues) {
		replied(reply, NULL, data);
		return;
	}
	/* Before the callback, which may free the provider, or have a next call. */
	if (call->verb && reply->status >= 0)
		call->provider->names_operations = !call->unnamed;
	if (call->client && !call->own && !call->unnamed) {
		call->client = NULL;
		provider_pool_give(call->provider->pool, client, call->epoch);
	}
	provider_call_forget(call);
	replied(reply, name, data);
}

/* A verb is at least queued at once. What says nothing of one is no provider just now. */
static void on_silence(void *userdata)
{
	static const VarlinkReply none = { .status = -ECONNRESET };
	ProviderCall *call = userdata;
	Provider *provider = call->provider;
	_cleanup_free_ char *reason = NULL;
	ProviderReplied replied = call->replied;
	void *data = call->userdata;

	if (asprintf(&reason,
		     "it has said nothing of %s within %" PRIu64 " s, not even that it is "
		     "queued: is its process stopped?",
		     call->method, provider->silences.length_usec / 1000000) < 0)
		reason = NULL;
	provider_call_forget(call);
	if (provider->ready)
		provider_lose(provider, reason ?: "a verb was not answered");
	replied(&none, NULL, data);
}

static int take_connection(ProviderCall *call, char **ret_error)
{
	ProviderPool *pool = call->provider->pool;
	int r;

	call->kept = false;
	if (call->own || (call->verb && !call->provider->names_operations))
		return provider_pool_connect(pool, &call->client, &call->epoch, ret_error);
	r = provider_pool_take(pool, &call->client, &call->epoch, ret_error);
	call->kept = r > 0;
	return r;
}

static void begin_silence(ProviderCall *call)
{
	Provider *provider = call->provider;
	uint64_t now = 0;

	if (call->verb && sd_event_now(provider->event, CLOCK_MONOTONIC, &now) >= 0)
		expiry_begin(&call->silence, &provider->silences, now, on_silence, call);
}

/* On a connection that was there before it may turn out now that the provider has closed it. */
static int send_call(ProviderCall *call, char **ret_error)
{
	int r = 0;

	for (int attempt = 0; attempt < 2; attempt++) {
		r = take_connection(call, ret_error);
		if (r >= 0)
			r = varlink_client_call(call->client, call->method, call->parameters,
						call->flags, call->timeout_usec, on_call_reply,
						call);
		if (r >= 0) {
			begin_silence(call);
			return 0;
		}
		call->client = varlink_client_free(call->client);
		if (r != -ENOTCONN)
			return r;
		provider_pool_clear(call->provider->pool);
	}
	return r;
}

static void call_free(ProviderCall *call)
{
	expiry_end(&call->silence);
	varlink_client_free(call->client);
	json_object_put(call->parameters);
	free(call);
}

int provider_call(Provider *provider, const char *method, json_object *parameters, unsigned flags,
		  uint64_t timeout_usec, ProviderReplied replied, void *userdata,
		  ProviderCall **ret)
{
	_cleanup_free_ char *why = NULL;
	ProviderCall *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return -ENOMEM;
	*call = (ProviderCall){ .provider = provider,
				.own = flags & PROVIDER_CALL_OWN,
				.verb = flags & PROVIDER_CALL_VERB,
				.method = method,
				.parameters = json_object_get(parameters),
				.flags = flags & ~(PROVIDER_CALL_OWN | PROVIDER_CALL_VERB),
				.timeout_usec = timeout_usec,
				.replied = replied,
				.userdata = userdata };
	r = send_call(call, &why);
	if (r < 0) {
		log_debug("tsm %s: %s: %s", provider->name, method, why ?: strerror(-r));
		call_free(call);
		return r;
	}
	call->next = provider->calls;
	if (call->next)
		call->next->prev = call;
	provider->calls = call;
	if (ret)
		*ret = call;
	return 0;
}

ProviderCall *provider_call_forget(ProviderCall *call)
{
	if (!call)
		return NULL;
	if (call->prev)
		call->prev->next = call->next;
	else
		call->provider->calls = call->next;
	if (call->next)
		call->next->prev = call->prev;
	call_free(call);
	return NULL;
}

size_t provider_kept_connections(const Provider *provider)
{
	return provider_pool_count(provider->pool);
}

static char *tvm_busy_reason(json_object *parameters)
{
	json_object *devices = json_get_array(parameters, "devices");
	const char *first = json_object_get_string(json_object_array_get_idx(devices, 0));
	size_t n = json_object_array_length(devices);
	char *text = NULL, more[32] = "";
	Bdf bdf;

	if (!first || bdf_parse(&bdf, first) < 0)
		return strdup("TvmBusy");
	if (n > 1)
		snprintf(more, sizeof(more), " and %zu more", n - 1);
	if (asprintf(&text,
		     "TvmBusy: %s%s is still bound to a TVM of this UUID. If that is over, 'tdictl "
		     "clear %s' ends the bind",
		     first, more, first) < 0)
		return NULL;
	return text;
}

char *provider_reply_reason(const VarlinkReply *reply, const char *error)
{
	char *text = NULL;

	if (reply->status < 0)
		return strdup(reply->status == -ETIME	     ? "no answer in time"
			      : reply->status == -ECONNRESET ? "the connection was lost"
			      : reply->status == -EBADMSG    ? "its answer is malformed"
							     : strerror(-reply->status));
	if (error && strcmp(error, "TvmBusy") == 0)
		return tvm_busy_reason(reply->parameters);
	if (error) {
		const char *why = json_get_string(reply->parameters, "reason");

		if (!why)
			why = json_get_string(reply->parameters, "message");
		if (asprintf(&text, "%s%s%s", error, why ? ": " : "", why ?: "") < 0)
			return NULL;
	}
	return text;
}
