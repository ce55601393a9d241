/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coming up goes step by step on the watch's connection's side: GetCapabilities, then Monitor, and
 * when the watch stands, Query. So nothing changes unseen between the answer to Query and the first
 * change reported. The two connections have no common order, and a change that is reported while
 * Query is under way may be older or newer than its answer: it is asked again until nothing was
 * reported meanwhile. When the watch ends everything starts over.
 *
 *	resting --timer--> asking capabilities --> watching, asking state --> ready
 *	any --a step fails, the watch ends--> resting
 *
 * Calls that are handed on have a connection each: a slow one holds up nothing.
 */
#include "companion.h"

#include "companion-state.h"
#include "rpc/idl.h"
#include "rpc/log.h"
#include "rpc/varlink-client.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define INTERFACE	  "io.tdid.Tsm"
#define CALL_TIMEOUT_USEC (5 * UINT64_C(1000000))
#define RETRY_FIRST_USEC  (100 * UINT64_C(1000))
#define RETRY_LAST_USEC	  (5 * UINT64_C(1000000))
#define ACCURACY_USEC	  (10 * UINT64_C(1000))

typedef struct Forward {
	struct Forward *next;
	Companion *companion;
	VarlinkClient *client;
	VarlinkCall *call;
	char *object;
} Forward;

struct Companion {
	sd_event *event;
	char *socket;
	CompanionOptions options;
	IdlInterface *idl;
	VarlinkClient *step, *watch, *refresh;
	sd_event_source *retry;
	uint64_t retry_usec;

	bool ready, watching;
	/* A change was reported since Query was asked last. */
	bool noticed, noticed_at_refresh;
	char *trouble;
	json_object *capabilities;
	CompanionState state;

	uint64_t refresh_end; /* CLOCK_MONOTONIC */
	void (*asked)(void *userdata, bool answered);
	void *asked_userdata;
	Forward *forwards;
};

static void set_trouble(Companion *c, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	free(c->trouble);
	c->trouble = copy;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

static void rest(Companion *c, uint64_t usec)
{
	int r;

	c->retry = sd_event_source_disable_unref(c->retry);
	r = sd_event_add_time_relative(c->event, &c->retry, CLOCK_MONOTONIC, usec, ACCURACY_USEC,
				       on_retry, c);
	if (r < 0)
		log_error("companion %s: cannot set a timer: %s", c->socket, strerror(-r));
}

static void tell_asked(Companion *c, bool answered)
{
	void (*asked)(void *userdata, bool answered) = c->asked;

	c->refresh = varlink_client_free(c->refresh);
	c->asked = NULL;
	if (asked)
		asked(c->asked_userdata, answered);
}

static void lost(Companion *c, const char *reason)
{
	bool first = !c->trouble || c->ready;
	/* The reason may lie in a reply of a client that is freed here. */
	_cleanup_free_ char *copy = strdup(reason);
	const char *text = copy ?: "no memory";

	c->step = varlink_client_free(c->step);
	c->watch = varlink_client_free(c->watch);
	c->ready = c->watching = false;
	set_trouble(c, text);
	if (first)
		log_warning("companion %s: %s; trying again", c->socket, text);
	rest(c, c->retry_usec);
	c->retry_usec = c->retry_usec * 2 > RETRY_LAST_USEC ? RETRY_LAST_USEC : c->retry_usec * 2;
	tell_asked(c, false);
	if (first)
		c->options.lost(c->options.userdata, text);
}

static const char *reply_trouble(const VarlinkReply *reply)
{
	const char *reason;

	if (reply->status == -ETIME)
		return "no answer in time";
	if (reply->status == -ECONNRESET)
		return "the connection was lost";
	if (reply->status < 0)
		return "its answer is malformed";
	reason = json_get_string(reply->parameters, "reason");
	return reason ?: reply->error;
}

/* --- coming up --- */

static int connect_to(Companion *c, VarlinkClient **ret, char **ret_error)
{
	VarlinkClientOptions options = { .interface = c->idl,
					 .check_uid = true,
					 .uid = c->options.uid };

	return varlink_client_connect(ret, c->event, c->socket, &options, ret_error);
}

static void on_query(VarlinkClient *client, const VarlinkReply *reply, void *userdata);

static void ask_state(Companion *c)
{
	c->noticed = false;
	if (varlink_client_call(c->step, INTERFACE ".Query", NULL, 0, CALL_TIMEOUT_USEC, on_query,
				c) < 0)
		lost(c, "the connection was lost");
}

static void on_query(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	Companion *c = userdata;

	if (reply->status < 0 || reply->error) {
		lost(c, reply_trouble(reply));
		return;
	}
	if (c->noticed) {
		ask_state(c);
		return;
	}
	if (companion_state_set(&c->state, reply->parameters) < 0) {
		lost(c, "its answer to Query is malformed");
		return;
	}
	c->step = varlink_client_free(c->step);
	c->ready = true;
	c->retry_usec = RETRY_FIRST_USEC;
	set_trouble(c, NULL);
	log_info("companion %s: ready", c->socket);
	c->options.ready(c->options.userdata);
}

static void on_change(Companion *c, const VarlinkReply *reply)
{
	json_object *tdi = json_get_object(reply->parameters, "tdi");
	json_object *dsm = json_get_object(reply->parameters, "dsm");
	const char *reason = json_get_string(reply->parameters, "reason");
	Bdf bdf;

	/* It may be older or newer than the answer that is under way. */
	c->noticed = c->noticed_at_refresh = true;
	if (!c->ready)
		return;
	if (tdi && companion_state_take_tdi(&c->state, tdi, &bdf) == 0)
		c->options.tdi_changed(c->options.userdata, bdf, reason);
	if (dsm && companion_state_take_dsm(&c->state, dsm, &bdf) == 0)
		c->options.dsm_changed(c->options.userdata, bdf, reason);
}

static void on_watch(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	Companion *c = userdata;

	if (reply->status < 0 || reply->error || !reply->continues) {
		lost(c, reply_trouble(reply) ?: "it ended its Monitor");
		return;
	}
	if (c->watching) {
		on_change(c, reply);
		return;
	}
	c->watching = true;
	ask_state(c);
}

static void on_capabilities(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	_cleanup_free_ char *error = NULL;
	Companion *c = userdata;
	int r;

	if (reply->status < 0 || reply->error) {
		lost(c, reply_trouble(reply));
		return;
	}
	json_object_put(c->capabilities);
	c->capabilities = json_object_get(json_get_object(reply->parameters, "capabilities"));
	r = connect_to(c, &c->watch, &error);
	if (r == 0)
		r = varlink_client_call(c->watch, INTERFACE ".Monitor", NULL, VARLINK_CALL_MORE, 0,
					on_watch, c);
	if (r < 0)
		lost(c, error ?: strerror(-r));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_free_ char *error = NULL;
	Companion *c = userdata;
	int r;

	r = connect_to(c, &c->step, &error);
	if (r == 0)
		r = varlink_client_call(c->step, INTERFACE ".GetCapabilities", NULL, 0,
					CALL_TIMEOUT_USEC, on_capabilities, c);
	if (r < 0)
		lost(c, error ?: strerror(-r));
	return 0;
}

int companion_new(Companion **ret, sd_event *event, const CompanionOptions *options)
{
	_cleanup_(companion_freep) Companion *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->event = sd_event_ref(event);
	c->options = *options;
	c->retry_usec = RETRY_FIRST_USEC;
	c->socket = strdup(options->socket);
	if (!c->socket)
		return -ENOMEM;
	r = idl_parse(&c->idl, schema_io_tdid_tsm, NULL);
	if (r < 0)
		return r;
	rest(c, 0);
	if (!c->retry)
		return -ENOMEM;
	*ret = steal_ptr(c);
	return 0;
}

static void forward_free(Forward *forward)
{
	Forward **p = &forward->companion->forwards;

	while (*p != forward)
		p = &(*p)->next;
	*p = forward->next;
	varlink_call_on_gone(forward->call, NULL, NULL);
	varlink_call_unref(forward->call);
	varlink_client_free(forward->client);
	free(forward->object);
	free(forward);
}

Companion *companion_free(Companion *c)
{
	if (!c)
		return NULL;
	while (c->forwards)
		forward_free(c->forwards);
	varlink_client_free(c->step);
	varlink_client_free(c->watch);
	varlink_client_free(c->refresh);
	sd_event_source_disable_unref(c->retry);
	idl_free(c->idl);
	json_object_put(c->capabilities);
	free(c->socket);
	free(c->trouble);
	companion_state_done(&c->state);
	sd_event_unref(c->event);
	free(c);
	return NULL;
}

const char *companion_trouble(const Companion *c)
{
	return c->ready ? NULL : c->trouble ?: "not reached yet";
}

const char *companion_instance(const Companion *c)
{
	return c->state.instance;
}

json_object *companion_capabilities(const Companion *c)
{
	return c->capabilities;
}

const CompanionTdi *companion_tdi(const Companion *c, Bdf device)
{
	return companion_state_tdi(&c->state, device);
}

const char *companion_certificate(const Companion *c, Bdf dsm)
{
	return companion_state_certificate(&c->state, dsm);
}

/* --- asking anew --- */

static uint64_t now_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void on_refresh(VarlinkClient *client, const VarlinkReply *reply, void *userdata);

/* -ETIME: there is none left. */
static int ask_refresh(Companion *c)
{
	uint64_t now = now_usec();

	if (now >= c->refresh_end)
		return -ETIME;
	c->noticed_at_refresh = false;
	return varlink_client_call(c->refresh, INTERFACE ".Query", NULL, 0, c->refresh_end - now,
				   on_refresh, c);
}

static void on_refresh(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	bool answered = reply->status == 0 && !reply->error;
	Companion *c = userdata;

	if (answered && c->ready && c->noticed_at_refresh && ask_refresh(c) == 0)
		return;
	if (answered && c->ready && !c->noticed_at_refresh &&
	    companion_state_set(&c->state, reply->parameters) < 0) {
		lost(c, "its answer to Query is malformed");
		return;
	}
	tell_asked(c, answered && c->ready && !c->noticed_at_refresh);
}

int companion_refresh(Companion *c, uint64_t timeout_usec,
		      void (*asked)(void *userdata, bool answered), void *userdata)
{
	int r;

	if (c->asked)
		return -EBUSY;
	if (!c->ready)
		return -ENOTCONN;
	c->refresh_end = now_usec() + timeout_usec;
	r = connect_to(c, &c->refresh, NULL);
	if (r == 0)
		r = ask_refresh(c);
	if (r < 0) {
		c->refresh = varlink_client_free(c->refresh);
		return r;
	}
	c->asked = asked;
	c->asked_userdata = userdata;
	return 0;
}

/* --- calls handed on --- */

static void on_forwarded(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	Forward *forward = userdata;
	VarlinkCall *call = forward->call;

	if (reply->status < 0)
		varlink_call_errorb(call, "OutcomeUnknown", J_STRING("object", forward->object),
				    J_STRING("reason", reply_trouble(reply)));
	else if (reply->error)
		varlink_call_error(call, reply->error, reply->parameters);
	else
		varlink_call_reply(call, reply->parameters);
	forward_free(forward);
}

static void on_caller_gone(VarlinkCall *call, void *userdata)
{
	forward_free(userdata);
}

static int refuse_call(const Companion *c, VarlinkCall *call, const char *object, const char *why)
{
	_cleanup_free_ char *reason = NULL;

	if (asprintf(&reason,
		     "the provider behind the kernel's TSM (companion %s) cannot be asked: %s",
		     c->socket, why) < 0)
		return -ENOMEM;
	return varlink_call_errorb(call, "Refused", J_STRING("object", object),
				   J_STRING("reason", reason));
}

int companion_forward(Companion *c, VarlinkCall *call, const char *object, uint64_t timeout_usec)
{
	Forward *forward = calloc(1, sizeof(*forward));
	_cleanup_free_ char *error = NULL;
	int r = -ENOMEM;

	if (!forward)
		return -ENOMEM;
	forward->companion = c;
	forward->next = c->forwards;
	c->forwards = forward;
	forward->call = varlink_call_ref(call);
	forward->object = strdup(object);
	if (forward->object)
		r = connect_to(c, &forward->client, &error);
	if (r == 0)
		r = varlink_client_call(forward->client, varlink_call_method(call),
					varlink_call_parameters(call), 0, timeout_usec,
					on_forwarded, forward);
	if (r < 0) {
		forward_free(forward);
		return refuse_call(c, call, object, error ?: strerror(-r));
	}
	varlink_call_on_gone(call, on_caller_gone, forward);
	return 0;
}
