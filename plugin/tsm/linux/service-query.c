/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known, on request (ListDevices, Query) and as it changes (Monitor). */
#include "service-private.h"

#include "rpc/log.h"

#include <errno.h>

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

		if (known && functions[i].unreadable)
			functions[i] = *known;
		if (functions[i].unreadable)
			continue;
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

/* --- DSMs and TDIs --- */

static json_object *dsm_json(const Service *service, const ViewDsm *d)
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

static json_object *tdi_json(const ViewTdi *t)
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

typedef struct Telling {
	Service *service;
	const char *reason;
} Telling;

static void tell_tdi(void *userdata, const ViewTdi *tdi)
{
	char name[BDF_STRING_SIZE];
	Telling *t = userdata;

	log_info("%s: %s%s: %s", bdf_format(tdi->device, name), tdisp_state_name(tdi->state),
		 tdi->accepted ? ", accepted" : "", t->reason ?: "no reason is known");
	monitor_publish(t->service->monitor, tdi_json(tdi), NULL, t->reason);
}

static void tell_dsm(void *userdata, const ViewDsm *dsm)
{
	char name[BDF_STRING_SIZE];
	Telling *t = userdata;

	log_info("%s: %s: %s", bdf_format(dsm->dsm, name),
		 dsm->connected ? "connected" : "disconnected", t->reason ?: "no reason is known");
	monitor_publish(t->service->monitor, NULL, dsm_json(t->service, dsm), t->reason);
}

void service_publish(Service *service, const char *reason)
{
	Telling telling = { service, reason };

	if (view_tell(&service->view, service->bindings, service->companion, tell_tdi, tell_dsm,
		      &telling) < 0)
		log_error("no memory to tell what has changed");
}

static int answer_query(Service *service, VarlinkCall *call)
{
	_cleanup_(json_unrefp) json_object *dsms = json_object_new_array();
	_cleanup_(json_unrefp) json_object *tdis = json_object_new_array();
	_cleanup_(json_unrefp) json_object *operations = json_object_new_array();
	int r = dsms && tdis && operations ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < service->view.n; i++) {
		ViewTdi tdi = view_tdi(&service->view, i, service->bindings, service->companion);
		ViewDsm dsm;

		r = json_append_take(tdis, tdi_json(&tdi));
		if (r == 0 && view_dsm(&service->view, i, &dsm))
			r = json_append_take(dsms, dsm_json(service, &dsm));
	}
	if (r == 0)
		r = answer_operations(service->operations, operations);
	if (r < 0)
		return r;
	return varlink_call_replyb(call, J_STRING("instance", service->instance),
				   J_REF("dsms", dsms), J_REF("tdis", tdis),
				   J_REF("operations", operations),
				   J_STRING("stalled", service_stalled(service)));
}

static int on_query(VarlinkCall *call, json_object *parameters, void *userdata)
{
	return service_hold(userdata, call, answer_query);
}

static int on_monitor(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	return monitor_add(service->monitor, call);
}

int service_refuse_unseen(Service *service, VarlinkCall *call)
{
	return varlink_call_errorb(
		call, "Refused", J_STRING("object", "kernel"),
		J_STRING("reason", service_stuck(service)
					   ?: "what is connected and bound is not known yet: the "
					      "kernel's PCI/TSM lock is held by another user of "
					      "this host, or its attributes cannot be read"));
}

int service_bind_query(Service *service)
{
	static const VarlinkMethod methods[] = {
		{ "io.tdid.Tsm.ListDevices", 0, on_list_devices },
		{ "io.tdid.Tsm.Query", 0, on_query },
		{ "io.tdid.Tsm.Monitor", VARLINK_MORE_ONLY, on_monitor },
	};

	return varlink_server_bind_all(service->server, methods, ELEMENTSOF(methods), service);
}
