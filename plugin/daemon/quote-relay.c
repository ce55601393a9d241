/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls wait in a list, in their order; `begin` is the loop's turn to send the first. One that
 * could not be delivered, or was answered with NotNow, and is worth it goes to the list's end; when
 * there is no other than such, they wait for `begin`'s time.
 */
#include "daemon/quote-relay.h"

#include "daemon/bounded-text.h"
#include "rpc/log.h"
#include "rpc/varlink-client.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_USEC   UINT64_C(5000000)
#define AGAIN_USEC     UINT64_C(1000000)
#define AGAIN_MAX_USEC UINT64_C(30000000)
#define REPLY_MAX      (64u * 1024)
#define MESSAGE_MAX    1024u

struct QuoteCall {
	QuoteRelay *relay;
	Uuid domain;
	char *name;
	const char *method; /* with the interface */
	json_object *parameters;
	bool needed;		/* else nothing is lost where there is no tdi-quoted */
	bool again;		/* to be told until it is taken */
	bool missed;		/* told in vain before */
	QuotePrepared prepared; /* NULL: into the log */
	void *userdata;
	QuoteCall *next;
};

struct QuoteRelay {
	sd_event *event;
	char *path;
	IdlInterface *interface;
	QuoteCall *first;
	VarlinkClient *client; /* of the first, while it is under way */
	sd_event_source *begin;
	uint64_t again_usec;
	bool is_there; /* it has been reached before */
};

bool quote_relay_concerns(const DomainXml *xml)
{
	return (xml->markers & DOMAIN_MARKER_QUOTE_SOCKET) || xml->vsock_cid > 0;
}

static void begin_in(QuoteRelay *relay, uint64_t usec)
{
	int r = sd_event_source_set_time_relative(relay->begin, usec);

	if (r >= 0)
		r = sd_event_source_set_enabled(relay->begin, SD_EVENT_ONESHOT);
	if (r < 0)
		log_error("io.tdid.Quote: no timer: %s", strerror(-r));
}

static void remove_call(QuoteCall *call)
{
	QuoteRelay *relay = call->relay;
	QuoteCall **link = &relay->first;

	if (relay->first == call && relay->client) {
		relay->client = varlink_client_free(relay->client);
		begin_in(relay, 0);
	}
	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
}

static void call_free(QuoteCall *call)
{
	remove_call(call);
	json_object_put(call->parameters);
	free(call->name);
	free(call);
}

QuoteCall *quote_call_forget(QuoteCall *call)
{
	if (call)
		call_free(call);
	return NULL;
}

static void append(QuoteRelay *relay, QuoteCall *call)
{
	QuoteCall **link = &relay->first;

	while (*link)
		link = &(*link)->next;
	call->next = NULL;
	*link = call;
}

/* What is newer makes them void. */
static void drop_older(QuoteRelay *relay, Uuid domain)
{
	QuoteCall *next;

	for (QuoteCall *call = relay->first; call; call = next) {
		next = call->next;
		if (call->again && uuid_equal(call->domain, domain))
			call_free(call);
	}
}

static void tell(QuoteCall *call, const char *why)
{
	QuotePrepared prepared = call->prepared;
	void *userdata = call->userdata;

	if (!prepared && why)
		log_warning("%s: %s: %s", call->name, call->method, why);
	call_free(call);
	if (prepared)
		prepared(why, userdata);
}

static bool any_untold(const QuoteRelay *relay)
{
	for (const QuoteCall *call = relay->first; call; call = call->next)
		if (!call->missed)
			return true;
	return false;
}

/* The first could not be delivered, or is not taken now. `absent`: there is no socket of
 * tdi-quoted. */
static void not_delivered(QuoteRelay *relay, const char *why, bool absent)
{
	QuoteCall *call = relay->first;
	bool missed = call->needed || relay->is_there || !absent;

	relay->client = varlink_client_free(relay->client);
	if (call->again && missed) {
		log_warning("%s: %s: %s; told again", call->name, call->method, why);
		remove_call(call);
		call->missed = true;
		append(relay, call);
		relay->again_usec = relay->again_usec ? 2 * relay->again_usec : AGAIN_USEC;
		if (relay->again_usec > AGAIN_MAX_USEC)
			relay->again_usec = AGAIN_MAX_USEC;
		begin_in(relay, any_untold(relay) ? 0 : relay->again_usec);
		return;
	}
	tell(call, missed ? why : NULL);
	begin_in(relay, 0);
}

static void on_replied(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	QuoteRelay *relay = userdata;
	_cleanup_free_ char *why = NULL;
	const char *message;

	if (reply->status < 0) {
		not_delivered(relay,
			      reply->status == -ETIME
				      ? "tdi-quoted does not answer; see 'journalctl -u tdi-quoted'"
				      : "tdi-quoted has hung up; see 'journalctl -u tdi-quoted'",
			      false);
		return;
	}
	message = json_get_string(reply->parameters, "message");
	if (reply->error)
		why = bounded_text(message ?: reply->error, MESSAGE_MAX);
	if (reply->error && strcmp(reply->error, "io.tdid.Quote.NotNow") == 0) {
		not_delivered(relay, why ?: "out of memory", false);
		return;
	}
	relay->again_usec = 0;
	tell(relay->first, reply->error ? why ?: "out of memory" : NULL);
}

static int on_begin(sd_event_source *source, uint64_t usec, void *userdata)
{
	QuoteRelay *relay = userdata;
	VarlinkClientOptions options = { .interface = relay->interface, .input_max = REPLY_MAX };
	_cleanup_free_ char *why = NULL;
	QuoteCall *call = relay->first;
	int r;

	if (!call || relay->client)
		return 0;
	r = varlink_client_connect(&relay->client, relay->event, relay->path, &options, NULL);
	if (r >= 0)
		r = varlink_client_call(relay->client, call->method, call->parameters, 0,
					TIMEOUT_USEC, on_replied, relay);
	if (r >= 0) {
		relay->is_there = true;
		return 0;
	}
	if (asprintf(&why,
		     "tdi-quoted does not serve %s (%s). Start tdi-quoted.socket, or name another "
		     "service's socket in <quoteGenerationService>",
		     relay->path, strerror(-r)) < 0)
		why = NULL;
	not_delivered(relay, why ?: "out of memory", r == -ENOENT);
	return 0;
}

int quote_relay_new(QuoteRelay **ret, sd_event *event, const char *sockets)
{
	_cleanup_(quote_relay_freep) QuoteRelay *relay = calloc(1, sizeof(*relay));
	int r;

	if (!relay)
		return -ENOMEM;
	relay->event = event;
	if (asprintf(&relay->path, "%s/io.tdid.Quote", sockets) < 0) {
		relay->path = NULL;
		return -ENOMEM;
	}
	r = idl_parse(&relay->interface, schema_io_tdid_quote, NULL);
	if (r >= 0)
		r = sd_event_add_time(event, &relay->begin, CLOCK_MONOTONIC, 0, 1, on_begin, relay);
	if (r >= 0)
		r = sd_event_source_set_enabled(relay->begin, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret = steal_ptr(relay);
	return 0;
}

QuoteRelay *quote_relay_free(QuoteRelay *relay)
{
	if (!relay)
		return NULL;
	relay->client = varlink_client_free(relay->client);
	while (relay->first)
		call_free(relay->first);
	sd_event_source_disable_unref(relay->begin);
	idl_free(relay->interface);
	free(relay->path);
	free(relay);
	return NULL;
}

/* Takes `parameters`. */
static int add(QuoteRelay *relay, const DomainXml *xml, const char *name, const QuoteCall *what,
	       json_object *parameters, QuoteCall **ret)
{
	QuoteCall *call = malloc(sizeof(*call));
	char *copy = strdup(name);

	if (!call || !copy) {
		free(call);
		free(copy);
		json_object_put(parameters);
		return -ENOMEM;
	}
	drop_older(relay, xml->uuid);
	*call = *what;
	call->relay = relay;
	call->domain = xml->uuid;
	call->name = copy;
	call->parameters = parameters;
	call->needed = xml->markers & DOMAIN_MARKER_QUOTE_SOCKET;
	append(relay, call);
	/* Not behind the time of those that were told in vain. */
	begin_in(relay, 0);
	if (ret)
		*ret = call;
	return 0;
}

int quote_relay_prepare(QuoteRelay *relay, const DomainXml *xml, const char *name,
			QuotePrepared prepared, void *userdata, QuoteCall **ret)
{
	const QuoteCall what = { .method = "io.tdid.Quote.Prepare",
				 .prepared = prepared,
				 .userdata = userdata };
	json_object *parameters;
	char uuid[UUID_STRING_SIZE];
	int r = json_build(&parameters, J_STRING("domain", uuid_format(xml->uuid, uuid)),
			   J_STRING("name", name), J_STRING("socket", xml->quote_socket));

	if (r >= 0)
		r = add(relay, xml, name, &what, parameters, ret);
	return r;
}

void quote_relay_started(QuoteRelay *relay, const DomainXml *xml, const char *name, pid_t pid,
			 uint64_t start_time)
{
	const QuoteCall what = { .method = "io.tdid.Quote.Started", .again = true };
	json_object *parameters;
	char uuid[UUID_STRING_SIZE];
	int r;

	r = json_build(&parameters, J_STRING("domain", uuid_format(xml->uuid, uuid)),
		       J_STRING("name", name), J_INT("qemu_pid", pid),
		       J_INT("qemu_start_time", (int64_t)start_time),
		       J_INT_IF(xml->vsock_cid > 0, "cid", xml->vsock_cid));
	if (r >= 0)
		r = add(relay, xml, name, &what, parameters, NULL);
	if (r < 0)
		log_error("%s: tdi-quoted cannot be told that it has started: %s", name,
			  strerror(-r));
}

void quote_relay_release(QuoteRelay *relay, const DomainXml *xml, const char *name)
{
	const QuoteCall what = { .method = "io.tdid.Quote.Release", .again = true };
	json_object *parameters;
	char uuid[UUID_STRING_SIZE];
	int r = json_build(&parameters, J_STRING("domain", uuid_format(xml->uuid, uuid)));

	if (r >= 0)
		r = add(relay, xml, name, &what, parameters, NULL);
	if (r < 0)
		log_error("%s: tdi-quoted cannot be told that it has ended: %s", name,
			  strerror(-r));
}
