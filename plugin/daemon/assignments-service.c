/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/assignments-service.h"

#include "daemon/assignment-view.h"
#include "daemon/attach-requests.h"
#include "daemon/clear-requests.h"
#include "daemon/declared.h"
#include "daemon/detach-requests.h"
#include "daemon/drain-requests.h"
#include "daemon/dsm-requests.h"
#include "daemon/evidence-store.h"
#include "daemon/inventory.h"
#include "daemon/metrics.h"
#include "daemon/wait-requests.h"
#include "daemon/watchers.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* Watchers and waiters stay connected. */
#define CONNECTIONS_MAX 2048u

struct AssignmentsService {
	Tdid *tdid;
	VarlinkServer *server;
	TimedCalls *dsm_requests, *clear_requests;
	WaitRequests *wait_requests;
	Watchers *watchers;
	AttachRequests *attach_requests;
	DetachRequests *detach_requests;
	DrainRequests *drain_requests;
};

static int list_declared(Tdid *tdid, const char *wanted, json_object *array)
{
	char uuid[UUID_STRING_SIZE];
	Domain *domain;
	int r = 0;

	for (uint32_t p = 0; r >= 0 && (domain = registry_next_domain(tdid->registry, &p));) {
		if (!assignment_view_domain_is(wanted, uuid_format(domain->uuid, uuid),
					       domain->name))
			continue;
		for (const DeclaredDevice *d = domain->declared; r >= 0 && d; d = d->next) {
			json_object *o;

			r = declared_to_json(tdid, domain, d, &o);
			if (r >= 0)
				r = json_append_take(array, o);
		}
	}
	return r;
}

static int on_list(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Tdid *tdid = ((AssignmentsService *)userdata)->tdid;
	const char *domain = json_get_string(parameters, "domain");
	_cleanup_(json_unrefp) json_object *array = json_object_new_array();
	Assignment *a;
	int r = array ? 0 : -ENOMEM;

	if (domain && !assignment_view_has_domain(tdid, domain))
		return varlink_call_errorb(call, "NoSuchDomain", J_STRING("domain", domain));
	for (uint32_t p = 0; r >= 0 && (a = registry_next_assignment(tdid->registry, &p));) {
		json_object *o;

		if (!assignment_view_is_of(a, domain))
			continue;
		r = assignment_view_to_json(tdid, a, NULL, &o);
		if (r >= 0)
			r = json_append_take(array, o);
	}
	if (r >= 0)
		r = list_declared(tdid, domain, array);
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
	Assignment *a = assignment_view_find(tdid, domain, name);
	const Domain *of = NULL;
	const DeclaredDevice *declared = a ? NULL : declared_find(tdid, domain, name, &of);
	json_object *o;
	int r;

	if (!a && !declared)
		return no_such_assignment(call, domain, name);
	r = a ? assignment_view_to_json(tdid, a, NULL, &o)
	      : declared_to_json(tdid, of, declared, &o);
	return r < 0 ? r : varlink_call_replyb(call, J_TAKE("assignment", o));
}

static int on_evidence(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Tdid *tdid = ((AssignmentsService *)userdata)->tdid;
	const char *domain = json_get_string(parameters, "domain");
	const char *name = json_get_string(parameters, "name");
	Assignment *a = assignment_view_find(tdid, domain, name);

	if (!a)
		return no_such_assignment(call, domain, name);
	if (!a->evidence || evidence_store_is_fetching(a))
		return varlink_call_errorb(
			call, "NoEvidence", J_STRING("domain", domain), J_STRING("name", name),
			J_STRING("reason", evidence_store_is_fetching(a)
						   ? "it is being asked for just now; try again"
						   : "the device has not been locked, or its TSM "
						     "does not show evidence to the host"));
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

static int on_metrics(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_free_ char *text = NULL;
	int r = metrics_to_text(((AssignmentsService *)userdata)->tdid, &text);

	return r < 0 ? r : varlink_call_replyb(call, J_STRING("text", text));
}

AssignmentsServiceCounts assignments_service_counts(const AssignmentsService *service)
{
	return (AssignmentsServiceCounts){
		.connections = varlink_server_connections(service->server),
		.watchers = watchers_count(service->watchers),
		.waiters = wait_requests_count(service->wait_requests),
		.changes = watchers_sequence(service->watchers) - 1,
	};
}

static int on_attach(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return attach_requests_take(((AssignmentsService *)userdata)->attach_requests, parameters,
				    call);
}

static int on_detach(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return detach_requests_take(((AssignmentsService *)userdata)->detach_requests, parameters,
				    call);
}

static int on_drain(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return drain_requests_take(((AssignmentsService *)userdata)->drain_requests, parameters,
				   call);
}

static int on_undrain(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return drain_requests_end(((AssignmentsService *)userdata)->drain_requests, parameters,
				  call);
}

static void on_detach_failed(Tdid *tdid, Assignment *a, const char *why)
{
	drain_requests_stuck(tdid->assignments->drain_requests, a, why);
}

void assignments_service_detach_again(AssignmentsService *service, Assignment *a)
{
	a->detach_again = false;
	if (service && a->dsm->drained)
		detach_requests_start(service->detach_requests, a);
}

bool assignments_service_is_detaching(AssignmentsService *service, const Assignment *a)
{
	return service && detach_requests_has(service->detach_requests, a);
}

void assignments_service_not_let_go(AssignmentsService *service, const Tvm *tvm, const char *alias)
{
	if (service)
		detach_requests_not_let_go(service->detach_requests, tvm, alias);
}

void assignments_service_tvm_ended(AssignmentsService *service, const Tvm *tvm)
{
	if (service)
		attach_requests_tvm_ended(service->attach_requests, tvm);
}

void assignments_service_begins(AssignmentsService *service, Assignment *a)
{
	if (service)
		attach_requests_begins(service->attach_requests, a);
}

void assignments_service_compared(AssignmentsService *service, const Tvm *tvm, const DomainXml *xml,
				  uint64_t number)
{
	if (service)
		attach_requests_compared(service->attach_requests, tvm, xml, number);
}

AttachRequests *assignments_service_attach_requests(AssignmentsService *service)
{
	return service->attach_requests;
}

DetachRequests *assignments_service_detach_requests(AssignmentsService *service)
{
	return service->detach_requests;
}

void assignments_service_dsm_changed(AssignmentsService *service, const Dsm *dsm)
{
	if (!service)
		return;
	dsm_requests_settle(service->dsm_requests, dsm);
	drain_requests_dsm_changed(service->drain_requests, dsm);
}

void assignments_service_tdi_changed(AssignmentsService *service, const Tdi *tdi)
{
	if (service)
		clear_requests_settle(service->clear_requests, tdi);
}

static int on_monitor(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return watchers_take(((AssignmentsService *)userdata)->watchers, call, parameters);
}

static int on_wait(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return wait_requests_take(((AssignmentsService *)userdata)->wait_requests, call,
				  parameters);
}

void assignments_service_domain_read(AssignmentsService *service, const Domain *domain)
{
	if (service && domain)
		wait_requests_domain_read(service->wait_requests, domain);
	else if (service)
		wait_requests_domain_gone(service->wait_requests);
}

void assignments_service_changed(AssignmentsService *service, const Assignment *a)
{
	if (service)
		watchers_tell(service->watchers, a, NULL, false);
}

void assignments_service_left(AssignmentsService *service, Assignment *a)
{
	if (!service)
		return;
	detach_requests_left(service->detach_requests, a, a->last_state, a->last_generation);
	attach_requests_left(service->attach_requests, a);
	drain_requests_changed(service->drain_requests, a, a->last_state, a->last_generation);
}

void assignments_service_removed(AssignmentsService *service, Assignment *a)
{
	if (!service)
		return;
	if (a->reset)
		assignments_service_left(service, a);
	else
		attach_requests_left(service->attach_requests, a);
	watchers_tell(service->watchers, a, &(Moment){ a->last_state, a->last_generation }, true);
}

void assignments_service_state(AssignmentsService *service, Assignment *a, AssignmentState state,
			       uint64_t generation)
{
	Moment moment = { state, generation };

	if (!service)
		return;
	watchers_tell(service->watchers, a, &moment, false);
	wait_requests_state(service->wait_requests, a, &moment);
	attach_requests_changed(service->attach_requests, a, state, generation);
	detach_requests_changed(service->detach_requests, a, state, generation);
	drain_requests_changed(service->drain_requests, a, state, generation);
}

/*
 * Half of the descriptors there are: the others are for the hook, for guests, libvirt and the
 * providers, whatever callers of this do. One user gets three of four, so that there are some left.
 */
static unsigned int connections_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 2 >= CONNECTIONS_MAX)
		return CONNECTIONS_MAX;
	return files.rlim_cur < 16 ? 8 : (unsigned int)files.rlim_cur / 2;
}

/* Before anything of what it asks for is looked at. */
static int authorize(VarlinkCall *call, void *userdata)
{
	const Tdid *tdid = userdata;
	const struct ucred *peer = varlink_call_peer(call);
	const char *method = varlink_call_method(call);
	AccessClass class = access_class_of(method);
	_cleanup_free_ char *message = NULL;
	size_t n;
	const gid_t *groups = varlink_call_peer_groups(call, &n);

	/* What the service is, everybody may know. */
	if (strncmp(method, "io.tdid.Assignments.", strlen("io.tdid.Assignments.")) != 0 ||
	    access_allows(tdid->config->access, class, peer, groups, n))
		return 0;
	if (asprintf(&message,
		     "%s: tdid.conf's access.%s does not let uid %u (gid %u) call it. Be one of "
		     "those "
		     "that it lists, or root",
		     method, access_class_name(access_deciding(tdid->config->access, class)),
		     (unsigned)peer->uid, (unsigned)peer->gid) < 0)
		message = NULL;
	log_warning("refused: pid %d: %s", (int)peer->pid, message ?: method);
	varlink_call_errorb(call, "PermissionDenied", J_STRING("method", method),
			    J_STRING("message", message ?: "not allowed"));
	return 1;
}

int assignments_service_new(AssignmentsService **ret, Tdid *tdid, char **ret_error)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Assignments.List", 0, on_list },
		{ "io.tdid.Assignments.Get", 0, on_get },
		{ "io.tdid.Assignments.Evidence", 0, on_evidence },
		{ "io.tdid.Assignments.Monitor", VARLINK_MORE_ONLY, on_monitor },
		{ "io.tdid.Assignments.Wait", 0, on_wait },
		{ "io.tdid.Assignments.Devices", 0, on_devices },
		{ "io.tdid.Assignments.Metrics", 0, on_metrics },
		{ "io.tdid.Assignments.Connect", 0, on_connect },
		{ "io.tdid.Assignments.Reclaim", 0, on_reclaim },
		{ "io.tdid.Assignments.Clear", 0, on_clear },
		{ "io.tdid.Assignments.Attach", 0, on_attach },
		{ "io.tdid.Assignments.Detach", 0, on_detach },
		{ "io.tdid.Assignments.Drain", 0, on_drain },
		{ "io.tdid.Assignments.Undrain", 0, on_undrain },
	};
	VarlinkServerOptions options = { .vendor = "tdid",
					 .product = "tdid",
					 .version = TDID_VERSION,
					 .connections_max = connections_max(),
					 .connections_per_uid_max = connections_max() / 4 * 3,
					 .authorize = authorize,
					 .userdata = tdid };
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
	r = timed_calls_new(&service->dsm_requests, tdid, NULL);
	if (r >= 0)
		r = timed_calls_new(&service->clear_requests, tdid, NULL);
	if (r >= 0)
		r = wait_requests_new(&service->wait_requests, tdid);
	if (r >= 0)
		r = watchers_new(&service->watchers, tdid);
	if (r >= 0)
		r = attach_requests_new(&service->attach_requests, tdid, ret_error);
	if (r >= 0)
		r = detach_requests_new(&service->detach_requests, tdid, on_detach_failed);
	if (r >= 0)
		r = drain_requests_new(&service->drain_requests, tdid, service->detach_requests);
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
	watchers_free(service->watchers);
	wait_requests_free(service->wait_requests);
	timed_calls_free(service->dsm_requests);
	timed_calls_free(service->clear_requests);
	drain_requests_free(service->drain_requests);
	detach_requests_free(service->detach_requests);
	attach_requests_free(service->attach_requests);
	free(service);
	return NULL;
}
