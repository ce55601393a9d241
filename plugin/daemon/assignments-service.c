/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/assignments-service.h"

#include "daemon/clear-requests.h"
#include "daemon/dsm-requests.h"
#include "daemon/inventory.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>

typedef struct Watcher Watcher;

struct Watcher {
	AssignmentsService *service;
	VarlinkCall *call;
	char *domain; /* name or UUID; NULL: all */
	uint64_t sequence;
	Watcher *next;
};

struct AssignmentsService {
	Tdid *tdid;
	VarlinkServer *server;
	WaitingCalls *dsm_requests, *clear_requests;
	Watcher *first;
};

/* A state of the past, which the engine may have forgotten together with the assignment. */
typedef struct Moment {
	AssignmentState state;
	uint64_t generation;
} Moment;

static int to_json(Tdid *tdid, const Assignment *a, const Moment *moment, json_object **ret)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	char domain[UUID_STRING_SIZE], device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE],
		guest[BDF_STRING_SIZE];
	const Provider *provider = a->dsm->provider;
	json_object *marks;
	int r;

	if (!e && !moment)
		return -ENOENT;
	r = timeline_to_json(&a->timeline, &marks);
	if (r < 0)
		return r;
	return json_build(
		ret, J_STRING("domain", uuid_format(a->tvm->uuid, domain)),
		J_STRING("domain_name", a->tvm->domain ? a->tvm->domain->name : ""),
		J_STRING("name", a->alias), J_STRING("device", bdf_format(a->tdi->bdf, device)),
		J_STRING("dsm", provider ? bdf_format(a->dsm->bdf, dsm) : NULL),
		J_STRING("guest_address", a->guest_known ? bdf_format(a->guest, guest) : NULL),
		J_INT("generation", (int64_t)(moment ? moment->generation : e->generation)),
		J_STRING("state", assignment_state_name(moment ? moment->state : e->state)),
		J_STRING("reason", a->reason),
		J_STRING("tdi_state", a->tdi_state_known ? tdisp_state_name(a->tdi_state) : NULL),
		J_STRING("state_source",
			 !provider || provider_tells_state(provider) ? "tsm" : "guest"),
		J_STRING("tsm", provider ? provider_title(provider) : NULL),
		J_BOOL("protection", provider && provider_protects(provider)),
		J_TAKE("timeline", marks));
}

static bool is_of(const Assignment *a, const char *domain)
{
	char uuid[UUID_STRING_SIZE];

	return !domain || strcasecmp(uuid_format(a->tvm->uuid, uuid), domain) == 0 ||
	       (a->tvm->domain && strcmp(a->tvm->domain->name, domain) == 0);
}

/* The domain's assignment by alias or host address; of several incarnations the latest. */
static Assignment *find(Tdid *tdid, const char *domain, const char *name)
{
	Assignment *a, *found = NULL;
	char device[BDF_STRING_SIZE];

	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));) {
		if (!is_of(a, domain) || (strcmp(a->alias, name) != 0 &&
					  strcasecmp(bdf_format(a->tdi->bdf, device), name) != 0))
			continue;
		if (!found || engine_assignment(tdid->engine, a->id)->generation >=
				      engine_assignment(tdid->engine, found->id)->generation)
			found = a;
	}
	return found;
}

static bool has_domain(Tdid *tdid, const char *domain)
{
	char uuid[UUID_STRING_SIZE];
	Domain *d;

	for (uint32_t p = 0; (d = registry_next_domain(tdid->registry, &p));)
		if (strcasecmp(uuid_format(d->uuid, uuid), domain) == 0 ||
		    (d->name && strcmp(d->name, domain) == 0))
			return true;
	return false;
}

static int on_list(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Tdid *tdid = ((AssignmentsService *)userdata)->tdid;
	const char *domain = json_get_string(parameters, "domain");
	_cleanup_(json_unrefp) json_object *array = json_object_new_array();
	Assignment *a;
	int r = array ? 0 : -ENOMEM;

	if (domain && !has_domain(tdid, domain))
		return varlink_call_errorb(call, "NoSuchDomain", J_STRING("domain", domain));
	for (uint32_t p = 0; r >= 0 && (a = registry_next_assignment(tdid->registry, &p));) {
		json_object *o;

		if (!is_of(a, domain))
			continue;
		r = to_json(tdid, a, NULL, &o);
		if (r >= 0)
			r = json_append_take(array, o);
	}
	return r < 0 ? r : varlink_call_replyb(call, J_REF("assignments", array));
}

static int no_such_assignment(VarlinkCall *call, const char *domain, const char *name)
{
	return varlink_call_errorb(call, "NoSuchAssignment", J_STRING("domain", domain),
				   J_STRING("name", name));
}

static int on_get(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Tdid *tdid = ((AssignmentsService *)userdata)->tdid;
	const char *domain = json_get_string(parameters, "domain");
	const char *name = json_get_string(parameters, "name");
	Assignment *a = find(tdid, domain, name);
	json_object *o;
	int r;

	if (!a)
		return no_such_assignment(call, domain, name);
	r = to_json(tdid, a, NULL, &o);
	return r < 0 ? r : varlink_call_replyb(call, J_TAKE("assignment", o));
}

static int on_evidence(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Tdid *tdid = ((AssignmentsService *)userdata)->tdid;
	const char *domain = json_get_string(parameters, "domain");
	const char *name = json_get_string(parameters, "name");
	Assignment *a = find(tdid, domain, name);

	if (!a)
		return no_such_assignment(call, domain, name);
	if (!a->evidence)
		return varlink_call_errorb(
			call, "NoEvidence", J_STRING("domain", domain), J_STRING("name", name),
			J_STRING("reason", "the device has not been locked, or its "
					   "TSM does not show evidence to the "
					   "host"));
	return varlink_call_replyb(
		call, J_INT("generation", (int64_t)a->evidence_generation),
		J_INT("collected_usec", (int64_t)a->evidence_usec),
		J_STRING("certificates", json_get_string(a->evidence, "certificates")),
		J_STRING("vca", json_get_string(a->evidence, "vca")),
		J_STRING("measurements", json_get_string(a->evidence, "measurements")),
		J_STRING("report", json_get_string(a->evidence, "report")));
}

static int on_devices(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Tdid *tdid = ((AssignmentsService *)userdata)->tdid;
	_cleanup_(json_unrefp) json_object *o = NULL;
	int r = inventory_to_json(tdid, &o);

	return r < 0 ? r : varlink_call_reply(call, o);
}

static int on_connect(VarlinkCall *call, json_object *parameters, void *userdata)
{
	AssignmentsService *service = userdata;

	return dsm_requests_take(service->tdid, service->dsm_requests, VERB_CONNECT,
				 json_get_string(parameters, "dsm"), call);
}

static int on_reclaim(VarlinkCall *call, json_object *parameters, void *userdata)
{
	AssignmentsService *service = userdata;

	return dsm_requests_take(service->tdid, service->dsm_requests, VERB_RECLAIM,
				 json_get_string(parameters, "dsm"), call);
}

static int on_clear(VarlinkCall *call, json_object *parameters, void *userdata)
{
	AssignmentsService *service = userdata;

	return clear_requests_take(service->tdid, service->clear_requests,
				   json_get_string(parameters, "device"), call);
}

void assignments_service_dsm_changed(AssignmentsService *service, const Dsm *dsm)
{
	if (service)
		waiting_calls_settle(service->dsm_requests, dsm);
}

void assignments_service_tdi_changed(AssignmentsService *service, const Tdi *tdi)
{
	if (service)
		waiting_calls_settle(service->clear_requests, tdi);
}

static void watcher_free(Watcher *watcher)
{
	Watcher **link = &watcher->service->first;

	while (*link && *link != watcher)
		link = &(*link)->next;
	if (*link)
		*link = watcher->next;
	varlink_call_unref(watcher->call);
	free(watcher->domain);
	free(watcher);
}

static void on_watcher_gone(VarlinkCall *call, void *userdata)
{
	watcher_free(userdata);
}

static int tell(Watcher *watcher, const Assignment *a, const Moment *moment, bool initial)
{
	json_object *o = NULL;
	int r = a ? to_json(watcher->service->tdid, a, moment, &o) : 0;

	/* A client that does not read is dropped by the server, and on_gone follows. */
	return r < 0 ? r
		     : varlink_call_notifyb(watcher->call,
					    J_INT("sequence", (int64_t)++watcher->sequence),
					    J_BOOL("initial", initial), J_TAKE("assignment", o));
}

static int on_monitor(VarlinkCall *call, json_object *parameters, void *userdata)
{
	AssignmentsService *service = userdata;
	const char *domain = json_get_string(parameters, "domain");
	Watcher *watcher = calloc(1, sizeof(*watcher));
	Assignment *a;
	int r = 0;

	if (!watcher)
		return -ENOMEM;
	watcher->service = service;
	watcher->domain = domain ? strdup(domain) : NULL;
	watcher->call = varlink_call_ref(call);
	watcher->next = service->first;
	service->first = watcher;
	varlink_call_on_gone(call, on_watcher_gone, watcher);
	if (domain && !watcher->domain)
		r = -ENOMEM;
	for (uint32_t p = 0; r >= 0 && (a = registry_next_assignment(service->tdid->registry, &p));)
		if (is_of(a, domain))
			r = tell(watcher, a, NULL, true);
	/* An empty one ends what was there when the call came. */
	if (r >= 0)
		r = tell(watcher, NULL, NULL, true);
	return 0;
}

static void tell_all(AssignmentsService *service, const Assignment *a, const Moment *moment)
{
	Watcher *next;

	for (Watcher *w = service ? service->first : NULL; w; w = next) {
		next = w->next;
		if (is_of(a, w->domain))
			tell(w, a, moment, false);
	}
}

void assignments_service_changed(AssignmentsService *service, const Assignment *a)
{
	tell_all(service, a, NULL);
}

void assignments_service_state(AssignmentsService *service, const Assignment *a,
			       AssignmentState state, uint64_t generation)
{
	tell_all(service, a, &(Moment){ state, generation });
}

int assignments_service_new(AssignmentsService **ret, Tdid *tdid, char **ret_error)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Assignments.List", 0, on_list },
		{ "io.tdid.Assignments.Get", 0, on_get },
		{ "io.tdid.Assignments.Evidence", 0, on_evidence },
		{ "io.tdid.Assignments.Monitor", VARLINK_MORE_ONLY, on_monitor },
		{ "io.tdid.Assignments.Devices", 0, on_devices },
		{ "io.tdid.Assignments.Connect", 0, on_connect },
		{ "io.tdid.Assignments.Reclaim", 0, on_reclaim },
		{ "io.tdid.Assignments.Clear", 0, on_clear },
	};
	VarlinkServerOptions options = { .vendor = "tdid",
					 .product = "tdid",
					 .version = TDID_VERSION,
					 /* What a client takes of one reply: a List of all. */
					 .output_max = JSON_SIZE_MAX };
	_cleanup_free_ char *path = NULL;
	AssignmentsService *service = calloc(1, sizeof(*service));
	int r, fd;

	if (!service)
		return -ENOMEM;
	service->tdid = tdid;
	if (asprintf(&path, "%s/io.tdid.Assignments", tdid->config->sockets) < 0) {
		free(service);
		return -ENOMEM;
	}
	r = waiting_calls_new(&service->dsm_requests, tdid, dsm_requests_answer);
	if (r >= 0)
		r = waiting_calls_new(&service->clear_requests, tdid, clear_requests_answer);
	if (r >= 0)
		r = varlink_server_new(&service->server, tdid->event, &options);
	if (r >= 0)
		r = varlink_server_add_interface(service->server, schema_io_tdid_assignments,
						 ret_error);
	if (r >= 0)
		r = varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
	if (r >= 0) {
		fd = varlink_activation_fd("io.tdid.Assignments", path);
		r = fd >= 0 ? varlink_server_listen_fd(service->server, fd, ret_error)
			    : varlink_server_listen(service->server, path, 0660, ret_error);
	}
	if (r < 0) {
		assignments_service_free(service);
		return r;
	}
	*ret = service;
	return 0;
}

AssignmentsService *assignments_service_free(AssignmentsService *service)
{
	if (!service)
		return NULL;
	/* First, so that nobody waits for an answer any more when watchers and requests go. */
	varlink_server_free(service->server);
	while (service->first)
		watcher_free(service->first);
	waiting_calls_free(service->dsm_requests);
	waiting_calls_free(service->clear_requests);
	free(service);
	return NULL;
}
