/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at the kernel. Reading tsm/connect waits for whoever holds the PCI/TSM lock, so a worker
 * does it, and lets go when it takes long: see KernelRequest::look_ms. Then whoever waits gets what
 * was known before, and another attempt follows, since no event tells that the lock is free.
 *
 *	idle --something happened--> owed --loop--> looking --worker--> idle
 *	looking, something happened --> owed too; the worker's end --> looking again
 *	owed, a verb is under way --> its end --> owed
 *	looking, a verb begins --> dropped and owed
 *	looking --lock not free, or failed--> idle --timer--> owed
 *
 * Whenever a look ends, however it ends, or none can be begun, the calls that wait for it are
 * answered: with what is known, or with a refusal as long as nothing is.
 *
 * A bind of the VMM's ends without an event: the VMM closes the device and VFIO keeps it. So while
 * one stands that this provider answers for, it looks as often as it would wait for the VMM.
 */
#include "service-private.h"
#include "verb-work.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define ACCURACY_USEC	  1000
#define UNREAD_AGAIN_USEC (5 * UINT64_C(1000000))

/* --- calls that wait for a look --- */

static void on_held_gone(VarlinkCall *call, void *userdata)
{
	Service *service = userdata;

	for (HeldCall **p = &service->look.held; *p; p = &(*p)->next) {
		HeldCall *held = *p;

		if (held->call != call)
			continue;
		*p = held->next;
		free(held);
		varlink_call_unref(call);
		return;
	}
}

static int answer(Service *service, VarlinkCall *call, ServiceAnswer with)
{
	return service->look.once ? with(service, call) : service_refuse_unseen(service, call);
}

static bool is_in_the_way(const Service *service)
{
	return service->work || service_stuck(service);
}

int service_hold(Service *service, VarlinkCall *call, ServiceAnswer with)
{
	HeldCall *held;

	/* What is known is all there is to say. */
	if (service->look.blocked || is_in_the_way(service))
		return answer(service, call, with);
	held = calloc(1, sizeof(*held));
	if (!held)
		return -ENOMEM;
	held->call = varlink_call_ref(call);
	held->answer = with;
	held->later = service->look.worker;
	held->next = service->look.held;
	service->look.held = held;
	varlink_call_on_gone(call, on_held_gone, service);
	service_look(service, "seen on request");
	return 0;
}

/* all: also those that came after the look had begun. */
static void answer_held(Service *service, bool all)
{
	HeldCall **p = &service->look.held;

	while (*p) {
		HeldCall *held = *p;
		int r;

		if (held->later && !all) {
			p = &held->next;
			continue;
		}
		*p = held->next;
		varlink_call_on_gone(held->call, NULL, NULL);
		r = answer(service, held->call, held->answer);
		if (r < 0)
			log_warning("a call cannot be answered: %s", strerror(-r));
		varlink_call_unref(held->call);
		free(held);
	}
}

/* --- what is seen --- */

/*
 * A bind that ended without a verb of ours: nobody heard whether the device is clean, if its end
 * alone does not say so.
 */
static void end_bind(Service *service, Bdf device)
{
	char name[BDF_STRING_SIZE];
	int r = bindings_end(service->bindings, device, service->config->unbind_confirms);

	if (r < 0)
		log_warning("%s: the end of its bind cannot be recorded: %s",
			    bdf_format(device, name), strerror(-r));
}

/* A verb of its own says itself what becomes of the record. */
static bool is_worked_on(const Service *service, Bdf device)
{
	return service->work && service->work->request.verb != KERNEL_LOOK &&
	       bdf_equal(service->work->device, device);
}

/* Of what is bound no more. One that was not read may be. */
static void end_binds(Service *service, const KernelReport *report)
{
	for (size_t i = 0; i < report->n; i++) {
		const KernelFunction *now = &report->functions[i];
		const KernelFunction *before = view_kernel(&service->view, now->bdf);
		/* A verb that could not see the end has recorded what was heard of it. */
		bool told = before && before->error < 0 &&
			    bindings_unconfirmed(service->bindings, now->bdf);

		if (now->error < 0 || now->bound[0] || is_worked_on(service, now->bdf))
			continue;
		if (bindings_find(service->bindings, now->bdf) ||
		    (before && before->bound[0] && !told))
			end_bind(service, now->bdf);
	}
	/* A function that is gone, or has no TSM any more, took its bind with it. */
	for (size_t i = bindings_count(service->bindings); i-- > 0;) {
		Bdf device = bindings_at(service->bindings, i)->device;

		if (!view_function(&service->view, device) && !is_worked_on(service, device))
			end_bind(service, device);
	}
}

void service_saw(Service *service, const KernelReport *report, const char *reason)
{
	end_binds(service, report);
	view_set_kernel(&service->view, report->functions, report->n);
	service_publish(service, reason);
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
	if (r > 0 && service->look.once) {
		log_info("the TEE-IO functions of this host are others now: %zu", service->view.n);
		monitor_end(service->monitor, "the list of devices has changed");
	}
	service_check_identity(service);
	return 0;
}

/* --- when to look again though nothing happened --- */

static int on_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	Service *service = userdata;

	service->look.again = sd_event_source_disable_unref(service->look.again);
	service_look(service,
		     service->look.blocked ? "seen when the kernel answered again" : "seen now");
	return 0;
}

/* In this time, or sooner if that was said before. */
static void look_again(Service *service, uint64_t usec)
{
	ServiceLook *look = &service->look;
	uint64_t now, due;

	if (look->again && sd_event_now(service->event, CLOCK_MONOTONIC, &now) >= 0 &&
	    sd_event_source_get_time(look->again, &due) >= 0 && due <= now + usec)
		return;
	look->again = sd_event_source_disable_unref(look->again);
	if (sd_event_add_time_relative(service->event, &look->again, CLOCK_MONOTONIC, usec,
				       ACCURACY_USEC, on_again, service) < 0)
		log_error("no timer can be set to look at the kernel again");
}

static void watch_observed(Service *service)
{
	if (bindings_count(service->bindings) && service_binder(service) == KERNEL_BINDER_OBSERVE)
		look_again(service, service->config->deadlines.observe * USEC_PER_MSEC);
}

static void set_blocked(Service *service, bool blocked)
{
	const char *sentence =
		blocked ? "the kernel's PCI/TSM lock is held by another user of this host; "
			  "connect, bind and hot-plug of PCI devices wait until it is released"
			: "the kernel's PCI/TSM lock is free again";

	if (service->look.blocked == blocked)
		return;
	service->look.blocked = blocked;
	log_warning("%s", sentence);
	monitor_publish_note(service->monitor, sentence);
}

/* --- the look --- */

static int on_look_due(sd_event_source *source, void *userdata);

static void arm(Service *service)
{
	ServiceLook *look = &service->look;
	int r = 0;

	/* Of no lower priority than what brings events: they would keep it from its turn. */
	if (!look->due)
		r = sd_event_add_defer(service->event, &look->due, on_look_due, service);
	if (r >= 0)
		r = sd_event_source_set_enabled(look->due, SD_EVENT_ONESHOT);
	if (r < 0)
		log_error("cannot look at the kernel's PCI/TSM: %s", strerror(-r));
}

/* What had to be left out, because the lock was not free or for other reasons. */
static void count_unread(const KernelReport *report, size_t *ret_blocked, size_t *ret_failed)
{
	*ret_blocked = *ret_failed = 0;
	for (size_t i = 0; i < report->n; i++) {
		const KernelFunction *f = &report->functions[i];

		*ret_blocked += f->error == -EINTR;
		*ret_failed += f->error < 0 && f->error != -EINTR;
	}
}

static void warn_of_failures(Service *service, const KernelReport *report, size_t n_failed)
{
	char name[BDF_STRING_SIZE];

	for (size_t i = 0; i < report->n && n_failed > service->look.n_failed; i++)
		if (report->functions[i].error < 0 && report->functions[i].error != -EINTR)
			log_warning("%s: its tsm/ attributes cannot be read: %s",
				    bdf_format(report->functions[i].bdf, name),
				    strerror(-report->functions[i].error));
	service->look.n_failed = n_failed;
}

static void on_look(Worker *worker, WorkerEnd end, void *shared, void *userdata)
{
	const KernelReport *report = shared;
	Service *service = userdata;
	ServiceLook *look = &service->look;
	bool seen = end == WORKER_DONE && report->step == KERNEL_STEP_LOOKED;
	size_t n_blocked = 0, n_failed = 0;

	if (seen) {
		count_unread(report, &n_blocked, &n_failed);
		warn_of_failures(service, report, n_failed);
		look->once = look->once || n_blocked == 0;
		service_saw(service, report, look->reason);
	} else {
		log_warning("the kernel's PCI/TSM attributes cannot be read: the child died");
	}
	set_blocked(service, n_blocked);
	look->worker = worker_free(look->worker);
	look->reason = NULL;
	answer_held(service, n_blocked || !seen);
	if (n_blocked || n_failed || !seen)
		look_again(service, UNREAD_AGAIN_USEC);
	watch_observed(service);
	if (look->owed)
		arm(service);
}

static int begin(Service *service)
{
	_cleanup_free_ Bdf *list = NULL, *dsms = NULL;
	ServiceLook *look = &service->look;
	KernelRequest request = { .verb = KERNEL_LOOK,
				  .sysfs = service->sysfs,
				  .io = service->io,
				  .look_ms = service->config->deadlines.look };
	int r;

	r = service_read_functions(service);
	if (r < 0)
		return r;
	list = calloc(service->view.n + 1, sizeof(*list));
	dsms = calloc(service->view.n + 1, sizeof(*dsms));
	if (!list || !dsms)
		return -ENOMEM;
	for (size_t i = 0; i < service->view.n; i++) {
		list[i] = service->view.functions[i].host.bdf;
		dsms[i] = service->view.functions[i].dsm;
	}
	request.functions = list;
	request.dsms = dsms;
	request.n_functions = service->view.n;
	r = service_start_worker(service, &look->worker, &request, -1, 0, on_look, service);
	if (r < 0)
		return r;
	look->owed = false;
	look->reason = look->owed_reason;
	look->owed_reason = NULL;
	for (HeldCall *held = look->held; held; held = held->next)
		held->later = false;
	return 0;
}

static int on_look_due(sd_event_source *source, void *userdata)
{
	Service *service = userdata;
	int r;

	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	/* The end of the verb asks again. While a child hangs in the kernel nothing can be read. */
	if (is_in_the_way(service)) {
		answer_held(service, true);
		return 0;
	}
	/* So does the end of the look under way. */
	if (!service->look.owed || service->look.worker)
		return 0;
	r = begin(service);
	if (r < 0) {
		log_error("cannot look at the kernel's PCI/TSM: %s", strerror(-r));
		answer_held(service, true);
		look_again(service, UNREAD_AGAIN_USEC);
	}
	return 0;
}

void service_drop_look(Service *service)
{
	ServiceLook *look = &service->look;

	if (look->worker) {
		look->worker = worker_free(look->worker);
		look->reason = NULL;
		look->owed = true;
	}
	answer_held(service, true);
}

void service_look(Service *service, const char *reason)
{
	ServiceLook *look = &service->look;

	look->owed = true;
	look->owed_reason = look->owed_reason ?: reason;
	arm(service);
}

void service_look_done(Service *service)
{
	ServiceLook *look = &service->look;

	while (look->held)
		on_held_gone(look->held->call, service);
	worker_free(look->worker);
	sd_event_source_disable_unref(look->due);
	sd_event_source_disable_unref(look->again);
}
