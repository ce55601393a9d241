/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hook call goes through these steps, each of which may have to wait, all of it under one timer:
 *
 *   prepare: this domain's own previous unbind -> the providers are there -> are its devices to be
 *            had? -> PrepareTvm of each -> its quote socket listens
 *   stopped: unbind of whatever is still bound
 *   release: likewise (tdid may have been started again since) -> ReleaseTvm of each provider
 *
 * prepare is refused when its time is over; stopped and release go on whatever happens. After
 * release libvirt gives the devices back to the host's drivers, so what is not unbound when its
 * time is over is quarantined.
 *
 * A TSM in which the TVM was not prepared at its start can give it no device as long as it runs. So
 * prepare waits for every provider; but for half of its time only, where those that serve the
 * devices in the XML are there, and goes on without one that then falls silent: one that is broken
 * is not to keep all VMs from starting. What has nothing but a quote socket is no TSM's business.
 */
#include "daemon/hook-private.h"

#include "daemon/admission.h"
#include "daemon/director.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define PROVIDER_TIMEOUT_USEC (5 * UINT64_C(1000000))
#define KEY_FWCFG	      "opt/io.tdid/tvm-key"
/* tdi-hook itself waits 15 s for the answer to a stop. */
#define STOP_MAX_USEC (14 * UINT64_C(1000000))

void hook_call_free(HookCall *hook)
{
	HookCall **link = &hook->service->first;

	while (*link && *link != hook)
		link = &(*link)->next;
	if (*link)
		*link = hook->next;
	provider_call_forget(hook->provider_call);
	quote_call_forget(hook->quote_call);
	sd_event_source_disable_unref(hook->patience);
	sd_event_source_disable_unref(hook->timeout);
	varlink_call_unref(hook->call);
	free(hook->domain);
	domain_xml_free(hook->xml);
	free(hook);
}

static void answer(HookCall *hook)
{
	hook_let_go_on(hook->service, hook->call);
	hook_call_free(hook);
}

/* Ends a call that cannot go on: a start is refused, a stop goes on all the same. */
static void give_up(HookCall *hook, const char *reason)
{
	if (hook->prepare) {
		hook_refuse(hook->service, hook->call, "%s: %s", hook->domain, reason);
		hook_call_free(hook);
		return;
	}
	log_warning("hook: %s: stops without waiting any longer: %s", hook->domain, reason);
	hook_count(hook->service, hook->call, METRICS_HOOK_LATE);
	varlink_call_reply(hook->call, NULL);
	hook_call_free(hook);
}

static const char *key_file_of(const DomainXml *xml)
{
	for (size_t i = 0; i < xml->n_fwcfg; i++)
		if (strcmp(xml->fwcfg[i].name, KEY_FWCFG) == 0 && xml->fwcfg[i].file)
			return xml->fwcfg[i].file;
	return NULL;
}

static bool serves_any(const Provider *provider, const DomainXml *xml)
{
	Bdf dsm;

	for (size_t i = 0; i < xml->n_devices; i++)
		if (provider_serves(provider, xml->devices[i].host, &dsm))
			return true;
	return false;
}

/* Whether the domain cannot start without it, or nobody knows. */
static bool is_needed(const HookCall *hook, const Provider *provider)
{
	const DomainXml *xml = hook->xml;
	Bdf dsm;

	if (xml->n_missing > 0)
		return true;
	if (xml->n_devices == 0)
		return key_file_of(xml) != NULL; /* whose, its answer says */
	for (size_t i = 0; i < xml->n_devices; i++)
		if (!tdid_provider_of(hook->service->tdid, xml->devices[i].host, &dsm))
			return true;
	return serves_any(provider, xml);
}

static bool concerns_no_tsm(const DomainXml *xml)
{
	return xml->markers == DOMAIN_MARKER_QUOTE_SOCKET;
}

/* As many as it takes. */
static bool providers_are_there(const HookCall *hook)
{
	const Tdid *tdid = hook->service->tdid;
	size_t n_ready = 0;

	if (concerns_no_tsm(hook->xml) || tdid_providers_ready(tdid))
		return true;
	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (provider_is_ready(tdid->providers[i]))
			n_ready++;
		else if (is_needed(hook, tdid->providers[i]))
			return false;
	return hook->is_impatient && n_ready > 0;
}

/* NULL: the XML hands the TVM's key on, or the TSM needs none. Else a sentence, allocated. */
static char *key_trouble(const HookCall *hook, const Provider *provider, const char *key_file)
{
	const char *named = key_file_of(hook->xml);
	char *reason = NULL;
	int r = 0;

	if (!key_file)
		return NULL;
	if (named && strcmp(named, key_file) != 0)
		r = asprintf(&reason,
			     "its fw_cfg entry " KEY_FWCFG " names %s, but tsm %s keeps this TVM's "
			     "key in %s. Put that path into the domain's <sysinfo type='fwcfg'>",
			     named, provider_title(provider), key_file);
	else if (!named && serves_any(provider, hook->xml))
		r = asprintf(&reason,
			     "it declares trusted devices of tsm %s, but does not hand the TVM its "
			     "key, without which the TVM can talk to no TSM. Add <sysinfo "
			     "type='fwcfg'><entry name='" KEY_FWCFG "' file='%s'/></sysinfo>",
			     provider_title(provider), key_file);
	return r < 0 ? strdup("out of memory") : reason;
}

static bool another_is_there(const HookCall *hook, const Provider *provider)
{
	const Tdid *tdid = hook->service->tdid;

	for (size_t i = 0; i < tdid->config->n_tsms; i++)
		if (tdid->providers[i] != provider && provider_is_ready(tdid->providers[i]))
			return true;
	return false;
}

static void go_without(HookCall *hook, const char *why)
{
	log_warning("hook: %s: starts without tsm %s (%s): it can get none of its devices as long "
		    "as it runs",
		    hook->domain, provider_name(hook->service->tdid->providers[hook->provider]),
		    why);
	hook->provider++;
}

static void on_provider_reply(const VarlinkReply *reply, const char *error, void *userdata)
{
	HookCall *hook = userdata;
	Provider *provider = hook->service->tdid->providers[hook->provider];
	_cleanup_free_ char *why = NULL, *reason = NULL;

	hook->provider_call = NULL;
	if (reply->status < 0 || error) {
		why = provider_reply_reason(reply, error);
		if (hook->release) {
			log_warning("hook: %s: ReleaseTvm: tsm %s: %s", hook->domain,
				    provider_title(provider), why ?: "out of memory");
			hook->provider++;
			hook_call_go_on(hook);
			return;
		}
		if (reply->status < 0 && !is_needed(hook, provider) &&
		    another_is_there(hook, provider)) {
			go_without(hook, why ?: "out of memory");
			hook_call_go_on(hook);
			return;
		}
		if (asprintf(&reason, "PrepareTvm: tsm %s: %s", provider_title(provider),
			     why ?: "out of memory") < 0)
			reason = NULL;
		give_up(hook, reason ?: "out of memory");
		return;
	}
	reason = hook->prepare ? key_trouble(hook, provider,
					     json_get_string(reply->parameters, "key_file"))
			       : NULL;
	if (reason) {
		give_up(hook, reason);
		return;
	}
	hook->provider++;
	hook_call_go_on(hook);
}

static void call_provider(HookCall *hook)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char uuid[UUID_STRING_SIZE];
	int r;

	r = json_build(&parameters, J_STRING("tvm", uuid_format(hook->xml->uuid, uuid)));
	if (r >= 0)
		r = provider_call(hook->service->tdid->providers[hook->provider],
				  hook->prepare ? "io.tdid.Tsm.PrepareTvm"
						: "io.tdid.Tsm.ReleaseTvm",
				  parameters, PROVIDER_CALL_OWN, PROVIDER_TIMEOUT_USEC,
				  on_provider_reply, hook, &hook->provider_call);
	if (r < 0 && hook->release) {
		log_warning("hook: %s: ReleaseTvm: tsm %s cannot be reached", hook->domain,
			    provider_title(hook->service->tdid->providers[hook->provider]));
		hook->provider++;
		hook_call_go_on(hook);
	} else if (r < 0) {
		give_up(hook, "the TSM's provider cannot be reached");
	}
}

/* Whether some incarnation of this domain still has something bound. */
static bool is_quiet(HookCall *hook)
{
	Tdid *tdid = hook->service->tdid;
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));) {
		const EngineTvm *e = engine_tvm(tdid->engine, tvm->id);

		if (uuid_equal(tvm->uuid, hook->xml->uuid) && e && e->bound > 0)
			return false;
	}
	return true;
}

/* False: its devices are to be had. */
static bool refuse_devices(HookCall *hook)
{
	_cleanup_free_ char *why = NULL;
	int r = admission_of_start(hook->service->tdid, hook->xml, &why);

	if (r != 0)
		give_up(hook, why ?: strerror(ENOMEM));
	return r != 0;
}

static void on_quote_prepared(const char *why, void *userdata)
{
	HookCall *hook = userdata;
	_cleanup_free_ char *reason = NULL;

	hook->quote_call = NULL;
	if (!why)
		answer(hook);
	else if (asprintf(&reason, "its quote socket %s: %s", hook->xml->quote_socket, why) < 0)
		give_up(hook, "out of memory");
	else
		give_up(hook, reason);
}

static void prepare_quotes(HookCall *hook)
{
	if (!hook->prepare || !(hook->xml->markers & DOMAIN_MARKER_QUOTE_SOCKET))
		answer(hook);
	else if (quote_relay_prepare(hook->service->tdid->quotes, hook->xml, hook->domain,
				     on_quote_prepared, hook, &hook->quote_call) < 0)
		give_up(hook, "out of memory");
}

/* Those that it does without. False: the next one may come yet. */
static bool skip_providers(HookCall *hook)
{
	const Tdid *tdid = hook->service->tdid;

	if (concerns_no_tsm(hook->xml))
		hook->provider = tdid->config->n_tsms;
	while (hook->prepare && hook->provider < tdid->config->n_tsms) {
		const Provider *provider = tdid->providers[hook->provider];

		if (provider_is_ready(provider) || is_needed(hook, provider))
			return true;
		if (!hook->is_impatient)
			return false;
		go_without(hook, provider_trouble(provider) ?: "not reached yet");
	}
	return true;
}

void hook_call_go_on(HookCall *hook)
{
	Tdid *tdid = hook->service->tdid;

	if (hook->provider_call || hook->quote_call || hook->is_over)
		return;
	if (hook->step == HOOK_QUIET) {
		if (!is_quiet(hook))
			return;
		hook->step = HOOK_PROVIDERS;
	}
	if (hook->step == HOOK_PROVIDERS) {
		if (!hook->prepare && !hook->release) {
			answer(hook);
			return;
		}
		/* A release does not wait: the next PrepareTvm makes a new key anyway. */
		if (!hook->release && !providers_are_there(hook))
			return;
		hook->step = HOOK_CALLS;
		if (hook->prepare && refuse_devices(hook))
			return;
	}
	if (!skip_providers(hook))
		return;
	if (hook->provider < tdid->config->n_tsms)
		call_provider(hook);
	else
		prepare_quotes(hook);
}

/* The first provider that is not there, of those that are needed if there is one; and why. */
static char *who_is_away(const HookCall *hook)
{
	const Tdid *tdid = hook->service->tdid;
	const Provider *away = NULL;
	const char *socket = NULL;
	char *text;

	for (size_t i = 0; i < tdid->config->n_tsms; i++) {
		const Provider *provider = tdid->providers[i];

		if (provider_is_ready(provider) ||
		    (away && (is_needed(hook, away) || !is_needed(hook, provider))))
			continue;
		away = provider;
		socket = tdid->config->tsms[i].socket;
	}
	if (!away)
		return strdup("its time is over");
	if (asprintf(&text,
		     "the provider of tsm %s is not there (%s: %s). Start the one that tdid.conf "
		     "names",
		     provider_name(away), socket, provider_trouble(away) ?: "not reached yet") < 0)
		return NULL;
	return text;
}

/* One of those that are there. */
static char *who_is_late(const HookCall *hook)
{
	const Provider *provider = hook->service->tdid->providers[hook->provider];
	char *text;

	return asprintf(
		       &text,
		       "%s: tsm %s does not answer in time. See its provider's log, and start that "
		       "again",
		       hook->prepare ? "PrepareTvm" : "ReleaseTvm", provider_title(provider)) < 0
		       ? NULL
		       : text;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_free_ char *away = NULL;
	HookCall *hook = userdata;

	if (!hook->prepare && hook->step == HOOK_QUIET) {
		hook->is_over = true; /* what is given up must not have it go on as well */
		director_stop_overdue(hook->service->tdid, hook->xml->uuid);
		give_up(hook, "trusted devices that are not unbound yet are quarantined");
		return 0;
	}
	if (hook->step == HOOK_QUIET) {
		give_up(hook,
			"a trusted device of its last run is still being unbound. See 'tdictl "
			"list'; try again when it is released");
		return 0;
	}
	if (hook->quote_call) {
		give_up(hook, "tdi-quoted does not answer in time; see 'journalctl -u tdi-quoted'");
		return 0;
	}
	away = hook->provider_call ? who_is_late(hook) : who_is_away(hook);
	give_up(hook, away ?: "out of memory");
	return 0;
}

static int on_impatient(sd_event_source *source, uint64_t usec, void *userdata)
{
	HookCall *hook = userdata;

	hook->is_impatient = true;
	hook_call_go_on(hook);
	return 0;
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	HookCall *hook = userdata;

	hook_count(hook->service, call, METRICS_HOOK_GONE);
	/* Whoever called waits no longer, or was killed: libvirt goes on with the stop. */
	if (!hook->prepare && hook->step == HOOK_QUIET && !hook->service->is_ending) {
		hook->is_over = true;
		director_stop_overdue(hook->service->tdid, hook->xml->uuid);
	}
	hook_call_free(hook);
}

static uint64_t patience_usec(const HookCall *hook)
{
	uint64_t usec = hook->service->tdid->config->stop_timeout_usec;

	return hook->prepare || usec < STOP_MAX_USEC ? usec : STOP_MAX_USEC;
}

int hook_call_begin(HookService *service, VarlinkCall *call, const char *domain, DomainXml *xml,
		    const char *operation)
{
	HookCall *hook = calloc(1, sizeof(*hook));
	int r;

	if (!hook) {
		domain_xml_free(xml);
		return -ENOMEM;
	}
	hook->service = service;
	hook->call = varlink_call_ref(call);
	hook->xml = xml;
	hook->domain = strdup(domain);
	hook->prepare = strcmp(operation, "prepare") == 0;
	hook->release = strcmp(operation, "release") == 0;
	hook->next = service->first;
	service->first = hook;
	r = sd_event_add_time_relative(service->tdid->event, &hook->timeout, CLOCK_MONOTONIC,
				       patience_usec(hook), 0, on_timeout, hook);
	if (r >= 0 && hook->prepare)
		r = sd_event_add_time_relative(
			service->tdid->event, &hook->patience, CLOCK_MONOTONIC,
			service->tdid->config->stop_timeout_usec / 2, 0, on_impatient, hook);
	if (!hook->domain || r < 0) {
		hook_call_free(hook);
		return r < 0 ? r : -ENOMEM;
	}
	varlink_call_on_gone(call, on_gone, hook);
	hook_call_go_on(hook);
	return 0;
}
