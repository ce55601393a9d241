/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coming up goes step by step, each on the reply of the one before: GetCapabilities, ListDevices,
 * Monitor (on a connection that stays), and when the watch stands, Query. The two connections have
 * no common order: a change that is reported while Query is under way may be older or newer than
 * its answer, so Query is asked again until nothing was reported meanwhile.
 *
 * When the watch breaks, or a step fails, the provider counts as lost and everything starts over
 * after a while. When the watch stood and is ended in order, something of what was asked before is
 * another thing now: everything is asked anew at once, and the provider stays ready meanwhile
 * unless it says that its instance is another one. Query tells whether it is; then all binds of
 * before are void.
 */
#include "daemon/provider-private.h"

#include "daemon/bounded-text.h"
#include "rpc/idl.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>

#define CALL_TIMEOUT_USEC (5 * UINT64_C(1000000))
#define RETRY_FIRST_USEC  (100 * UINT64_C(1000))
#define RETRY_LAST_USEC	  (5 * UINT64_C(1000000))
#define TROUBLE_MAX	  1024			/* bytes */
#define ACCURACY_USEC	  (10 * UINT64_C(1000)) /* sd-event's own is longer than the first retry */

static int come_up(Provider *provider);

/* platform: "" until it has said. */
static void set_title(Provider *provider, const char *platform)
{
	const char *remark = provider->protection ? "" : "no protection";
	char *title = NULL;
	int r;

	if (strcmp(platform, provider->name) == 0)
		platform = "";
	if (*platform || *remark)
		r = asprintf(&title, "%s (%s%s%s)", provider->name, platform,
			     *platform && *remark ? ", " : "", remark);
	else
		r = asprintf(&title, "%s", provider->name);
	if (r < 0)
		return;
	free(provider->title);
	provider->title = title;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	come_up(userdata);
	return 0;
}

/* The timer is made once: setting it takes neither memory nor a descriptor. */
static void come_up_later(Provider *provider, uint64_t usec)
{
	int r;

	r = sd_event_source_set_time_relative(provider->retry, usec);
	if (r >= 0)
		r = sd_event_source_set_enabled(provider->retry, SD_EVENT_ONESHOT);
	if (r < 0)
		log_error("tsm %s: cannot set the timer to reach it again: %s", provider->name,
			  strerror(-r));
}

static void leave(Provider *provider)
{
	provider->step = provider_call_forget(provider->step);
	provider->asking = false;
	provider->watch = varlink_client_free(provider->watch);
	provider->stands = false;
	provider_pool_clear(provider->pool);
}

/* NULL: there is none. Another one than before is logged. */
static void set_trouble(Provider *provider, const char *text)
{
	char *copy = text ? bounded_text(text, TROUBLE_MAX) : NULL;
	bool same = copy && provider->trouble && strcmp(copy, provider->trouble) == 0;

	if (copy && !same && provider->ready)
		log_warning("tsm %s: %s", provider->name, copy);
	free(provider->trouble);
	provider->trouble = copy;
}

void provider_lose(Provider *provider, const char *reason)
{
	leave(provider);
	if (provider->ready || !provider->said_lost)
		log_warning("tsm %s: %s; trying again", provider->name, reason);
	provider->said_lost = true;
	provider->ready = false;
	set_trouble(provider, reason);

	come_up_later(provider, provider->retry_usec);
	provider->retry_usec *= 2;
	if (provider->retry_usec > RETRY_LAST_USEC)
		provider->retry_usec = RETRY_LAST_USEC;
	provider->handlers.lost(provider, reason, provider->userdata);
}

/* One that ends each watch as soon as it stands is not asked more often than a lost one. */
static void come_up_anew(Provider *provider, const char *reason)
{
	uint64_t now = 0, due = provider->stood_usec + RETRY_FIRST_USEC;

	log_info("tsm %s: %s; asking everything anew", provider->name,
		 reason ?: "it is not what it was");
	leave(provider);
	sd_event_now(provider->event, CLOCK_MONOTONIC, &now);
	if (due > now)
		come_up_later(provider, due - now);
	else
		come_up(provider);
}

/* The step's reply when it is a good one; otherwise the provider is lost, and NULL. */
static json_object *step_reply(Provider *provider, const VarlinkReply *reply, const char *error)
{
	_cleanup_free_ char *reason = NULL;

	provider->step = NULL;
	if (reply->status >= 0 && !error)
		return reply->parameters;
	reason = provider_reply_reason(reply, error);
	provider_lose(provider, reason ?: "out of memory");
	return NULL;
}

static int step(Provider *provider, const char *method, ProviderReplied next)
{
	int r = provider_call(provider, method, NULL, 0, CALL_TIMEOUT_USEC, next, provider,
			      &provider->step);

	if (r < 0)
		provider_lose(provider, strerror(-r));
	return r;
}

static int read_dsm(ProviderDsm *ret, json_object *o)
{
	*ret = (ProviderDsm){ .connected = json_get_bool(o, "connected", false) };
	return bdf_parse(&ret->dsm, json_get_string(o, "dsm")) < 0 ? -EBADMSG : 0;
}

/* All binds of another instance's time are void. The first one that is met is no other. */
static bool is_another_instance(Provider *provider, const char *instance)
{
	bool another = provider->instance && strcmp(provider->instance, instance) != 0;
	char *copy;

	if (provider->instance && !another)
		return false;
	copy = strdup(instance);
	if (!copy)
		return another;
	free(provider->instance);
	provider->instance = copy;
	return another;
}

static int by_address(const void *a, const void *b)
{
	return bdf_order(((const ProviderTdi *)a)->device, ((const ProviderTdi *)b)->device);
}

static void ask(Provider *provider);

static void on_query(const VarlinkReply *reply, const char *error, void *userdata)
{
	Provider *provider = userdata;
	json_object *o = step_reply(provider, reply, error), *tdis, *dsms;
	_cleanup_free_ ProviderTdi *all_tdis = NULL;
	_cleanup_free_ ProviderDsm *all_dsms = NULL;
	size_t n_tdis, n_dsms;

	provider->asking = false;
	if (!o)
		return;
	if (provider->noticed) {
		ask(provider);
		return;
	}
	tdis = json_get_array(o, "tdis");
	dsms = json_get_array(o, "dsms");
	n_tdis = json_object_array_length(tdis);
	n_dsms = json_object_array_length(dsms);
	if (n_tdis > PROVIDER_VIEW_MAX || n_dsms > PROVIDER_VIEW_MAX) {
		provider_lose(provider, "Query: more than a host has");
		return;
	}
	all_tdis = calloc(n_tdis + 1, sizeof(*all_tdis));
	all_dsms = calloc(n_dsms + 1, sizeof(*all_dsms));
	if (!all_tdis || !all_dsms) {
		provider_lose(provider, "out of memory");
		return;
	}
	for (size_t i = 0; i < n_tdis; i++) {
		_cleanup_free_ char *why = NULL, *text = NULL;

		if (provider_tdi_read(&all_tdis[i], json_object_array_get_idx(tdis, i), &why) >= 0)
			continue;
		if (asprintf(&text, "Query: %s", why ?: "out of memory") < 0)
			text = NULL;
		provider_lose(provider, text ?: "Query: malformed");
		return;
	}
	for (size_t i = 0; i < n_dsms; i++)
		if (read_dsm(&all_dsms[i], json_object_array_get_idx(dsms, i)) < 0) {
			provider_lose(provider, "Query: a DSM's address is malformed");
			return;
		}
	qsort(all_tdis, n_tdis, sizeof(*all_tdis), by_address);
	provider_view_forget_said(&provider->view);
	provider_view_said(&provider->view, all_tdis, n_tdis, all_dsms, n_dsms);
	if (is_another_instance(provider, json_get_string(o, "instance"))) {
		log_warning("tsm %s: it is another instance than before: all binds are void",
			    provider->name);
		n_tdis = 0;
	}
	if (!provider->ready)
		log_info("tsm %s: ready, %zu device%s", provider->title, provider->view.n_devices,
			 provider->view.n_devices == 1 ? "" : "s");
	provider->ready = true;
	provider->said_lost = false;
	provider->retry_usec = RETRY_FIRST_USEC;
	set_trouble(provider, json_get_string(o, "stalled"));
	provider->handlers.ready(provider, all_tdis, n_tdis, all_dsms, n_dsms, provider->userdata);
}

static void ask(Provider *provider)
{
	provider->asking = true;
	provider->noticed = false;
	step(provider, PROVIDER_INTERFACE ".Query", on_query);
}

void provider_verb_answered(Provider *provider)
{
	if (provider->asking)
		provider->noticed = true;
}

void provider_ask_again(Provider *provider)
{
	if (provider->asking)
		provider->noticed = true;
	else if (provider->ready && provider->stands)
		ask(provider);
	/* Else it is coming up, and is going to be asked. */
}

/* Good news or bad: it stays the TSM's trouble until Query, which is asked now, says otherwise. */
static void take_note(Provider *provider, const char *reason)
{
	if (reason)
		set_trouble(provider, reason);
	provider_ask_again(provider);
}

static void on_watch(VarlinkClient *client, const VarlinkReply *reply, void *userdata)
{
	Provider *provider = userdata;
	json_object *tdi, *dsm;
	_cleanup_free_ char *why = NULL;
	const char *reason;
	ProviderTdi t;
	ProviderDsm d;

	if (reply->status < 0 || reply->error || (!reply->continues && !provider->stands)) {
		why = provider_reply_reason(reply, reply->error);
		provider_lose(provider, why ?: "the provider ended its Monitor");
		return;
	}
	tdi = json_get_object(reply->parameters, "tdi");
	dsm = json_get_object(reply->parameters, "dsm");
	reason = json_get_string(reply->parameters, "reason");
	if (!reply->continues) {
		come_up_anew(provider, reason);
		return;
	}
	if (!provider->stands) {
		provider->stands = true;
		sd_event_now(provider->event, CLOCK_MONOTONIC, &provider->stood_usec);
		ask(provider);
		return;
	}
	if (!tdi && !dsm) {
		take_note(provider, reason);
		return;
	}
	if (provider->asking) {
		provider->noticed = true;
		return;
	}
	if (!provider->ready)
		return;
	if (tdi && provider_tdi_read(&t, tdi, &why) >= 0) {
		provider_view_said(&provider->view, &t, 1, NULL, 0);
		provider->handlers.tdi_changed(provider, &t, reason, provider->userdata);
	} else if (tdi) {
		log_warning("tsm %s: Monitor: %s; it is not heeded", provider->name,
			    why ?: "out of memory");
	}
	if (dsm && read_dsm(&d, dsm) >= 0) {
		provider_view_said(&provider->view, NULL, 0, &d, 1);
		provider->handlers.dsm_changed(provider, &d, reason, provider->userdata);
	}
}

static void on_devices(const VarlinkReply *reply, const char *error, void *userdata)
{
	Provider *provider = userdata;
	json_object *o = step_reply(provider, reply, error);
	_cleanup_free_ char *why = NULL;
	uint64_t epoch;
	int r;

	if (!o)
		return;
	r = provider_view_list(&provider->view, json_get_array(o, "devices"));
	if (r < 0) {
		provider_lose(provider, r == -E2BIG ? "ListDevices: too many devices"
					: r == -EBADMSG
						? "ListDevices: a device's address is malformed"
						: strerror(-r));
		return;
	}
	r = provider_pool_take(provider->pool, &provider->watch, &epoch, &why);
	/* What it has reported by the time of an answer is taken before that answer. */
	if (r >= 0)
		r = varlink_client_set_priority(provider->watch, SD_EVENT_PRIORITY_IMPORTANT);
	if (r >= 0)
		r = varlink_client_call(provider->watch, PROVIDER_INTERFACE ".Monitor", NULL,
					VARLINK_CALL_MORE, 0, on_watch, provider);
	if (r < 0)
		provider_lose(provider, why ?: strerror(-r));
}

static void on_capabilities(const VarlinkReply *reply, const char *error, void *userdata)
{
	Provider *provider = userdata;
	json_object *o = step_reply(provider, reply, error), *c;

	if (!o)
		return;
	/* Verbs are for an instance whose binds are known. */
	if (provider->instance && strcmp(provider->instance, json_get_string(o, "instance")) != 0)
		provider->ready = false;
	c = json_get_object(o, "capabilities");
	provider->protection = json_get_bool(c, "protection", false);
	provider->waits_for_guest = strcmp(json_get_string(c, "bind_when"), "added") != 0;
	provider->tells_state = strcmp(json_get_string(c, "state_source"), "tsm") == 0;
	set_title(provider, json_get_string(c, "platform"));
	step(provider, PROVIDER_INTERFACE ".ListDevices", on_devices);
}

static int come_up(Provider *provider)
{
	return step(provider, PROVIDER_INTERFACE ".GetCapabilities", on_capabilities);
}

int provider_new(Provider **ret, sd_event *event, const ConfigTsm *config,
		 const ProviderHandlers *handlers, void *userdata)
{
	_cleanup_(provider_freep) Provider *provider = calloc(1, sizeof(*provider));
	_cleanup_free_ char *why = NULL;
	int r;

	if (!provider)
		return -ENOMEM;
	provider->event = sd_event_ref(event);
	provider->handlers = *handlers;
	provider->userdata = userdata;
	provider->retry_usec = RETRY_FIRST_USEC;
	provider->waits_for_guest = true; /* until it has said otherwise: nothing is bound early */
	provider->name = strdup(config->name);
	if (!provider->name)
		return -ENOMEM;
	set_title(provider, "");
	set_trouble(provider, "it has not answered yet");
	r = idl_parse(&provider->idl, schema_io_tdid_tsm, &why);
	if (r < 0) {
		log_error("io.tdid.Tsm: %s", why ?: strerror(-r));
		return r;
	}
	r = provider_pool_new(&provider->pool, event, config->socket, config->uid, provider->idl);
	if (r < 0)
		return r;
	r = expiries_init(&provider->silences, event, "the silence of TSM providers",
			  CLOCK_MONOTONIC, CALL_TIMEOUT_USEC);
	/* Should tdid itself have stood still, what has come meanwhile is read first. */
	if (r >= 0)
		r = sd_event_source_set_priority(provider->silences.timer,
						 SD_EVENT_PRIORITY_NORMAL + 1);
	if (r < 0)
		return r;
	/* From the loop, so that no handler runs before the caller has its pointer. */
	r = sd_event_add_time_relative(event, &provider->retry, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
				       on_retry, provider);
	if (r < 0)
		return r;
	*ret = steal_ptr(provider);
	return 0;
}

Provider *provider_free(Provider *provider)
{
	if (!provider)
		return NULL;
	while (provider->calls)
		provider_call_forget(provider->calls);
	expiries_done(&provider->silences);
	varlink_client_free(provider->watch);
	provider_pool_free(provider->pool);
	sd_event_source_disable_unref(provider->retry);
	idl_free(provider->idl);
	provider_view_clear(&provider->view);
	free(provider->instance);
	free(provider->trouble);
	free(provider->name);
	free(provider->title);
	sd_event_unref(provider->event);
	free(provider);
	return NULL;
}

const char *provider_name(const Provider *provider)
{
	return provider->name;
}

const char *provider_title(const Provider *provider)
{
	return provider->title;
}

bool provider_protects(const Provider *provider)
{
	return provider->protection;
}

bool provider_is_ready(const Provider *provider)
{
	return provider->ready;
}

bool provider_binds_when_guest_ready(const Provider *provider)
{
	return provider->waits_for_guest;
}

bool provider_tells_state(const Provider *provider)
{
	return provider->tells_state;
}

bool provider_serves(const Provider *provider, Bdf device, Bdf *ret_dsm)
{
	const ProviderDevice *found = provider_view_device(&provider->view, device);

	if (!found || !found->tee_io)
		return false;
	*ret_dsm = found->dsm;
	return true;
}

bool provider_has_dsm(const Provider *provider, Bdf dsm)
{
	for (size_t i = 0; i < provider->view.n_devices; i++)
		if (provider->view.devices[i].tee_io &&
		    bdf_equal(provider->view.devices[i].dsm, dsm))
			return true;
	return false;
}

const ProviderView *provider_view(const Provider *provider)
{
	return &provider->view;
}

void provider_dsm_said(Provider *provider, Bdf dsm, bool connected)
{
	provider_view_said(&provider->view, NULL, 0,
			   &(ProviderDsm){ .dsm = dsm, .connected = connected }, 1);
}

const char *provider_trouble(const Provider *provider)
{
	return provider->trouble;
}
