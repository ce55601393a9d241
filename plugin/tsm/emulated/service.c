/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Methods that are answered at once are here. Those that take their turn with a DSM go through the
 * operations (service-verbs.c, service-guest.c): the varlink call then waits as a watcher, and its
 * end is not the operation's.
 */
#include "door.h"
#include "service-private.h"

#include "rpc/base64.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>

/* How many calls tdid may reasonably have waiting here. */
#define CONCURRENCY 16

#define ACTIVATION_NAME "emulated"

static int on_get_capabilities(VarlinkCall *call, json_object *parameters, void *userdata)
{
	json_object *capabilities = NULL;
	Service *service = userdata;
	int r;

	r = json_build(
		&capabilities, J_STRING("platform", "emulated"), J_BOOL("protection", false),
		J_STRING("bind_when", "guest_ready"),
		J_STRING("lock_by", service->config->tvm_asks_lock ? "tvm" : "host"),
		J_STRING("start_by", service->config->tvm_asks_start ? "host_on_request" : "tvm"),
		J_STRING("state_source", "tsm"), J_STRING("evidence", "shown"),
		J_INT("concurrency", CONCURRENCY));
	if (r < 0)
		return r;
	return varlink_call_replyb(call, J_STRING("instance", service->instance),
				   J_TAKE("capabilities", capabilities));
}

static json_object *device_json(const HostFunction *f, bool tee_io)
{
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE];
	json_object *object = NULL;

	json_build(&object, J_STRING("device", bdf_format(f->bdf, device)),
		   J_STRING("dsm", bdf_format(f->physical, dsm)), J_BOOL("tee_io", tee_io),
		   J_BOOL("is_virtual_function", f->is_virtual),
		   J_INT("vendor_id", f->identity.vendor), J_INT("device_id", f->identity.device),
		   J_INT("class_code", f->identity.class_code),
		   J_STRING("driver", f->driver[0] ? f->driver : NULL),
		   J_INT_IF(f->has_iommu_group, "iommu_group", f->iommu_group));
	return object;
}

static int on_list_devices(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_free_ HostFunction *functions = NULL;
	_cleanup_free_ bool *tee_io = NULL;
	json_object *list = json_object_new_array();
	Service *service = userdata;
	size_t n = 0;
	int r;

	r = tsm_functions(service->tsm, &functions, &tee_io, &n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = json_append_take(list, device_json(&functions[i], tee_io[i]));
	if (r < 0) {
		json_object_put(list);
		return r;
	}
	return varlink_call_replyb(call, J_TAKE("devices", list));
}

static int on_prepare_tvm(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	_cleanup_free_ char *key_file = NULL;
	Service *service = userdata;
	Uuid tvm;
	int r;

	r = answer_get_uuid(call, parameters, "tvm", &tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tsm_prepare_tvm(service->tsm, tvm, &key_file, &refusal);
	if (r != 0)
		return answer_refused(call, r, &refusal);
	return varlink_call_replyb(call, J_STRING("key_file", key_file));
}

static int on_release_tvm(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	Service *service = userdata;
	Uuid tvm;
	int r;

	r = answer_get_uuid(call, parameters, "tvm", &tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tsm_release_tvm(service->tsm, tvm, &refusal);
	if (r != 0)
		return answer_refused(call, r, &refusal);
	return varlink_call_reply(call, NULL);
}

static int on_get_evidence(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	_cleanup_(tsm_evidence_done) TsmEvidence evidence = {};
	Service *service = userdata;
	Bdf device;
	int r;

	r = answer_get_bdf(call, parameters, "device", &device);
	if (r != 0)
		return r < 0 ? r : 0;
	r = tsm_evidence(service->tsm, device, &evidence, &refusal);
	if (r != 0)
		return answer_refused(call, r, &refusal);
	return varlink_call_replyb(call, J_TAKE("evidence", service_evidence_json(&evidence)));
}

json_object *service_evidence_json(const TsmEvidence *evidence)
{
	const struct {
		const char *name;
		const Blob *blob;
	} members[] = {
		{ "certificates", &evidence->certificates },
		{ "vca", &evidence->vca },
		{ "measurements", &evidence->measurements },
		{ "report", &evidence->report },
	};
	json_object *object = json_object_new_object();

	for (size_t i = 0; object && i < ELEMENTSOF(members); i++) {
		const Blob *blob = members[i].blob;
		_cleanup_free_ char *text = NULL;

		if (base64_encode(&text, blob->data, blob->size) < 0 ||
		    json_add_string(object, members[i].name, text) < 0)
			object = json_unref(object);
	}
	return object;
}

static json_object *tdi_json(const TsmTdiStatus *s)
{
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], tvm[UUID_STRING_SIZE];
	json_object *object = NULL, *request = NULL;

	if (s->asked != TSM_ASKED_NOTHING)
		json_build(&request,
			   J_STRING("what", s->asked == TSM_ASKED_LOCK ? "lock" : "start"),
			   J_INT("id", (int64_t)s->request));
	json_build(&object, J_STRING("device", bdf_format(s->device, device)),
		   J_STRING("dsm", bdf_format(s->dsm, dsm)),
		   J_STRING("tvm", s->bound ? uuid_format(s->tvm, tvm) : NULL),
		   J_INT_IF(s->bound, "generation", (int64_t)s->generation),
		   J_STRING("state", tdisp_state_name(s->state)), J_BOOL("accepted", s->accepted),
		   J_TAKE("request", request));
	return object;
}

static json_object *dsm_json(const TsmDsmStatus *s)
{
	char dsm[BDF_STRING_SIZE], digest[DIGEST_STRING_SIZE];
	json_object *object = NULL;

	digest_format(&s->certificate, digest);
	json_build(&object, J_STRING("dsm", bdf_format(s->dsm, dsm)),
		   J_BOOL("connected", s->connected),
		   J_STRING("certificate_digest", s->connected ? digest : NULL));
	return object;
}

static int on_query(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(json_unrefp) json_object *dsms = json_object_new_array();
	_cleanup_(json_unrefp) json_object *tdis = json_object_new_array();
	_cleanup_(json_unrefp) json_object *operations = json_object_new_array();
	_cleanup_free_ TsmDsmStatus *dsm_list = NULL;
	_cleanup_free_ TsmTdiStatus *tdi_list = NULL;
	Service *service = userdata;
	size_t n_dsms = 0, n_tdis = 0;
	int r;

	r = tsm_query_dsms(service->tsm, &dsm_list, &n_dsms);
	if (r == 0)
		r = tsm_query_tdis(service->tsm, &tdi_list, &n_tdis);
	for (size_t i = 0; r == 0 && i < n_dsms; i++)
		r = json_append_take(dsms, dsm_json(&dsm_list[i]));
	for (size_t i = 0; r == 0 && i < n_tdis; i++)
		r = json_append_take(tdis, tdi_json(&tdi_list[i]));
	if (r == 0)
		r = answer_operations(service->operations, operations);
	if (r < 0)
		return r;
	return varlink_call_replyb(call, J_STRING("instance", service->instance),
				   J_REF("dsms", dsms), J_REF("tdis", tdis),
				   J_REF("operations", operations));
}

static int on_monitor(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	return monitor_add(service->monitor, call);
}

/* --- the service itself --- */

static void on_tdi_changed(void *userdata, const TsmTdiStatus *status, const char *reason)
{
	Service *service = userdata;

	if (service->door)
		door_tell_state(service->door, status);
	monitor_publish(service->monitor, tdi_json(status), NULL, reason);
}

static void on_dsm_changed(void *userdata, const TsmDsmStatus *status, const char *reason)
{
	Service *service = userdata;

	monitor_publish(service->monitor, NULL, dsm_json(status), reason);
}

static bool on_peer(const struct ucred *peer, void *userdata)
{
	const Service *service = userdata;

	if (settings_uids_have(&service->config->allow_uids, peer->uid))
		return true;
	log_warning("uid %u may not connect (allow_uids)", (unsigned int)peer->uid);
	return false;
}

static int bind_methods(Service *service)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Tsm.GetCapabilities", 0, on_get_capabilities },
		{ "io.tdid.Tsm.ListDevices", 0, on_list_devices },
		{ "io.tdid.Tsm.PrepareTvm", 0, on_prepare_tvm },
		{ "io.tdid.Tsm.ReleaseTvm", 0, on_release_tvm },
		{ "io.tdid.Tsm.GetEvidence", 0, on_get_evidence },
		{ "io.tdid.Tsm.Query", 0, on_query },
		{ "io.tdid.Tsm.Monitor", VARLINK_MORE_ONLY, on_monitor },
	};
	int r = varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);

	if (r == 0)
		r = service_bind_verbs(service);
	if (r == 0)
		r = service_bind_guest(service);
	return r;
}

int service_new(Service **ret, sd_event *event, const Config *config, char **ret_error)
{
	_cleanup_(service_freep) Service *service = calloc(1, sizeof(*service));
	VarlinkServerOptions server = {
		.vendor = "tdid",
		.product = "tdi-tsm-emulated",
		.version = TDID_VERSION,
		.allow = on_peer,
		.connections_max = TSM_CONNECTIONS_MAX,
		.connections_per_uid_max = TSM_CONNECTIONS_MAX / 2,
		.userdata = service,
	};
	int r;

	if (!service)
		return -ENOMEM;
	service->config = config;
	r = monitor_new(&service->monitor, service->instance);
	if (r == 0)
		r = verb_faults_new(&service->faults);
	if (r == 0)
		r = tsm_new(&service->tsm,
			    &(TsmOptions){ .config = config,
					   .tdi_changed = on_tdi_changed,
					   .dsm_changed = on_dsm_changed,
					   .userdata = service },
			    ret_error);
	if (r < 0)
		return r;
	hex_encode(service->instance, tsm_instance(service->tsm), TSM_INSTANCE_SIZE);
	r = operations_new(&service->operations, event);
	if (r == 0)
		r = varlink_server_new(&service->server, event, &server);
	if (r == 0)
		r = varlink_server_add_interface(service->server, schema_io_tdid_tsm, ret_error);
	if (r == 0)
		r = bind_methods(service);
	if (r == 0 && config->faults)
		r = service_bind_faults(service);
	if (r < 0)
		return r;
	*ret = steal_ptr(service);
	return 0;
}

Service *service_free(Service *service)
{
	if (!service)
		return NULL;
	/* Calls that wait are let go of before what they wait for. */
	varlink_server_free(service->server);
	door_free(service->door);
	operations_free(service->operations);
	monitor_free(service->monitor);
	tsm_free(service->tsm);
	verb_faults_free(service->faults);
	free(service);
	return NULL;
}

int service_listen(Service *service, char **ret_error)
{
	int fd = varlink_activation_fd(ACTIVATION_NAME, service->config->socket);

	int r;

	/* Open to all by its mode: who may connect is decided by uid. */
	r = fd >= 0 ? varlink_server_listen_fd(service->server, fd, ret_error)
		    : varlink_server_listen(service->server, service->config->socket, 0666,
					    ret_error);
	if (r == 0 && service->config->proxy)
		r = door_open(&service->door, service, service->config->proxy, ret_error);
	return r;
}
