/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parts of the service, and what they hear from others. What is known comes from looks at the
 * kernel (service-look.c), after each event (watch.h), each verb (service-verbs.c) and each word of
 * the companion.
 */
#include "service-private.h"

#include "common/settings.h"
#include "core/refusal.h"
#include "rpc/log.h"
#include "schemas/schemas.h"

#include <errno.h>
#include <string.h>

#define ACTIVATION_NAME "linux"

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
	static int (*const binders[])(Service * service) = {
		service_bind_identity, service_bind_query, service_bind_tvms,
		service_bind_verbs,    service_bind_guest,
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(binders); i++)
		r = binders[i](service);
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
		.connections_max = TSM_CONNECTIONS_MAX,
		.connections_per_uid_max = TSM_CONNECTIONS_MAX / 2,
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
		r = service_open_lock(service, ret_error);
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
	service_stall_done(service);
	service_resets_done(service);
	monitor_free(service->monitor);
	watch_free(service->watch);
	bindings_free(service->bindings);
	view_done(&service->view);
	service_identity_done(service);
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

int service_start_worker(Service *service, Worker **ret, const KernelRequest *request, int fd,
			 uint32_t deadline_ms,
			 void (*ended)(Worker *worker, WorkerEnd end, void *shared, void *userdata),
			 void *userdata)
{
	WorkerLimits limits = {
		.deadline_usec = deadline_ms * USEC_PER_MSEC,
		.grace_usec = service->config->deadlines.kill * USEC_PER_MSEC,
		.kill = service->kill,
	};
	bool acts = request->verb != KERNEL_LOOK;

	return worker_start(ret, service->event,
			    &(WorkerOptions){ .job = kernel_job,
					      .input = request,
					      .shared_size = sizeof(KernelReport),
					      .fd = fd,
					      .held = acts ? verb_lock_fd(service->lock) : -1,
					      .limits = &limits,
					      .ended = ended,
					      .userdata = userdata });
}
