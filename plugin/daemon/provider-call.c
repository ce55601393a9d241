/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/provider-private.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

static void on_call_reply(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	ProviderCall *call = userdata;
	ProviderReplied replied = call->replied;
	void *data = call->userdata;
	const char *name =
		reply->error ? varlink_error_name(reply->error, PROVIDER_INTERFACE) : NULL;

	if (reply->error && !name)
		name = reply->error;
	if (reply->status >= 0 && !reply->error && reply->continues) {
		replied(reply, NULL, data);
		return;
	}
	/* Before the callback, which may free the provider, or have a next call. */
	if (!call->own) {
		call->client = NULL;
		provider_pool_give(call->provider->pool, client, call->epoch);
	}
	provider_call_forget(call);
	replied(reply, name, data);
}

/* On a connection that was there before it may turn out now that the provider has closed it. */
static int send_call(ProviderCall *call, const char *method, json_object *parameters,
		     unsigned flags, uint64_t timeout_usec, char **ret_error)
{
	ProviderPool *pool = call->provider->pool;
	int r = 0;

	for (int attempt = 0; attempt < 2; attempt++) {
		r = call->own ? provider_pool_connect(pool, &call->client, ret_error)
			      : provider_pool_take(pool, &call->client, &call->epoch, ret_error);
		if (r >= 0)
			r = varlink_client_call(call->client, method, parameters, flags,
						timeout_usec, on_call_reply, call, NULL);
		if (r >= 0)
			return 0;
		call->client = varlink_client_free(call->client);
		if (r != -ENOTCONN)
			return r;
		provider_pool_clear(pool);
	}
	return r;
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
	call->provider = provider;
	call->own = flags & PROVIDER_CALL_OWN;
	call->replied = replied;
	call->userdata = userdata;
	r = send_call(call, method, parameters, flags & ~PROVIDER_CALL_OWN, timeout_usec, &why);
	if (r < 0) {
		log_debug("tsm %s: %s: %s", provider->name, method, why ?: strerror(-r));
		free(call);
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
	varlink_client_free(call->client);
	free(call);
	return NULL;
}

size_t provider_kept_connections(const Provider *provider)
{
	return provider_pool_count(provider->pool);
}

char *provider_reply_reason(const VarlinkReply *reply, const char *error)
{
	char *text = NULL;

	if (reply->status < 0)
		return strdup(reply->status == -ETIME	     ? "no answer in time"
			      : reply->status == -ECONNRESET ? "the connection was lost"
			      : reply->status == -EBADMSG    ? "its answer is malformed"
							     : strerror(-reply->status));
	if (error) {
		const char *why = json_get_string(reply->parameters, "reason");

		if (!why)
			why = json_get_string(reply->parameters, "message");
		if (asprintf(&text, "%s%s%s", error, why ? ": " : "", why ?: "") < 0)
			return NULL;
	}
	return text;
}
