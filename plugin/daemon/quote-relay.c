/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/quote-relay.h"

#include "rpc/log.h"
#include "rpc/varlink-client.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_USEC UINT64_C(5000000)

struct QuoteCall {
	QuoteRelay *relay;
	VarlinkClient *client;
	char *domain;		 /* its name */
	const char *method;	 /* without the interface */
	bool needed;		 /* else nothing is lost where no tdi-quoted is installed */
	sd_event_source *failed; /* could not even be begun: told from the loop */
	int error;
	char *why;
	QuotePrepared prepared; /* NULL: into the log */
	void *userdata;
	QuoteCall *next;
};

struct QuoteRelay {
	sd_event *event;
	char *path;
	QuoteCall *first;
};

int quote_relay_new(QuoteRelay **ret, sd_event *event, const char *sockets)
{
	QuoteRelay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return -ENOMEM;
	if (asprintf(&relay->path, "%s/io.tdid.Quote", sockets) < 0) {
		free(relay);
		return -ENOMEM;
	}
	relay->event = event;
	*ret = relay;
	return 0;
}

static void call_free(QuoteCall *call)
{
	QuoteCall **link = &call->relay->first;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	sd_event_source_disable_unref(call->failed);
	varlink_client_free(call->client);
	free(call->domain);
	free(call->why);
	free(call);
}

QuoteRelay *quote_relay_free(QuoteRelay *relay)
{
	if (!relay)
		return NULL;
	while (relay->first)
		call_free(relay->first);
	free(relay->path);
	free(relay);
	return NULL;
}

QuoteCall *quote_call_forget(QuoteCall *call)
{
	if (call)
		call_free(call);
	return NULL;
}

bool quote_relay_concerns(const DomainXml *xml)
{
	return (xml->markers & DOMAIN_MARKER_QUOTE_SOCKET) || xml->vsock_cid > 0;
}

/* Tells, and ends. */
static void tell(QuoteCall *call, const char *why)
{
	QuotePrepared prepared = call->prepared;
	void *userdata = call->userdata;
	_cleanup_free_ char *copy = why ? strdup(why) : NULL;

	if (!prepared && why)
		log_warning("%s: io.tdid.Quote.%s: %s", call->domain, call->method, why);
	call_free(call);
	if (prepared)
		prepared(why ? copy ?: "out of memory" : NULL, userdata);
}

static void on_replied(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	QuoteCall *call = userdata;
	const char *message;

	if (reply->status < 0)
		tell(call, reply->status == -ETIME
				   ? "tdi-quoted does not answer; see 'journalctl -u tdi-quoted'"
				   : "tdi-quoted has hung up; see 'journalctl -u tdi-quoted'");
	else if (!reply->error)
		tell(call, NULL);
	else {
		message = json_get_string(reply->parameters, "message");
		tell(call, message ?: reply->error);
	}
}

static int on_failed(sd_event_source *source, void *userdata)
{
	QuoteCall *call = userdata;

	if (call->needed)
		tell(call, call->why);
	else
		call_free(call);
	return 0;
}

/* Told from the loop, like every other answer. */
static int fail(QuoteCall *call, int error)
{
	if (asprintf(&call->why,
		     "tdi-quoted does not serve %s (%s). Start tdi-quoted.socket, or name another "
		     "service's socket in <quoteGenerationService>",
		     call->relay->path, strerror(-error)) < 0)
		call->why = NULL;
	return call->why ? sd_event_add_defer(call->relay->event, &call->failed, on_failed, call)
			 : -ENOMEM;
}

/* Takes `parameters`. */
static int begin(QuoteRelay *relay, const DomainXml *xml, const char *name, const char *method,
		 json_object *parameters, QuotePrepared prepared, void *userdata, QuoteCall **ret)
{
	_cleanup_(json_unrefp) json_object *taken = parameters;
	_cleanup_free_ char *full = NULL;
	QuoteCall *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return -ENOMEM;
	call->relay = relay;
	call->method = method;
	call->needed = xml->markers & DOMAIN_MARKER_QUOTE_SOCKET;
	call->prepared = prepared;
	call->userdata = userdata;
	call->next = relay->first;
	relay->first = call;
	call->domain = strdup(name);
	if (!call->domain || asprintf(&full, "io.tdid.Quote.%s", method) < 0) {
		call_free(call);
		return -ENOMEM;
	}
	r = varlink_client_connect(&call->client, relay->event, relay->path, NULL, NULL);
	if (r >= 0)
		r = varlink_client_call(call->client, full, taken, 0, TIMEOUT_USEC, on_replied,
					call, NULL);
	if (r < 0)
		r = fail(call, r);
	if (r < 0) {
		call_free(call);
		return r;
	}
	if (ret)
		*ret = call;
	return 0;
}

int quote_relay_prepare(QuoteRelay *relay, const DomainXml *xml, const char *name,
			QuotePrepared prepared, void *userdata, QuoteCall **ret)
{
	json_object *parameters;
	char uuid[UUID_STRING_SIZE];
	int r = json_build(&parameters, J_STRING("domain", uuid_format(xml->uuid, uuid)),
			   J_STRING("name", name), J_STRING("socket", xml->quote_socket));

	return r < 0 ? r : begin(relay, xml, name, "Prepare", parameters, prepared, userdata, ret);
}

void quote_relay_started(QuoteRelay *relay, const DomainXml *xml, const char *name, pid_t pid,
			 uint64_t start_time)
{
	json_object *parameters;
	char uuid[UUID_STRING_SIZE];
	int r;

	r = json_build(&parameters, J_STRING("domain", uuid_format(xml->uuid, uuid)),
		       J_STRING("name", name), J_INT("qemu_pid", pid),
		       J_INT("qemu_start_time", (int64_t)start_time),
		       J_INT_IF(xml->vsock_cid > 0, "cid", xml->vsock_cid));
	if (r >= 0)
		r = begin(relay, xml, name, "Started", parameters, NULL, NULL, NULL);
	if (r < 0)
		log_error("%s: tdi-quoted cannot be told that it has started: %s", name,
			  strerror(-r));
}

void quote_relay_release(QuoteRelay *relay, const DomainXml *xml, const char *name)
{
	json_object *parameters;
	char uuid[UUID_STRING_SIZE];
	int r = json_build(&parameters, J_STRING("domain", uuid_format(xml->uuid, uuid)));

	if (r >= 0)
		r = begin(relay, xml, name, "Release", parameters, NULL, NULL, NULL);
	if (r < 0)
		log_error("%s: tdi-quoted cannot be told that it has ended: %s", name,
			  strerror(-r));
}
