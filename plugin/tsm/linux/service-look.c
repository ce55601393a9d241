/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at the kernel. Reading tsm/connect waits for whoever holds the PCI/TSM lock, so a worker
 * does it, and lets go when it takes long: see KernelRequest::look_ms. Then whoever waits gets what
 * was known before, and another attempt follows, since no event tells that the lock is free.
 *
 *	idle --something happened--> due --loop--> looking --worker--> idle
 *	due, a verb is under way --> its end --> due
 *	looking, a verb begins --> dropped; the verb's end --> due
 *	looking --lock not free--> blocked --timer--> due
 */
#include "service-private.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define ACCURACY_USEC	   1000
#define BLOCKED_AGAIN_USEC (5 * UINT64_C(1000000))

void service_read_tsm(Service *service)
{
	if (tee_io_tsm(service->tsm, service->tsm_driver, sizeof(service->tsm_driver),
		       service->sysfs) < 0)
		service->tsm[0] = service->tsm_driver[0] = '\0';
}

bool service_tsm(const Service *service, char ret[static TEE_IO_TSM_NAME_SIZE])
{
	const char *name = service->config->tsm ?: service->tsm;

	snprintf(ret, TEE_IO_TSM_NAME_SIZE, "%s", name);
	return *name;
}

KernelBinder service_binder(const Service *service)
{
	switch (service->config->binder) {
	case CONFIG_BINDER_PROXY: return KERNEL_BINDER_PROXY;
	case CONFIG_BINDER_OBSERVE: return KERNEL_BINDER_OBSERVE;
	default:
		return access(service->proxy, F_OK) == 0 ? KERNEL_BINDER_PROXY
							 : KERNEL_BINDER_OBSERVE;
	}
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
	monitor_publish(t->service->monitor, service_tdi_json(tdi), NULL, t->reason);
}

static void tell_dsm(void *userdata, const ViewDsm *dsm)
{
	char name[BDF_STRING_SIZE];
	Telling *t = userdata;

	log_info("%s: %s: %s", bdf_format(dsm->dsm, name),
		 dsm->connected ? "connected" : "disconnected", t->reason ?: "no reason is known");
	monitor_publish(t->service->monitor, NULL, service_dsm_json(t->service, dsm), t->reason);
}

void service_publish(Service *service, const char *reason)
{
	Telling telling = { service, reason };

	if (view_tell(&service->view, service->bindings, service->companion, tell_tdi, tell_dsm,
		      &telling) < 0)
		log_error("no memory to tell what has changed");
}

/* Binds that ended without us. A bind of ours under way has its record before it is bound. */
static void drop_ended(Service *service)
{
	for (size_t i = bindings_count(service->bindings); i-- > 0 && !service->work;) {
		Bdf device = bindings_at(service->bindings, i)->device;
		const KernelFunction *k = view_kernel(&service->view, device);
		char name[BDF_STRING_SIZE];
		int r;

		if (k && k->bound[0])
			continue;
		r = bindings_drop(service->bindings, device);
		if (r < 0)
			log_warning("%s: the record of its bind cannot be removed: %s",
				    bdf_format(device, name), strerror(-r));
	}
}

void service_saw(Service *service, const KernelReport *report, const char *reason)
{
	view_set_kernel(&service->view, report->functions, report->n);
	drop_ended(service);
	service_publish(service, reason);
}

/* --- Query waits for a look --- */

static void on_query_gone(VarlinkCall *call, void *userdata)
{
	Service *service = userdata;

	for (HeldQuery **p = &service->queries; *p; p = &(*p)->next) {
		HeldQuery *held = *p;

		if (held->call != call)
			continue;
		*p = held->next;
		free(held);
		varlink_call_unref(call);
		return;
	}
}

int service_hold_query(Service *service, VarlinkCall *call)
{
	HeldQuery *held;

	/* What is known is all there is to say. */
	if (service->blocked || service->stalled || service->work)
		return service_answer_query(service, call);
	held = calloc(1, sizeof(*held));
	if (!held)
		return -ENOMEM;
	held->call = varlink_call_ref(call);
	held->next = service->queries;
	service->queries = held;
	varlink_call_on_gone(call, on_query_gone, service);
	service_look(service, "seen on request");
	return 0;
}

static void answer_queries(Service *service)
{
	while (service->queries) {
		HeldQuery *held = service->queries;

		service->queries = held->next;
		varlink_call_on_gone(held->call, NULL, NULL);
		service_answer_query(service, held->call);
		varlink_call_unref(held->call);
		free(held);
	}
}

/* --- the look --- */

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	Service *service = userdata;

	service->look_again = sd_event_source_disable_unref(service->look_again);
	service_look(service, "seen when the kernel answered again");
	return 0;
}

static void set_blocked(Service *service, bool blocked)
{
	const char *sentence =
		blocked ? "the kernel's PCI/TSM lock is held by another user of this host; "
			  "connect, "
			  "bind and hot-plug of PCI devices wait until it is released"
			: "the kernel's PCI/TSM lock is free again";

	if (blocked && !service->look_again &&
	    sd_event_add_time_relative(service->event, &service->look_again, CLOCK_MONOTONIC,
				       BLOCKED_AGAIN_USEC, ACCURACY_USEC, on_again, service) < 0)
		log_error("no timer can be set to look at the kernel again");
	if (service->blocked == blocked)
		return;
	service->blocked = blocked;
	log_warning("%s", sentence);
	monitor_publish_note(service->monitor, sentence);
}

static void on_look(Worker *worker, WorkerEnd end, void *shared, void *userdata)
{
	const KernelReport *report = shared;
	Service *service = userdata;
	bool seen = end == WORKER_DONE && report->step == KERNEL_STEP_LOOKED;

	if (seen) {
		service->looked_once = true;
		service_saw(service, report, service->look_reason);
	} else if (end != WORKER_DONE || report->error != -EINTR) {
		log_warning("the kernel's PCI/TSM attributes cannot be read: %s",
			    end == WORKER_DONE ? strerror(-report->error) : "the child died");
	}
	set_blocked(service, end == WORKER_DONE && report->error == -EINTR);
	service->look = worker_free(service->look);
	service->look_reason = NULL;
	answer_queries(service);
}

int service_read_functions(Service *service)
{
	TeeIoFunction *functions = NULL;
	size_t n = 0;
	int r;

	service_read_tsm(service);
	r = tee_io_functions(&functions, &n, service->sysfs);
	if (r == 0 && n > KERNEL_FUNCTIONS_MAX)
		n = KERNEL_FUNCTIONS_MAX;
	if (r == 0)
		r = view_set_functions(&service->view, functions, n);
	if (r < 0) {
		log_error("the PCI functions of this host cannot be listed: %s", strerror(-r));
		return r;
	}
	watch_functions(service->watch, service->view.functions, service->view.n);
	if (r > 0 && service->looked_once) {
		log_info("the TEE-IO functions of this host are others now: %zu", service->view.n);
		monitor_end(service->monitor, "the list of devices has changed");
	}
	service_check_identity(service);
	return 0;
}

static int on_look_due(sd_event_source *source, void *userdata)
{
	Service *service = userdata;
	_cleanup_free_ Bdf *list = NULL;
	KernelRequest request = { .verb = KERNEL_LOOK,
				  .sysfs = service->sysfs,
				  .io = service->io,
				  .look_ms = service->config->deadlines.look };
	int r;

	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	/* The end of the verb asks again. While a child hangs in the kernel nothing can be read. */
	if (service->work || service->stalled) {
		answer_queries(service);
		return 0;
	}
	service->look = worker_free(service->look);
	service_read_functions(service);
	list = calloc(service->view.n + 1, sizeof(*list));
	for (size_t i = 0; list && i < service->view.n; i++)
		list[i] = service->view.functions[i].host.bdf;
	request.functions = list;
	request.n_functions = service->view.n;
	r = list ? service_start_worker(service, &service->look, &request, -1, 0, on_look, service)
		 : -ENOMEM;
	if (r < 0) {
		log_error("cannot look at the kernel's PCI/TSM: %s", strerror(-r));
		answer_queries(service);
	}
	return 0;
}

void service_drop_look(Service *service)
{
	service->look = worker_free(service->look);
}

void service_look(Service *service, const char *reason)
{
	int r = 0;

	if (!service->look_reason)
		service->look_reason = reason;
	if (!service->look_due) {
		r = sd_event_add_defer(service->event, &service->look_due, on_look_due, service);
		/* After what else is due, so that a burst of uevents is one look. */
		if (r >= 0)
			r = sd_event_source_set_priority(service->look_due, SD_EVENT_PRIORITY_IDLE);
	} else {
		r = sd_event_source_set_enabled(service->look_due, SD_EVENT_ONESHOT);
	}
	if (r < 0)
		log_error("cannot look at the kernel's PCI/TSM: %s", strerror(-r));
}

void service_look_done(Service *service)
{
	while (service->queries)
		on_query_gone(service->queries->call, service);
	worker_free(service->look);
	sd_event_source_disable_unref(service->look_due);
	sd_event_source_disable_unref(service->look_again);
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

	return worker_start(ret, service->event,
			    &(WorkerOptions){ .job = kernel_job,
					      .input = request,
					      .shared_size = sizeof(KernelReport),
					      .fd = fd,
					      .held = -1,
					      .limits = &limits,
					      .ended = ended,
					      .userdata = userdata });
}
