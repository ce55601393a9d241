/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hook call goes through these steps, each of which may have to wait, all of it under one timer:
 *
 *   prepare: this domain's own previous unbind -> the providers are there -> PrepareTvm of each
 *   stopped: unbind of whatever is still bound
 *   release: ReleaseTvm of each provider
 *
 * prepare is refused when its time is over; stopped and release go on whatever happens.
 */
#include "daemon/hook-service.h"

#include "core/domain-xml.h"
#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/incarnation.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define PROVIDER_TIMEOUT_USEC (5 * UINT64_C(1000000))
#define KEY_FWCFG	      "opt/io.tdid/tvm-key"

typedef enum HookStep { HOOK_QUIET, HOOK_PROVIDERS, HOOK_CALLS } HookStep;

typedef struct HookCall HookCall;

struct HookCall {
	HookService *service;
	VarlinkCall *call;
	char *domain; /* its name, for messages */
	Uuid uuid;
	char *key_file; /* that the XML names for the TVM's key, or NULL */
	bool prepare;	/* else stopped or release: never refused */
	bool release;
	HookStep step;
	size_t provider; /* the next one to call */
	ProviderCall *provider_call;
	sd_event_source *timeout;
	HookCall *next;
};

struct HookService {
	Tdid *tdid;
	VarlinkServer *server;
	HookCall *first;
};

static void hook_call_free(HookCall *hook)
{
	HookCall **link = &hook->service->first;

	while (*link && *link != hook)
		link = &(*link)->next;
	if (*link)
		*link = hook->next;
	provider_call_forget(hook->provider_call);
	sd_event_source_disable_unref(hook->timeout);
	varlink_call_unref(hook->call);
	free(hook->domain);
	free(hook->key_file);
	free(hook);
}

static void answer(HookCall *hook)
{
	varlink_call_reply(hook->call, NULL);
	hook_call_free(hook);
}

static int refuse(VarlinkCall *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(VarlinkCall *call, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&message, format, args);
	va_end(args);
	if (r < 0)
		return -ENOMEM;
	log_warning("hook: refused: %s", message);
	return varlink_call_errorb(call, "Refused", J_STRING("message", message));
}

/* Ends a call that cannot go on: a start is refused, a stop goes on all the same. */
static void give_up(HookCall *hook, const char *reason)
{
	if (hook->prepare) {
		refuse(hook->call, "%s: %s", hook->domain, reason);
		hook_call_free(hook);
		return;
	}
	log_warning("hook: %s: stops without waiting any longer: %s", hook->domain, reason);
	answer(hook);
}

static void go_on(HookCall *hook);

static void on_provider_reply(const VarlinkReply *reply, const char *error, void *userdata)
{
	HookCall *hook = userdata;
	Provider *provider = hook->service->tdid->providers[hook->provider];
	_cleanup_free_ char *why = NULL, *reason = NULL;
	const char *key_file;

	hook->provider_call = NULL;
	if (reply->status < 0 || error) {
		why = provider_reply_reason(reply, error);
		if (hook->release) {
			log_warning("hook: %s: ReleaseTvm: tsm %s: %s", hook->domain,
				    provider_title(provider), why ?: "out of memory");
			hook->provider++;
			go_on(hook);
			return;
		}
		if (asprintf(&reason, "PrepareTvm: tsm %s: %s", provider_title(provider),
			     why ?: "out of memory") < 0)
			reason = NULL;
		give_up(hook, reason ?: "out of memory");
		return;
	}
	key_file = json_get_string(reply->parameters, "key_file");
	if (hook->prepare && key_file && hook->key_file && strcmp(key_file, hook->key_file) != 0) {
		if (asprintf(&reason,
			     "its fw_cfg entry " KEY_FWCFG " names %s, but tsm %s keeps this TVM's "
			     "key in %s. Put that path into the domain's <sysinfo type='fwcfg'>",
			     hook->key_file, provider_title(provider), key_file) < 0)
			reason = NULL;
		give_up(hook, reason ?: "out of memory");
		return;
	}
	hook->provider++;
	go_on(hook);
}

static void call_provider(HookCall *hook)
{
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char uuid[UUID_STRING_SIZE];
	int r;

	r = json_build(&parameters, J_STRING("tvm", uuid_format(hook->uuid, uuid)));
	if (r >= 0)
		r = provider_call(hook->service->tdid->providers[hook->provider],
				  hook->prepare ? "io.tdid.Tsm.PrepareTvm"
						: "io.tdid.Tsm.ReleaseTvm",
				  parameters, 0, PROVIDER_TIMEOUT_USEC, on_provider_reply, hook,
				  &hook->provider_call);
	if (r < 0)
		give_up(hook, "the TSM's provider cannot be reached");
}

/* Whether some incarnation of this domain still has something bound. */
static bool is_quiet(HookCall *hook)
{
	Tdid *tdid = hook->service->tdid;
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));) {
		const EngineTvm *e = engine_tvm(tdid->engine, tvm->id);

		if (uuid_equal(tvm->uuid, hook->uuid) && e && e->bound > 0)
			return false;
	}
	return true;
}

static void go_on(HookCall *hook)
{
	Tdid *tdid = hook->service->tdid;

	if (hook->provider_call)
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
		if (!tdid_providers_ready(tdid)) {
			/* The next PrepareTvm makes a new key anyway. */
			if (hook->release)
				give_up(hook, "a TSM's provider is not there to release it");
			return;
		}
		hook->step = HOOK_CALLS;
	}
	if (hook->provider < tdid->config->n_tsms)
		call_provider(hook);
	else
		answer(hook);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	HookCall *hook = userdata;

	if (hook->step == HOOK_QUIET)
		give_up(hook,
			"a trusted device of its last run is still being unbound. See 'tdictl "
			"list'; try again when it is released");
	else
		give_up(hook, "a TSM's provider is not there. See 'tdid' in the journal, and start "
			      "the provider that tdid.conf names");
	return 0;
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	hook_call_free(userdata);
}

static int wait_for(HookService *service, VarlinkCall *call, const char *domain,
		    const DomainXml *xml, const char *operation)
{
	HookCall *hook = calloc(1, sizeof(*hook));
	int r;

	if (!hook)
		return -ENOMEM;
	hook->service = service;
	hook->call = varlink_call_ref(call);
	hook->uuid = xml->uuid;
	hook->domain = strdup(domain);
	hook->prepare = strcmp(operation, "prepare") == 0;
	hook->release = strcmp(operation, "release") == 0;
	for (size_t i = 0; i < xml->n_fwcfg; i++)
		if (strcmp(xml->fwcfg[i].name, KEY_FWCFG) == 0 && xml->fwcfg[i].file)
			hook->key_file = strdup(xml->fwcfg[i].file);
	hook->next = service->first;
	service->first = hook;
	r = sd_event_add_time_relative(service->tdid->event, &hook->timeout, CLOCK_MONOTONIC,
				       service->tdid->config->stop_timeout_usec, 0, on_timeout,
				       hook);
	if (!hook->domain || r < 0) {
		hook_call_free(hook);
		return r < 0 ? r : -ENOMEM;
	}
	varlink_call_on_gone(call, on_gone, hook);
	go_on(hook);
	return 0;
}

/* 1 when the call has been refused, because the device is not to be had. */
static int refuse_taken(Tdid *tdid, VarlinkCall *call, const char *name, const DomainXml *xml,
			const DomainDevice *device)
{
	const Tdi *tdi = registry_find_tdi(tdid->registry, device->host);
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;
	const Assignment *owner = e && e->owner != ENGINE_NONE
					  ? registry_assignment_at(tdid->registry, e->owner)
					  : NULL;
	char text[BDF_STRING_SIZE];
	int r = 0;

	bdf_format(device->host, text);
	if (e && e->quarantined)
		r = refuse(
			call,
			"%s: device %s (%s) is quarantined: what the TSM holds of it is not known. "
			"See 'tdictl list' for why; use another device until this host has been "
			"rebooted",
			name, device->alias, text);
	else if (owner && !uuid_equal(owner->tvm->uuid, xml->uuid))
		r = refuse(call,
			   "%s: device %s (%s) is still %s's. See 'tdictl list'; detach it there",
			   name, device->alias, text,
			   owner->tvm->domain ? owner->tvm->domain->name : "another TVM");
	else
		return 0;
	return r < 0 ? r : 1;
}

static int prepare(HookService *service, VarlinkCall *call, const char *name, const DomainXml *xml)
{
	bool devices = xml->markers & (DOMAIN_MARKER_DEVICE | DOMAIN_MARKER_MISSING);

	if (devices && !xml->has_guest_port)
		return refuse(
			call,
			"%s: it declares trusted devices, but has no guest port over which its "
			"agent could be reached. Add <channel type='unix'><target type='virtio' "
			"name='" DOMAIN_XML_GUEST_PORT "'/></channel>",
			name);
	for (size_t i = 0; i < xml->n_devices; i++) {
		const DomainDevice *device = &xml->devices[i];
		char text[BDF_STRING_SIZE];
		Bdf dsm;

		if (tdid_providers_ready(service->tdid) &&
		    !tdid_provider_of(service->tdid, device->host, &dsm))
			return refuse(call,
				      "%s: device %s (%s): no TSM serves it as a TEE-IO device. "
				      "Remove it from the domain, or see the provider's "
				      "configuration",
				      name, device->alias, bdf_format(device->host, text));
	}
	for (size_t i = 0; i < xml->n_devices; i++) {
		int r = refuse_taken(service->tdid, call, name, xml, &xml->devices[i]);

		if (r != 0)
			return r < 0 ? r : 0;
	}
	return wait_for(service, call, name, xml, "prepare");
}

static void started(Tdid *tdid, const char *name, const DomainXml *xml, json_object *parameters)
{
	int64_t pid = json_get_int(parameters, "qemu_pid", 0);
	int64_t start_time = json_get_int(parameters, "qemu_start_time", 0);
	Domain *domain;
	int r = registry_domain(tdid->registry, xml->uuid, &domain);

	if (r < 0)
		return;
	free(domain->name);
	domain->name = strdup(name);
	if (!domain->name || pid < 1 || pid > INT32_MAX)
		return; /* the read that follows finds it by itself */
	r = incarnation_begin(tdid, domain, (pid_t)pid, (uint64_t)start_time);
	if (r < 0)
		log_error("%s: QEMU %d: %s", name, (int)pid, strerror(-r));
	domains_read(tdid, domain);
}

static int on_run(VarlinkCall *call, json_object *parameters, void *userdata)
{
	HookService *service = userdata;
	Tdid *tdid = service->tdid;
	const char *name = json_get_string(parameters, "domain");
	const char *operation = json_get_string(parameters, "operation");
	const char *text = json_get_string(parameters, "xml");
	_cleanup_(domain_xml_freep) DomainXml *xml = NULL;
	_cleanup_free_ char *why = NULL;
	Domain *domain;
	int r = domain_xml_parse(&xml, text, strlen(text), &why);
	bool starts = strcmp(operation, "prepare") == 0;

	if (r < 0) {
		if (starts)
			return refuse(call, "%s: its XML: %s", name, why ?: strerror(-r));
		log_error("hook: %s %s: its XML: %s", name, operation, why ?: strerror(-r));
		return varlink_call_reply(call, NULL);
	}
	if (!xml->markers)
		return varlink_call_reply(call, NULL);
	if (starts)
		return prepare(service, call, name, xml);
	if (strcmp(operation, "started") == 0 || strcmp(operation, "reconnect") == 0) {
		started(tdid, name, xml, parameters);
		return varlink_call_reply(call, NULL);
	}
	if ((strcmp(operation, "migrate") == 0 || strcmp(operation, "restore") == 0) &&
	    (xml->markers & DOMAIN_MARKER_DEVICE))
		return refuse(
			call,
			"%s: a domain with trusted devices cannot be migrated or restored: the "
			"TSM's bind does not travel. Detach them first",
			name);
	if (strcmp(operation, "stopped") == 0) {
		domain = registry_find_domain(tdid->registry, xml->uuid);
		if (domain && domain->tvm)
			director_event(
				tdid,
				&(EngineEvent){ .type = EVENT_TVM_STOPPING, .id = domain->tvm->id },
				NULL);
		return wait_for(service, call, name, xml, operation);
	}
	if (strcmp(operation, "release") == 0)
		return wait_for(service, call, name, xml, operation);
	return varlink_call_reply(call, NULL);
}

static void go_on_all(HookService *service, HookStep step)
{
	HookCall *next;

	for (HookCall *hook = service ? service->first : NULL; hook; hook = next) {
		next = hook->next;
		if (hook->step == step)
			go_on(hook);
	}
}

void hook_service_tvm_quiet(HookService *service, const Tvm *tvm)
{
	go_on_all(service, HOOK_QUIET);
}

void hook_service_provider_ready(HookService *service)
{
	go_on_all(service, HOOK_PROVIDERS);
}

static bool allow(const struct ucred *peer, void *userdata)
{
	if (peer->uid == 0)
		return true;
	log_warning("hook: uid %d refused: only root (libvirtd) may call io.tdid.Hook",
		    (int)peer->uid);
	return false;
}

int hook_service_new(HookService **ret, Tdid *tdid, char **ret_error)
{
	VarlinkServerOptions options = { .vendor = "tdid",
					 .product = "tdid",
					 .version = TDID_VERSION,
					 .input_max = 16 * 1024 * 1024,
					 .allow = allow };
	_cleanup_free_ char *path = NULL;
	HookService *service = calloc(1, sizeof(*service));
	int r, fd;

	if (!service)
		return -ENOMEM;
	service->tdid = tdid;
	if (asprintf(&path, "%s/io.tdid.Hook", tdid->config->sockets) < 0) {
		free(service);
		return -ENOMEM;
	}
	r = varlink_server_new(&service->server, tdid->event, &options);
	if (r >= 0)
		r = varlink_server_add_interface(service->server, schema_io_tdid_hook, ret_error);
	if (r >= 0)
		r = varlink_server_bind(service->server, "io.tdid.Hook.Run", 0, on_run, service);
	if (r >= 0) {
		fd = varlink_activation_fd("io.tdid.Hook", path);
		r = fd >= 0 ? varlink_server_listen_fd(service->server, fd, ret_error)
			    : varlink_server_listen(service->server, path, 0600, ret_error);
	}
	if (r < 0) {
		hook_service_free(service);
		return r;
	}
	*ret = service;
	return 0;
}

HookService *hook_service_free(HookService *service)
{
	if (!service)
		return NULL;
	/* First, so that nobody waits for an answer any more when the calls go. */
	varlink_server_free(service->server);
	while (service->first)
		hook_call_free(service->first);
	free(service);
	return NULL;
}
