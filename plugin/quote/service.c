/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "quote/service.h"

#include "core/refusal.h"
#include "quote/door.h"
#include "quote/view.h"
#include "rpc/log.h"
#include "rpc/varlink-server.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>

struct Service {
	Relay *relay;
	Records *records;
	VarlinkServer *server;
};

static int answer_error(VarlinkCall *call, const char *name, const char *label, const char *step,
			int error, const char *why)
{
	_cleanup_free_ char *message = NULL;

	if (asprintf(&message, "%s: %s: %s", label, step, why ?: strerror(-error)) < 0)
		return -ENOMEM;
	log_warning("%s", message);
	return varlink_call_errorb(call, name, J_STRING("message", message));
}

static int answer_refused(VarlinkCall *call, const char *label, const char *step, int error,
			  const char *why)
{
	return answer_error(call, "Refused", label, step, error, why);
}

/* It lacks what it takes, and whoever has told is to tell again. */
static int answer_not_now(VarlinkCall *call, const char *label, const char *step, int error)
{
	return answer_error(call, "NotNow", label, step, error, NULL);
}

/* 1: answered already. */
static int read_domain(VarlinkCall *call, json_object *parameters, Uuid *ret)
{
	if (uuid_from_string(ret, json_get_string(parameters, "domain")) == 0)
		return 0;
	varlink_call_invalid_parameter(call, "domain");
	return 1;
}

/* The one path at which a domain's socket may be: nobody can name another's, or another file. */
static int check_path(const Service *service, Uuid uuid, const char *path, char **ret_error)
{
	_cleanup_free_ char *wanted = NULL;
	char text[UUID_STRING_SIZE];

	if (asprintf(&wanted, "%s/%s.sock", service->relay->config->sockets,
		     uuid_format(uuid, text)) < 0)
		return -ENOMEM;
	if (strcmp(path, wanted) == 0)
		return 0;
	return refuse(
		ret_error, -EINVAL,
		"its XML names %s, but this domain's is %s. Put that into <quoteGenerationService "
		"path='...'/>",
		json_shown(path), wanted);
}

static int prepare(Service *service, Domain *domain, const char *name, const char *path,
		   char **ret_error)
{
	int r = domain_set_name(domain, name);

	if (r < 0)
		return r;
	/* What is left of its last run. */
	domain_forget_qemu(domain);
	domain_await(domain, &service->relay->domains.unstarted);
	domain->door = door_free(domain->door);
	free(domain->socket);
	domain->socket = strdup(path);
	if (!domain->socket)
		return -ENOMEM;
	r = records_write(service->records, domain);
	if (r < 0)
		return refuse(
			ret_error, r,
			"its record cannot be written to %s: %s; make room there, and start it "
			"again",
			records_path(service->records), strerror(-r));
	return door_of_domain(&domain->door, service->relay, domain, path, ret_error);
}

static int on_prepare(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	const char *name = json_get_string(parameters, "name");
	const char *path = json_get_string(parameters, "socket");
	_cleanup_free_ char *why = NULL;
	Domain *domain = NULL;
	Uuid uuid;
	int r;

	if (read_domain(call, parameters, &uuid))
		return 0;
	r = check_path(service, uuid, path, &why);
	if (r == 0)
		r = domains_tvm(&service->relay->domains, uuid, &domain);
	if (r >= 0)
		r = prepare(service, domain, name, path, &why);
	if (r >= 0)
		return varlink_call_reply(call, NULL);
	if (domain && !domain->door)
		records_forget(service->records, service->relay, domain);
	return answer_refused(call, name, "quote socket", r, why);
}

static int on_started(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	const char *name = json_get_string(parameters, "name");
	int64_t pid = json_get_int(parameters, "qemu_pid", 0);
	int64_t cid = json_get_int(parameters, "cid", 0);
	Domain *domain;
	Uuid uuid;
	int r, is_new;

	if (read_domain(call, parameters, &uuid))
		return 0;
	if (pid < 1 || pid > INT32_MAX)
		return varlink_call_invalid_parameter(call, "qemu_pid");
	if (cid < 0 || cid >= UINT32_MAX)
		return varlink_call_invalid_parameter(call, "cid");
	is_new = r = domains_tvm(&service->relay->domains, uuid, &domain);
	if (r >= 0)
		r = domain_set_name(domain, name);
	if (r >= 0)
		r = domain_begin(domain, service->relay->event, (pid_t)pid,
				 (uint64_t)json_get_int(parameters, "qemu_start_time", 0));
	if (r < 0 && is_new > 0)
		domains_remove(&service->relay->domains, domain);
	if (r == -ESRCH)
		return answer_refused(call, name, "its QEMU", r, "there is no such process");
	if (r < 0)
		return answer_not_now(call, name, "its QEMU", r);
	domain->cid = (uint32_t)cid;
	r = records_write(service->records, domain);
	/* It is served; but the next of us would not know of it, and forsake it. */
	return r < 0 ? answer_not_now(call, name, records_path(service->records), r)
		     : varlink_call_reply(call, NULL);
}

static int on_release(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	Domain *domain;
	Uuid uuid;

	if (read_domain(call, parameters, &uuid))
		return 0;
	domain = domains_find(&service->relay->domains, uuid);
	if (domain)
		records_forget(service->records, service->relay, domain);
	return varlink_call_reply(call, NULL);
}

static void on_forsaken(Domain *domain, void *userdata)
{
	Service *service = userdata;

	log_warning("%s: forgotten: it has no QEMU any more, or got none, and tdid has not told of "
		    "its end; see 'journalctl -u tdid'",
		    domain->label);
	records_forget(service->records, service->relay, domain);
}

static int on_list(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	json_object *askers = NULL, *upstreams = NULL;
	int r = view_askers(service->relay, &askers);

	if (r >= 0)
		r = view_upstreams(service->relay, &upstreams);
	if (r < 0) {
		json_object_put(askers);
		return r;
	}
	return varlink_call_replyb(call, J_TAKE("askers", askers), J_TAKE("upstreams", upstreams));
}

static int on_metrics(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	_cleanup_free_ char *text = NULL;
	int r = view_metrics(service->relay, &text);

	return r < 0 ? r : varlink_call_replyb(call, J_STRING("text", text));
}

/* Who is in the socket's group may read. */
static int authorize(VarlinkCall *call, void *userdata)
{
	const Service *service = userdata;
	const char *method = varlink_call_method(call);
	const struct ucred *peer = varlink_call_peer(call);

	if (strcmp(method, "io.tdid.Quote.List") == 0 ||
	    strcmp(method, "io.tdid.Quote.Metrics") == 0 ||
	    strncmp(method, "io.tdid.Quote.", strlen("io.tdid.Quote.")) != 0 ||
	    settings_uids_have(&service->relay->config->allow_uids, peer->uid))
		return 0;
	log_warning("uid %d may not call %s; see allow_uids", (int)peer->uid, method);
	varlink_call_error(call, "NotPermitted", NULL);
	return -EPERM;
}

int service_new(Service **ret, Relay *relay, Records *records, char **ret_error)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Quote.List", 0, on_list },
		{ "io.tdid.Quote.Metrics", 0, on_metrics },
		{ "io.tdid.Quote.Prepare", 0, on_prepare },
		{ "io.tdid.Quote.Started", 0, on_started },
		{ "io.tdid.Quote.Release", 0, on_release },
	};
	_cleanup_(service_freep) Service *service = calloc(1, sizeof(*service));
	VarlinkServerOptions options = { .vendor = "tdid",
					 .product = "tdi-quoted",
					 .version = TDID_VERSION,
					 .authorize = authorize,
					 .userdata = service };
	const char *path = relay->config->control;
	int r, fd;

	if (!service)
		return -ENOMEM;
	service->relay = relay;
	service->records = records;
	relay->domains.forsaken = on_forsaken;
	relay->domains.userdata = service;
	r = varlink_server_new(&service->server, relay->event, &options);
	if (r >= 0)
		r = varlink_server_add_interface(service->server, schema_io_tdid_quote, ret_error);
	if (r >= 0)
		r = varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
	if (r >= 0) {
		fd = varlink_activation_fd("io.tdid.Quote", path);
		r = fd >= 0 ? varlink_server_listen_fd(service->server, fd, ret_error)
			    : varlink_server_listen(service->server, path, 0660, ret_error);
	}
	if (r < 0)
		return r;
	*ret = steal_ptr(service);
	return 0;
}

Service *service_free(Service *service)
{
	if (service)
		varlink_server_free(service->server);
	free(service);
	return NULL;
}
