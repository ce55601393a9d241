/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What follows an unbind that has freed the TSM's side, and whose end by the device nobody has
 * heard of:
 *
 *	unconfirmed, recorded --must not be reset--> unconfirmed, with the reason
 *	                      --child: look, FLR--> failed, killed, hangs: unconfirmed
 *	                                        --> done --companion asked anew--> confirmed, or not
 *
 * It is recorded first: after a crash in between the next Unbind, also of what is not bound, begins
 * here again.
 *
 * What the FLR proves: the kernel has seen the function answer again after it. PCIe has an FLR
 * leave nothing of the use before it that software could read (6.6.2), and TDISP has it end
 * CONFIG_LOCKED and RUN, whose data are cleared before CONFIG_UNLOCKED. So in the place of a STOP
 * that was not heard it counts, if nothing contradicts it. What it does not prove: that the device
 * did as it has to; nor which state it is in, ERROR being as likely as CONFIG_UNLOCKED. The kernel
 * has no interface that asks. Therefore a companion that says otherwise, or one that is configured
 * and cannot be asked, leaves it unconfirmed, and the reply says that a reset stands behind its
 * yes.
 *
 * A reset holds the locks of its device and of the bridge above it, not that of PCI/TSM: one that
 * hangs stalls no other DSM. But it may still come, so nothing that it would hit is connected or
 * bound until it is over.
 */
#include "rpc/log.h"
#include "verb-work.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

struct ServiceReset {
	ServiceReset *next; /* of those that hang */
	Service *service;
	VerbWork *work; /* NULL: it hangs */
	Worker *worker;
	Bdf device, dsm;
};

ServiceReset *service_reset_free(ServiceReset *reset)
{
	if (reset)
		worker_free(reset->worker);
	free(reset);
	return NULL;
}

void service_resets_done(Service *service)
{
	while (service->hung_resets) {
		ServiceReset *reset = service->hung_resets;

		service->hung_resets = reset->next;
		service_reset_free(reset);
	}
}

bool service_reset_hangs(const Service *service, Bdf dsm, Bdf *ret_device)
{
	for (const ServiceReset *reset = service->hung_resets; reset; reset = reset->next)
		if (bdf_equal(reset->dsm, dsm)) {
			*ret_device = reset->device;
			return true;
		}
	return false;
}

/* Why it was not done. */
__attribute__((format(printf, 2, 3))) static void say(VerbWork *work, const char *format, ...)
{
	char name[BDF_STRING_SIZE];
	va_list arguments;

	free(work->reset_reason);
	va_start(arguments, format);
	if (vasprintf(&work->reset_reason, format, arguments) < 0)
		work->reset_reason = NULL;
	va_end(arguments);
	log_warning("%s: unconfirmed: %s", bdf_format(work->device, name),
		    work->reset_reason ?: "no memory");
}

/* --- before --- */

/* Of a function that is not the device: whether a reset of the device is one of it too. */
static bool is_taken_along(const TeeIoFunction *f, const TeeIoFunction *self)
{
	return !bdf_equal(f->host.bdf, self->host.bdf) &&
	       (bdf_equal(self->dsm, self->host.bdf) ||
		bdf_equal(f->host.physical, self->host.bdf));
}

/* Bound as far as is known without asking the kernel, which the child does. */
static bool is_held(const Service *service, Bdf bdf)
{
	const CompanionTdi *c = service->companion ? companion_tdi(service->companion, bdf) : NULL;

	return bindings_find(service->bindings, bdf) || (c && c->bound);
}

static void say_bound(VerbWork *work, Bdf bdf)
{
	char name[BDF_STRING_SIZE];

	say(work,
	    "it is not reset, because that would take %s to ERROR, which is bound; unbind that "
	    "first",
	    bdf_format(bdf, name));
}

static void say_driver(VerbWork *work, Bdf bdf, const char *driver)
{
	char name[BDF_STRING_SIZE];

	if (bdf_equal(bdf, work->device))
		say(work,
		    "it is not reset, because the host's driver %s uses it; take it from there "
		    "(virsh nodedev-detach) and clear it then",
		    driver);
	else
		say(work,
		    "it is not reset, because that would reset its virtual function %s, which %s "
		    "uses",
		    bdf_format(bdf, name), driver);
}

/* False: it is not reset, and the reason is said. */
static bool may_reset(VerbWork *work, const TeeIoFunction *self)
{
	const Service *service = work->service;
	const View *view = &service->view;
	char name[BDF_STRING_SIZE];
	pid_t user = 0;
	Bdf hung;

	if (!self) {
		say(work, "it is not reset, because the kernel's PCI/TSM does not know it now");
		return false;
	}
	if (service_reset_hangs(service, self->dsm, &hung)) {
		say(work, "it is not reset, because the reset of %s still hangs in the kernel",
		    bdf_format(hung, name));
		return false;
	}
	if (self->host.driver[0] && !self->vfio) {
		say_driver(work, work->device, self->host.driver);
		return false;
	}
	/* Without a bind that this very unbind has ended it may be any VM's, as a plain device. */
	if (work->force && !work->was_bound && self->vfio)
		user = vfio_user(service->config->root, service->sysfs, &self->host);
	if (user) {
		say(work,
		    "it is not reset, because it is attached to a VM: process %d has it open by "
		    "way of VFIO; detach it first and clear it then",
		    (int)user);
		return false;
	}
	for (size_t i = 0; i < view->n; i++) {
		const TeeIoFunction *f = &view->functions[i];

		if (bdf_equal(f->dsm, self->dsm) && is_taken_along(f, self) &&
		    is_held(service, f->host.bdf)) {
			say_bound(work, f->host.bdf);
			return false;
		}
		/* VFs go with their PF, whoever has them. */
		if (f->host.is_virtual && bdf_equal(f->host.physical, work->device) &&
		    f->host.driver[0]) {
			say_driver(work, f->host.bdf, f->host.driver);
			return false;
		}
	}
	return true;
}

/* --- the reset --- */

static void say_guard(VerbWork *work, const KernelReport *report)
{
	char name[BDF_STRING_SIZE];

	switch (report->guard) {
	case KERNEL_GUARD_BOUND:
		if (bdf_equal(report->guard_device, work->device))
			say(work, "it is not reset, because somebody has bound it again");
		else
			say_bound(work, report->guard_device);
		break;
	case KERNEL_GUARD_UNREADABLE:
		say(work, "it is not reset, because whether %s is bound cannot be read (%s)",
		    bdf_format(report->guard_device, name),
		    report->error == -EINTR ? "the kernel's PCI/TSM lock is not free"
					    : strerror(-report->error));
		break;
	case KERNEL_GUARD_DRIVER: say_driver(work, report->guard_device, report->driver); break;
	case KERNEL_GUARD_NO_RESET:
		say(work, "the kernel offers no reset of it (it has no `reset` in sysfs)");
		break;
	case KERNEL_GUARD_NO_FLR:
		say(work,
		    "it is not reset, because the kernel would not begin with an FLR, and nothing "
		    "else counts (its reset_method is \"%s\")",
		    report->methods);
		break;
	default: say(work, "it is not on this host any more"); break;
	}
}

/* For the look before it and for the reset. */
static uint32_t deadline_ms(const Service *service)
{
	const ConfigDeadlines *d = &service->config->deadlines;

	return d->reset + d->lock;
}

/* One that has been killed before its reset does not begin it any more. */
static bool is_hung(WorkerEnd end, const KernelReport *report)
{
	return end == WORKER_ABANDONED && report->step == KERNEL_STEP_ACTING;
}

static void judge(VerbWork *work, WorkerEnd end, const KernelReport *report)
{
	char name[BDF_STRING_SIZE];

	if (is_hung(end, report))
		say(work,
		    "its reset (FLR) has not returned within %u ms and hangs in the kernel; "
		    "nothing of its DSM is connected or bound until it returns. Either the "
		    "function does not come back from the reset, for which the kernel waits a "
		    "minute, or the reset waits for somebody else at the device, such as a driver "
		    "that is being unbound",
		    deadline_ms(work->service));
	else if (report->guard != KERNEL_GUARD_NONE)
		say_guard(work, report);
	else if (report->step == KERNEL_STEP_LOOKING)
		say(work, "it is not reset, because the kernel's PCI/TSM lock is not free");
	else if (report->step < KERNEL_STEP_ACTED)
		say(work, "its reset (FLR) did not return within %u ms and was killed",
		    deadline_ms(work->service));
	else if (report->error == -ENOTTY)
		say(work, "its reset (FLR) failed: it has not come back from it");
	else if (report->error < 0)
		say(work, "its reset (FLR) failed: %s", strerror(-report->error));
	else
		work->reset_done = true;
	if (report->narrowed)
		log_warning("%s: its reset_method is \"flr\" now; before this reset it was \"%s\"",
			    bdf_format(work->device, name), report->methods);
}

static void forget_hung(ServiceReset *reset)
{
	ServiceReset **p = &reset->service->hung_resets;

	while (*p != reset)
		p = &(*p)->next;
	*p = reset->next;
	service_reset_free(reset);
}

static void on_restored(Worker *worker, WorkerEnd end, void *shared, void *userdata)
{
	const KernelReport *report = shared;
	ServiceReset *reset = userdata;
	char name[BDF_STRING_SIZE];

	bdf_format(reset->device, name);
	if (report->step < KERNEL_STEP_ACTED)
		log_warning("%s: its reset_method is still \"flr\": putting it back hangs", name);
	else if (report->error < 0)
		log_warning("%s: its reset_method is still \"flr\": %s", name,
			    strerror(-report->error));
	else
		log_info("%s: its reset_method is again what it was", name);
	forget_hung(reset);
}

/* In a child again: the kernel wakes the device for it. */
static int restore_methods(ServiceReset *reset, const KernelReport *report)
{
	Service *service = reset->service;
	char methods[KERNEL_METHODS_MAX];
	KernelRequest q = { .verb = KERNEL_RESET,
			    .sysfs = service->sysfs,
			    .io = service->io,
			    .target = reset->device,
			    .methods = methods };

	memcpy(methods, report->methods, sizeof(methods));
	reset->worker = worker_free(reset->worker);
	return service_start_worker(service, &reset->worker, &q, -1, deadline_ms(service),
				    on_restored, reset);
}

static void come_back(ServiceReset *reset, const KernelReport *report)
{
	char name[BDF_STRING_SIZE];
	int r;

	bdf_format(reset->device, name);
	if (report->step < KERNEL_STEP_ACTED)
		log_warning("%s: the reset that hung has returned; with what is not known", name);
	else
		log_warning("%s: the reset that hung has returned: %s", name,
			    report->error < 0 ? strerror(-report->error) : "it was done");
	service_look(reset->service, "seen after a reset");
	if (report->narrowed) {
		r = restore_methods(reset, report);
		if (r == 0)
			return;
		log_warning("%s: its reset_method is still \"flr\": %s", name, strerror(-r));
	}
	forget_hung(reset);
}

static void on_ended(Worker *worker, WorkerEnd end, void *shared, void *userdata)
{
	const KernelReport *report = shared;
	ServiceReset *reset = userdata;
	Service *service = reset->service;
	VerbWork *work = reset->work;

	if (!work) {
		come_back(reset, report);
		return;
	}
	judge(work, end, report);
	if (report->step == KERNEL_STEP_LOOKED)
		service_saw(service, report, "seen after a reset");
	work->reset = NULL;
	if (is_hung(end, report)) {
		reset->work = NULL;
		reset->next = service->hung_resets;
		service->hung_resets = reset;
	} else {
		service_reset_free(reset);
	}
	verb_work_reset_ended(work);
}

static int start(VerbWork *work, const TeeIoFunction *self)
{
	const ConfigDeadlines *d = &work->service->config->deadlines;
	const View *view = &work->service->view;
	_cleanup_free_ Bdf *functions = calloc(view->n, sizeof(*functions));
	_cleanup_free_ Bdf *excluded = calloc(view->n, sizeof(*excluded));
	ServiceReset *reset = calloc(1, sizeof(*reset));
	KernelRequest q = { .verb = KERNEL_RESET,
			    .sysfs = work->service->sysfs,
			    .io = work->service->io,
			    .target = work->device,
			    .dsm = self->dsm,
			    .look_ms = d->lock,
			    .functions = functions,
			    .excluded = excluded };
	int r = -ENOMEM;

	for (size_t i = 0; functions && excluded && i < view->n; i++) {
		const TeeIoFunction *f = &view->functions[i];
		/* Whose it is cannot be seen: it may be bound by way of this DSM. */
		bool stray = bdf_equal(self->dsm, work->device) && (f->unreadable || f->stray);

		if (!bdf_equal(f->dsm, self->dsm) && !stray)
			continue;
		functions[q.n_functions++] = f->host.bdf;
		if (is_taken_along(f, self))
			excluded[q.n_excluded++] = f->host.bdf;
	}
	if (reset) {
		reset->service = work->service;
		reset->work = work;
		reset->device = work->device;
		reset->dsm = self->dsm;
	}
	if (reset && functions && excluded)
		r = service_start_worker(work->service, &reset->worker, &q, -1,
					 deadline_ms(work->service), on_ended, reset);
	if (r < 0)
		service_reset_free(reset);
	else
		work->reset = reset;
	return r;
}

bool service_reset_begin(VerbWork *work)
{
	const TeeIoFunction *self;
	char name[BDF_STRING_SIZE];
	int r;

	work->reset_tried = true;
	r = bindings_end(work->service->bindings, work->device, false);
	if (r < 0)
		log_warning("%s: that it has not confirmed the end of its bind cannot be recorded: "
			    "%s",
			    bdf_format(work->device, name), strerror(-r));
	if (!work->service->config->reset_unconfirmed) {
		say(work, "it is not reset, unless reset_unconfirmed in tsm-linux.conf says so");
		return false;
	}
	/* The unbind may have taken its time, and libvirt given it to another driver meanwhile. */
	r = service_read_functions(work->service);
	if (r < 0) {
		say(work,
		    "it is not reset, because the PCI functions of this host cannot be listed: %s",
		    strerror(-r));
		return false;
	}
	self = view_function(&work->service->view, work->device);
	if (!may_reset(work, self))
		return false;
	log_info("%s: nobody has heard it confirm the end of its bind: it is reset (FLR)",
		 bdf_format(work->device, name));
	r = start(work, self);
	if (r < 0)
		say(work, "it is not reset: %s", strerror(-r));
	return r == 0;
}

char *service_reset_reason(const VerbWork *work, bool asked, bool confirmed)
{
	const Companion *companion = work->service->companion;
	const CompanionTdi *c = companion ? companion_tdi(companion, work->device) : NULL;
	const TeeIoFunction *self = view_function(&work->service->view, work->device);
	bool is_dsm = self && bdf_equal(self->dsm, work->device);
	char *text = NULL;
	int r;

	if (!work->reset_tried)
		return confirmed ? NULL : strdup("its TSM still holds it, so it is not reset");
	if (!work->reset_done)
		return work->reset_reason ? strdup(work->reset_reason) : NULL;
	if (confirmed)
		r = asprintf(&text,
			     "by a reset (FLR) that the kernel has seen it come back from; %s%s",
			     c ? "the TSM says that it is unlocked"
			       : "nobody here can ask it for its TDISP state",
			     is_dsm ? ". Its DSM's session may be gone: reclaim it before the next "
				      "bind"
				    : "");
	else if (!asked)
		r = asprintf(&text,
			     "it was reset (FLR), but the provider behind the kernel's TSM (the "
			     "companion), which knows its TDISP state, cannot be asked");
	else
		r = asprintf(&text, "it was reset (FLR), and its TSM still says %s",
			     c ? tdisp_state_name(c->state) : "nothing of it");
	return r < 0 ? NULL : text;
}
