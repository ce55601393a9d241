/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/provider-private.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

int provider_connect(Provider *provider, VarlinkClient **ret, char **ret_error)
{
	VarlinkClientOptions options = { .interface = provider->idl,
					 .check_uid = true,
					 .uid = provider->uid };

	return varlink_client_connect(ret, provider->event, provider->socket, &options, ret_error);
}

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
	/* The reply's parts are the client's until this function returns. */
	call->client = NULL;
	provider_call_forget(call);
	replied(reply, name, data);
	varlink_client_free(client);
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
	call->replied = replied;
	call->userdata = userdata;
	r = provider_connect(provider, &call->client, &why);
	if (r >= 0)
		r = varlink_client_call(call->client, method, parameters, flags, timeout_usec,
					on_call_reply, call, NULL);
	if (r < 0) {
		log_debug("tsm %s: %s: %s", provider->name, method, why ?: strerror(-r));
		varlink_client_free(call->client);
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
