/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Methods that are answered from what is known are here. What is known comes from looks at the
 * kernel (service-look.c), after each event (watch.h), each verb (service-verbs.c) and each word of
 * the companion.
 */
#include "service-private.h"

#include "core/refusal.h"
#include "rpc/log.h"
#include "schemas/schemas.h"
#include "tsm/common/settings.h"

#include <errno.h>
#include <string.h>

#define ACTIVATION_NAME	      "linux"
#define PREPARE_TIMEOUT_USEC  (10 * UINT64_C(1000000))
#define EVIDENCE_TIMEOUT_USEC (60 * UINT64_C(1000000))

/* TSM drivers of the kernel, by the driver of the device that registered the TSM. */
static const struct {
	const char *driver, *platform;
} platforms[] = {
	{ "ccp", "sev-tio" }, /* drivers/crypto/ccp/sev-dev-tsm.c */
};

static const char *platform_name(const Service *service)
{
	if (service->config->platform)
		return service->config->platform;
	for (size_t i = 0; i < ELEMENTSOF(platforms); i++)
		if (strcmp(platforms[i].driver, service->tsm_driver) == 0)
			return platforms[i].platform;
	return NULL;
}

/* The companion's are those of the TSM, but for how many verbs the kernel takes at once. */
static json_object *companion_says(const Service *service)
{
	json_object *theirs = companion_capabilities(service->companion), *ours = NULL;

	if (json_build(&ours, J_STRING("platform", json_get_string(theirs, "platform")),
		       J_BOOL("protection", json_get_bool(theirs, "protection", false)),
		       J_STRING("bind_when", json_get_string(theirs, "bind_when")),
		       J_STRING("lock_by", json_get_string(theirs, "lock_by")),
		       J_STRING("start_by", json_get_string(theirs, "start_by")),
		       J_STRING("state_source", json_get_string(theirs, "state_source")),
		       J_STRING("evidence", json_get_string(theirs, "evidence")),
		       J_INT("concurrency", 1)) < 0)
		return NULL;
	return ours;
}

static json_object *kernel_says(const Service *service)
{
	const char *platform = platform_name(service);
	json_object *object = NULL;

	/* The kernel exports neither evidence nor whether a bound TDI runs. */
	json_build(&object, J_STRING("platform", platform ?: "unknown"),
		   J_BOOL("protection", platform), J_STRING("bind_when", "guest_ready"),
		   J_STRING("lock_by", "host"), J_STRING("start_by", "tvm"),
		   J_STRING("state_source", "guest"), J_STRING("evidence", "guest_only"),
		   J_INT("concurrency", 1));
	return object;
}

void service_check_identity(Service *service)
{
	const char *theirs = service->companion ? companion_instance(service->companion) : NULL;
	char instance[sizeof(service->instance)];

	snprintf(instance, sizeof(instance), "%s.%s%s%.64s", service->boot_id,
		 service->tsm[0] ? service->tsm : "none", theirs ? "." : "", theirs ?: "");
	if (strcmp(instance, service->instance) == 0)
		return;
	strcpy(service->instance, instance);
	monitor_end(service->monitor, "the TSM is another one now");
}

/* The call is refused while the companion, without whom nothing works, is not there. */
static int on_get_capabilities(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	const char *trouble = service->companion ? companion_trouble(service->companion) : NULL;

	if (trouble) {
		_cleanup_free_ char *reason = NULL;

		if (asprintf(&reason, "companion %s: %s", service->config->companion_socket,
			     trouble) < 0)
			return -ENOMEM;
		return varlink_call_errorb(call, "Refused", J_STRING("object", "companion"),
					   J_STRING("reason", reason));
	}
	return varlink_call_replyb(call, J_STRING("instance", service->instance),
				   J_TAKE("capabilities", service->companion
								  ? companion_says(service)
								  : kernel_says(service)));
}

static json_object *device_json(const TeeIoFunction *f)
{
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE];
	const HostFunction *h = &f->host;
	json_object *object = NULL;

	json_build(&object, J_STRING("device", bdf_format(h->bdf, device)),
		   J_STRING("dsm", bdf_format(f->dsm, dsm)), J_BOOL("tee_io", true),
		   J_BOOL("is_virtual_function", h->is_virtual),
		   J_INT("vendor_id", h->identity.vendor), J_INT("device_id", h->identity.device),
		   J_INT("class_code", h->identity.class_code),
		   J_STRING("driver", h->driver[0] ? h->driver : NULL),
		   J_INT_IF(h->has_iommu_group, "iommu_group", h->iommu_group));
	return object;
}

static int on_list_devices(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_free_ TeeIoFunction *functions = NULL;
	json_object *list = json_object_new_array();
	Service *service = userdata;
	size_t n = 0;
	int r;

	/* Read anew: drivers change without a word to this provider. */
	r = list ? tee_io_functions(&functions, &n, service->sysfs) : -ENOMEM;
	for (size_t i = 0; r == 0 && i < n; i++) {
		const TeeIoFunction *known = view_function(&service->view, functions[i].host.bdf);

		if (known)
			functions[i].dsm = known->dsm;
		r = json_append_take(list, device_json(&functions[i]));
	}
	if (r < 0) {
		json_object_put(list);
		return r;
	}
	return varlink_call_replyb(call, J_TAKE("devices", list));
}

/* --- what is handed on --- */

static int on_prepare_tvm(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	Uuid tvm;
	int r;

	r = answer_get_uuid(call, parameters, "tvm", &tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	if (service->companion)
		return companion_forward(service->companion, call,
					 json_get_string(parameters, "tvm"), PREPARE_TIMEOUT_USEC);
	/* The VMM and the firmware make the TVM's keys. */
	return varlink_call_reply(call, NULL);
}

static int on_release_tvm(VarlinkCall *call, json_object *parameters, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = { .has_tvm = true };
	Service *service = userdata;
	int r;

	r = answer_get_uuid(call, parameters, "tvm", &refusal.tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	refusal.devices = calloc(bindings_count(service->bindings) + 1, sizeof(*refusal.devices));
	if (!refusal.devices)
		return -ENOMEM;
	for (size_t i = 0; i < bindings_count(service->bindings); i++) {
		const Binding *b = bindings_at(service->bindings, i);

		if (uuid_equal(b->tvm, refusal.tvm))
			refusal.devices[refusal.n_devices++] = b->device;
	}
	if (refusal.n_devices)
		return answer_refused(call, TSM_TVM_BUSY, &refusal);
	if (service->companion)
		return companion_forward(service->companion, call,
					 json_get_string(parameters, "tvm"), PREPARE_TIMEOUT_USEC);
	return varlink_call_reply(call, NULL);
}

/* GetEvidence and Measure. */
static int on_evidence(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;
	const char *device = json_get_string(parameters, "device");
	Bdf bdf;
	int r;

	r = answer_get_bdf(call, parameters, "device", &bdf);
	if (r != 0)
		return r < 0 ? r : 0;
	if (!service->companion)
		return varlink_call_errorb(
			call, "Refused", J_STRING("object", device),
			J_STRING("reason",
				 "the kernel shows a device's evidence to the host on no platform "
				 "yet; the TVM gets it from its TSM"));
	return companion_forward(service->companion, call, device, EVIDENCE_TIMEOUT_USEC);
}

/* --- Query and Monitor --- */

json_object *service_dsm_json(const Service *service, const ViewDsm *d)
{
	const char *certificate = service->companion && d->connected
					  ? companion_certificate(service->companion, d->dsm)
					  : NULL;
	char dsm[BDF_STRING_SIZE];
	json_object *object = NULL;

	json_build(&object, J_STRING("dsm", bdf_format(d->dsm, dsm)),
		   J_BOOL("connected", d->connected), J_STRING("certificate_digest", certificate));
	return object;
}

json_object *service_tdi_json(const ViewTdi *t)
{
	char device[BDF_STRING_SIZE], dsm[BDF_STRING_SIZE], tvm[UUID_STRING_SIZE];
	json_object *object = NULL;

	json_build(&object, J_STRING("device", bdf_format(t->device, device)),
		   J_STRING("dsm", bdf_format(t->dsm, dsm)),
		   J_STRING("tvm", t->owned ? uuid_format(t->tvm, tvm) : NULL),
		   J_INT_IF(t->owned, "generation", (int64_t)t->generation),
		   J_STRING("state", tdisp_state_name(t->state)), J_BOOL("accepted", t->accepted));
	return object;
}

int service_answer_query(Service *service, VarlinkCall *call)
{
	_cleanup_(json_unrefp) json_object *dsms = json_object_new_array();
	_cleanup_(json_unrefp) json_object *tdis = json_object_new_array();
	_cleanup_(json_unrefp) json_object *operations = json_object_new_array();
	int r = dsms && tdis && operations ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < service->view.n; i++) {
		ViewTdi tdi = view_tdi(&service->view, i, service->bindings, service->companion);
		ViewDsm dsm;

		r = json_append_take(tdis, service_tdi_json(&tdi));
		if (r == 0 && view_dsm(&service->view, i, &dsm))
			r = json_append_take(dsms, service_dsm_json(service, &dsm));
	}
	if (r == 0)
		r = answer_operations(service->operations, operations);
	if (r < 0)
		return r;
	return varlink_call_replyb(call, J_STRING("instance", service->instance),
				   J_REF("dsms", dsms), J_REF("tdis", tdis),
				   J_REF("operations", operations),
				   J_STRING("stalled", service->stalled));
}

static int on_query(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return service_hold_query(userdata, call);
}

static int on_monitor(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	return monitor_add(service->monitor, call);
}

/* --- what others tell --- */

static void on_changed(void *userdata)
{
	service_look(userdata, "changed by others");
}

static void on_companion_ready(void *userdata)
{
	Service *service = userdata;

	service_check_identity(service);
	service_publish(service, "the companion says so");
}

static void on_companion_lost(void *userdata, const char *reason)
{
	Service *service = userdata;
	_cleanup_free_ char *note = NULL;

	/* Its TSM may be gone with it: then the kernel says so, by an event of its own. */
	if (asprintf(&note, "companion %s: %s", service->config->companion_socket, reason) >= 0)
		monitor_publish_note(service->monitor, note);
	service_look(service, "the companion is gone");
}

static void on_companion_changed(void *userdata, Bdf device, const char *reason)
{
	service_publish(userdata, reason);
}

static bool on_peer(const struct ucred *peer, void *userdata)
{
	const Service *service = userdata;

	if (settings_uids_have(&service->config->allow_uids, peer->uid))
		return true;
	log_warning("uid %u may not connect (allow_uids)", (unsigned int)peer->uid);
	return false;
}

/* --- the service itself --- */

static int bind_methods(Service *service)
{
	static const struct {
		const char *name;
		unsigned int flags;
		VarlinkHandler handler;
	} methods[] = {
		{ "io.tdid.Tsm.GetCapabilities", 0, on_get_capabilities },
		{ "io.tdid.Tsm.ListDevices", 0, on_list_devices },
		{ "io.tdid.Tsm.PrepareTvm", 0, on_prepare_tvm },
		{ "io.tdid.Tsm.ReleaseTvm", 0, on_release_tvm },
		{ "io.tdid.Tsm.GetEvidence", 0, on_evidence },
		{ "io.tdid.Tsm.Measure", 0, on_evidence },
		{ "io.tdid.Tsm.Query", 0, on_query },
		{ "io.tdid.Tsm.Monitor", VARLINK_MORE_ONLY, on_monitor },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(methods); i++)
		r = varlink_server_bind(service->server, methods[i].name, methods[i].flags,
					methods[i].handler, service);
	if (r == 0)
		r = service_bind_verbs(service);
	if (r == 0)
		r = service_bind_guest(service);
	return r;
}

static int read_boot_id(Service *service, char **ret_error)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fclose_ FILE *f = NULL;

	if (asprintf(&path, "%s/proc/sys/kernel/random/boot_id", service->config->root) < 0)
		return -ENOMEM;
	f = fopen(path, "re");
	if (!f || !fgets(service->boot_id, sizeof(service->boot_id), f))
		return refuse(ret_error, -EIO, "%s cannot be read", path);
	service->boot_id[strcspn(service->boot_id, "\n")] = '\0';
	return 0;
}

static int open_companion(Service *service)
{
	if (!service->config->companion_socket)
		return 0;
	return companion_new(&service->companion, service->event,
			     &(CompanionOptions){ .socket = service->config->companion_socket,
						  .uid = service->config->companion_uid,
						  .ready = on_companion_ready,
						  .lost = on_companion_lost,
						  .tdi_changed = on_companion_changed,
						  .dsm_changed = on_companion_changed,
						  .userdata = service });
}

static int open_server(Service *service, char **ret_error)
{
	VarlinkServerOptions options = {
		.vendor = "tdid",
		.product = "tdi-tsm-linux",
		.version = TDID_VERSION,
		.allow = on_peer,
		.userdata = service,
	};
	int r;

	r = varlink_server_new(&service->server, service->event, &options);
	if (r == 0)
		r = varlink_server_add_interface(service->server, schema_io_tdid_tsm, ret_error);
	return r < 0 ? r : bind_methods(service);
}

static int open_parts(Service *service, const ServiceOptions *options, char **ret_error)
{
	const Config *config = options->config;
	WatchOptions watch = { .uevents = options->uevents,
			       .changed = on_changed,
			       .userdata = service };
	int r;

	if (asprintf(&service->sysfs, "%s/sys", config->root) < 0 ||
	    asprintf(&service->proxy, "%s" TSM_PROXY_VMM_DEVICE, config->root) < 0)
		r = -ENOMEM;
	else
		r = read_boot_id(service, ret_error);
	if (r < 0) {
		if (options->uevents >= 0)
			close(options->uevents);
		return r;
	}
	watch.sysfs = service->sysfs;
	watch.proxy = service->proxy;
	r = watch_new(&service->watch, service->event, &watch);
	if (r == 0)
		r = bindings_open(&service->bindings, config->state, service->boot_id, ret_error);
	if (r == 0)
		r = monitor_new(&service->monitor, service->instance);
	if (r == 0)
		r = operations_new(&service->operations, service->event);
	if (r == 0)
		r = open_companion(service);
	return r < 0 ? r : open_server(service, ret_error);
}

int service_new(Service **ret, sd_event *event, const ServiceOptions *options, char **ret_error)
{
	_cleanup_(service_freep) Service *service = calloc(1, sizeof(*service));
	int r;

	if (!service) {
		if (options->uevents >= 0)
			close(options->uevents);
		return -ENOMEM;
	}
	service->event = sd_event_ref(event);
	service->config = options->config;
	service->io = options->io ?: &kernel_io_system;
	service->kill = options->kill;
	r = open_parts(service, options, ret_error);
	if (r < 0)
		return r;
	service_read_tsm(service);
	service_check_identity(service);
	service_look(service, "found at the start");
	*ret = steal_ptr(service);
	return 0;
}

Service *service_free(Service *service)
{
	if (!service)
		return NULL;
	/* Calls that wait are let go of before what they wait for. */
	service_look_done(service);
	varlink_server_free(service->server);
	companion_free(service->companion);
	operations_free(service->operations);
	service_verbs_done(service);
	monitor_free(service->monitor);
	watch_free(service->watch);
	bindings_free(service->bindings);
	view_done(&service->view);
	sd_event_unref(service->event);
	free(service->sysfs);
	free(service->proxy);
	free(service);
	return NULL;
}

int service_listen(Service *service, char **ret_error)
{
	int fd = varlink_activation_fd(ACTIVATION_NAME, service->config->socket);

	/* Open to all by its mode: who may connect is decided by uid. */
	return fd >= 0 ? varlink_server_listen_fd(service->server, fd, ret_error)
		       : varlink_server_listen(service->server, service->config->socket, 0666,
					       ret_error);
}
