/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/hook-private.h"

#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/incarnation.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

void hook_count(const HookService *service, const VarlinkCall *call, MetricsHook outcome)
{
	metrics_hook(service->tdid->metrics,
		     json_get_string(varlink_call_parameters(call), "operation"), outcome);
}

int hook_let_go_on(const HookService *service, VarlinkCall *call)
{
	hook_count(service, call, METRICS_HOOK_ANSWERED);
	return varlink_call_reply(call, NULL);
}

int hook_refuse(const HookService *service, VarlinkCall *call, const char *format, ...)
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
	hook_count(service, call, METRICS_HOOK_REFUSED);
	return varlink_call_errorb(call, "Refused", J_STRING("message", message));
}

/* By it a domain comes to run, which it need not. */
static bool is_refusable(const char *operation)
{
	return strcmp(operation, "prepare") == 0 || strcmp(operation, "migrate") == 0 ||
	       strcmp(operation, "restore") == 0;
}

/* Takes `xml`. */
static int prepare(HookService *service, VarlinkCall *call, const char *name, DomainXml *xml)
{
	bool devices = xml->markers & (DOMAIN_MARKER_DEVICE | DOMAIN_MARKER_MISSING);
	_cleanup_(domain_xml_freep) DomainXml *kept = NULL;

	if (!xml->defect && (!devices || xml->has_guest_port))
		return hook_call_begin(service, call, name, xml, "prepare");
	kept = xml;
	if (xml->defect)
		return hook_refuse(service, call, "%s: its %s. Set it right with 'virsh edit'",
				   name, xml->defect);
	return hook_refuse(
		service, call,
		"%s: it declares trusted devices, but has no guest port over which its agent could "
		"be reached. Add <channel type='unix'><target type='virtio' "
		"name='" DOMAIN_XML_GUEST_PORT "'/></channel>",
		name);
}

static void started(HookService *service, const char *name, const DomainXml *xml,
		    json_object *parameters)
{
	Tdid *tdid = service->tdid;
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
	if (quote_relay_concerns(xml))
		quote_relay_started(tdid->quotes, xml, name, (pid_t)pid, (uint64_t)start_time);
	/* Should it fail for want of a descriptor, say, the read that follows tries it once more.
	 */
	domain->told_pid = (pid_t)pid;
	domain->told_start_time = (uint64_t)start_time;
	r = incarnation_begin(tdid, domain, (pid_t)pid, (uint64_t)start_time);
	if (r >= 0 && domain->tvm)
		domain->tvm->quotes_told = quote_relay_concerns(xml);
	if (r < 0)
		log_error("%s: its QEMU %d cannot be watched: %s; its devices wait until it is "
			  "known",
			  name, (int)pid, strerror(-r));
	domains_read(tdid, domain);
}

/*
 * What ends, or runs already, is gone through also when its XML cannot be read: which one it is is
 * enough. -EBADMSG: not even that.
 */
static int read_xml(DomainXml **ret, const char *text, const char *name, const char *operation,
		    char **ret_why)
{
	int r = domain_xml_parse(ret, text, strlen(text), ret_why);

	if (r >= 0 || is_refusable(operation))
		return r;
	log_error("hook: %s %s: its XML: %s. It goes on with the domain's UUID alone", name,
		  operation, *ret_why ?: strerror(-r));
	return domain_xml_identify(ret, text);
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
	int r = read_xml(&xml, text, name, operation, &why);

	if (r < 0 && is_refusable(operation))
		return hook_refuse(service, call, "%s: its XML: %s", name, why ?: strerror(-r));
	if (r < 0)
		return hook_let_go_on(service, call);
	domain = registry_find_domain(tdid->registry, xml->uuid);
	/* Without a name it is one that could not be read, but tdi-hook has found a marker in. */
	if (!xml->markers && xml->name && (!domain || is_refusable(operation)))
		return hook_let_go_on(service, call);
	if (strcmp(operation, "prepare") == 0)
		return prepare(service, call, name, steal_ptr(xml));
	if (strcmp(operation, "started") == 0 || strcmp(operation, "reconnect") == 0) {
		started(service, name, xml, parameters);
		return hook_let_go_on(service, call);
	}
	if ((strcmp(operation, "migrate") == 0 || strcmp(operation, "restore") == 0) &&
	    (xml->markers & (DOMAIN_MARKER_DEVICE | DOMAIN_MARKER_DEFECT)))
		return hook_refuse(
			service, call,
			"%s: a domain with trusted devices cannot be migrated or restored: the "
			"TSM's bind does not travel. Detach them first",
			name);
	if (strcmp(operation, "stopped") != 0 && strcmp(operation, "release") != 0)
		return hook_let_go_on(service, call);
	/* The second is news where tdid was started again in between. */
	if (domain && domain->tvm)
		director_event(tdid,
			       &(EngineEvent){ .type = EVENT_TVM_STOPPING, .id = domain->tvm->id },
			       NULL);
	if (strcmp(operation, "release") == 0 && quote_relay_concerns(xml))
		quote_relay_release(tdid->quotes, xml, name);
	return hook_call_begin(service, call, name, steal_ptr(xml), operation);
}

static void go_on_all(HookService *service)
{
	HookCall *next;

	for (HookCall *hook = service ? service->first : NULL; hook; hook = next) {
		next = hook->next;
		hook_call_go_on(hook);
	}
}

void hook_service_tvm_quiet(HookService *service)
{
	go_on_all(service);
}

void hook_service_provider_ready(HookService *service)
{
	go_on_all(service);
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
	service->is_ending = true;
	/* First, so that nobody waits for an answer any more when the calls go. */
	varlink_server_free(service->server);
	while (service->first)
		hook_call_free(service->first);
	free(service);
	return NULL;
}
