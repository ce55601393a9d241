/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verb-work.h"

#include "explain.h"
#include "tsm/common/proxy-wire.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

VerbWork *verb_work_free(VerbWork *work)
{
	if (!work)
		return NULL;
	worker_free(work->worker);
	qemu_vm_done(&work->vm);
	operation_outcome_done(&work->outcome);
	free(work->functions);
	free(work->excluded);
	free(work->message);
	free(work);
	return NULL;
}

uint32_t verb_work_deadline(const VerbWork *work)
{
	const ConfigDeadlines *d = &work->service->config->deadlines;
	bool observes = work->request.binder == KERNEL_BINDER_OBSERVE;

	switch (work->verb) {
	case KERNEL_CONNECT: return d->connect;
	case KERNEL_DISCONNECT: return d->disconnect;
	case KERNEL_BIND: return observes ? d->observe : d->bind;
	case KERNEL_UNBIND: return observes ? d->observe : d->unbind;
	default: return d->guest_request;
	}
}

/* --- before --- */

static int refuse_unserved(const VerbWork *work, TsmRefusal *refusal)
{
	HostFunction function;
	_cleanup_free_ char *error = NULL;
	char dsm[BDF_STRING_SIZE];
	Bdf first;

	if (host_function_read(&function, work->service->sysfs, work->device, &error) < 0)
		return tsm_refuse_device(refusal, TSM_UNKNOWN_DEVICE, work->device, "%s",
					 error ?: "no such function on this host");
	first = function.physical;
	first.function = 0;
	if (!work->service->tsm[0])
		return tsm_refuse_device(refusal, TSM_NOT_TEE_IO, work->device,
					 "no TSM is registered with the kernel (/sys/class/tsm is "
					 "empty); load the platform's TSM driver");
	return tsm_refuse_device(refusal, TSM_NOT_TEE_IO, work->device,
				 "the kernel offers no tsm/connect at %s, where its DSM would sit: "
				 "it sees neither IDE nor TEE-IO there",
				 bdf_format(first, dsm));
}

/* All functions of the DSM; for a bind also those that must not be bound at the same time. */
static int list_functions(VerbWork *work, const TeeIoFunction *all, size_t n,
			  const TeeIoFunction *self)
{
	KernelRequest *q = &work->request;

	work->functions = calloc(n, sizeof(*work->functions));
	work->excluded = calloc(n, sizeof(*work->excluded));
	if (!work->functions || !work->excluded)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		Bdf bdf = all[i].host.bdf;
		const Binding *b = bindings_find(work->service->bindings, bdf);
		bool family = bdf_equal(all[i].host.physical, work->device) ||
			      bdf_equal(bdf, self->host.physical);

		if (!bdf_equal(all[i].dsm, self->dsm))
			continue;
		work->functions[q->n_functions++] = bdf;
		/* A PF is not another TVM's TDI than its VFs are, and the reverse. */
		if (work->verb == KERNEL_BIND && family && !bdf_equal(bdf, work->device) &&
		    !(b && uuid_equal(b->tvm, work->tvm)))
			work->excluded[q->n_excluded++] = bdf;
	}
	q->functions = work->functions;
	q->excluded = work->excluded;
	return 0;
}

static int prepare_dsm(VerbWork *work, const TeeIoFunction *self, TsmRefusal *refusal)
{
	char dsm[BDF_STRING_SIZE];

	if (!bdf_equal(self->dsm, work->device))
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "it is not a DSM: its DSM is at %s",
					 bdf_format(self->dsm, dsm));
	if (!service_tsm(work->service, work->request.tsm) && work->verb == KERNEL_CONNECT)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "no TSM is registered with the kernel (/sys/class/tsm is "
					 "empty)");
	return 0;
}

static int record(VerbWork *work, TsmRefusal *refusal)
{
	Binding binding = { work->device, work->tvm, work->generation, work->guest_rid };
	int r = bindings_put(work->service->bindings, &binding);

	if (r < 0)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "the bind cannot be recorded in %s: %s",
					 work->service->config->state, strerror(-r));
	work->recorded = true;
	return 0;
}

static int prepare_bind(VerbWork *work, const TeeIoFunction *self, TsmRefusal *refusal)
{
	const Binding *b = bindings_find(work->service->bindings, work->device);
	_cleanup_free_ char *error = NULL;
	int r;

	if (b && uuid_equal(b->tvm, work->tvm) && b->generation == work->generation &&
	    b->guest_rid == work->guest_rid)
		return VERB_WORK_DONE;
	if (b) {
		refusal->has_tvm = true;
		refusal->tvm = b->tvm;
		return tsm_refuse_device(refusal, TSM_DEVICE_BUSY, work->device,
					 "it is bound; unbind it first");
	}
	if (!self->vfio)
		return tsm_refuse_device(
			refusal, TSM_REFUSED, work->device,
			"%s%s holds it, not VFIO; attach it to the domain first (managed='yes', or "
			"virsh nodedev-detach)",
			self->host.driver[0] ? "the driver " : "no driver", self->host.driver);
	if (work->request.binder == KERNEL_BINDER_PROXY) {
		if (work->generation > PROXY_GENERATION_MAX)
			return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
						 "generation %" PRIu64
						 " does not fit into what the "
						 "tsm-proxy module carries",
						 work->generation);
		r = qemu_vm_find(&work->vm, work->service->config->root, work->tvm, &error);
		if (r == 0)
			r = qemu_vm_take(&work->vm, work->service->config->root, &error);
		if (r < 0)
			return tsm_refuse_device(refusal, TSM_REFUSED, work->device, "%s",
						 error ?: strerror(-r));
	}
	return record(work, refusal);
}

int verb_work_prepare(VerbWork *work, TsmRefusal *refusal)
{
	Service *service = work->service;
	const View *view = &service->view;
	KernelRequest *q = &work->request;
	const TeeIoFunction *self;
	int r;

	*q = (KernelRequest){ .verb = work->verb,
			      .sysfs = service->sysfs,
			      .proxy = service->proxy,
			      .io = service->io,
			      .binder = service_binder(service),
			      .target = work->device,
			      .look_ms = service->config->deadlines.lock,
			      .guest_rid = work->guest_rid,
			      .generation = (uint32_t)work->generation,
			      .tvm = work->tvm,
			      .state_change = work->state_change,
			      .message = work->message,
			      .message_size = work->message_size };
	if (service->stalled)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device, "nothing was done: %s",
					 service->stalled);
	r = service_read_functions(service);
	if (r < 0)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "the PCI functions of this host cannot be listed: %s",
					 strerror(-r));
	self = view_function(view, work->device);
	/* What is gone, or never had a TSM, is not bound: the kernel saw to that. */
	if (!self && work->verb == KERNEL_UNBIND)
		return VERB_WORK_DONE;
	if (!self)
		return refuse_unserved(work, refusal);
	q->dsm = self->dsm;
	r = list_functions(work, view->functions, view->n, self);
	if (r == 0 && (work->verb == KERNEL_CONNECT || work->verb == KERNEL_DISCONNECT))
		r = prepare_dsm(work, self, refusal);
	if (r == 0 && work->verb == KERNEL_BIND)
		r = prepare_bind(work, self, refusal);
	return r;
}

/* --- after --- */

static int judge_lock(const VerbWork *work, TsmRefusal *refusal)
{
	return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
				 "nothing was done: within %u ms the kernel's PCI/TSM lock was not "
				 "free; another user of this host holds it",
				 work->request.look_ms);
}

static int judge_guard(const VerbWork *work, const KernelReport *report, TsmRefusal *refusal)
{
	const KernelFunction *dsm = kernel_find(report, work->request.dsm);
	const Binding *owner;
	char name[BDF_STRING_SIZE];

	switch (report->guard) {
	case KERNEL_GUARD_OTHER_TSM:
		refusal->state = "connected";
		return tsm_refuse_device(refusal, TSM_INVALID_STATE, work->device,
					 "it is connected with %s; disconnect it first",
					 dsm ? dsm->connect : "another TSM");
	case KERNEL_GUARD_BOUND:
		owner = bindings_find(work->service->bindings, report->guard_device);
		if (owner && !bdf_equal(report->guard_device, work->device)) {
			refusal->has_tvm = true;
			refusal->tvm = owner->tvm;
		}
		return tsm_refuse_device(refusal, TSM_DEVICE_BUSY, work->device,
					 "%s is bound%s; unbind it first",
					 bdf_format(report->guard_device, name),
					 owner ? "" : ", by somebody else than this provider");
	case KERNEL_GUARD_DISCONNECTED:
		refusal->state = "disconnected";
		return tsm_refuse_device(refusal, TSM_INVALID_STATE, work->device, "%s",
					 work->verb == KERNEL_BIND ? "its DSM is not connected"
								   : "it is not bound");
	case KERNEL_GUARD_GONE:
		return tsm_refuse_device(refusal, TSM_UNKNOWN_DEVICE, work->device,
					 "it is not on this host any more");
	case KERNEL_GUARD_UNREADABLE:
		if (report->error == -EINTR)
			return judge_lock(work, refusal);
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "nothing was done: the tsm/ attributes of %s cannot be "
					 "read: %s",
					 bdf_format(report->guard_device, name),
					 strerror(-report->error));
	default: return 0;
	}
}

/* The kernel said success; whether it is so is to be seen in its attributes. */
static int judge_success(const VerbWork *work, const KernelReport *report, TsmRefusal *refusal)
{
	const KernelFunction *target = kernel_find(report, work->device);
	bool as_said;

	if (report->step != KERNEL_STEP_LOOKED || !target)
		return tsm_refuse_device(refusal, TSM_OUTCOME_UNKNOWN, work->device,
					 "the kernel reported success, but its state could not be "
					 "read afterwards");
	switch (work->verb) {
	case KERNEL_CONNECT: as_said = target->connect[0]; break;
	case KERNEL_DISCONNECT: as_said = !target->connect[0]; break;
	case KERNEL_BIND: as_said = target->bound[0]; break;
	case KERNEL_UNBIND: as_said = !target->bound[0]; break;
	default: as_said = true; break;
	}
	if (as_said)
		return 0;
	return tsm_refuse_device(
		refusal, TSM_OUTCOME_UNKNOWN, work->device,
		"the kernel reported success, yet tsm/%s says otherwise; somebody "
		"else may have undone it",
		work->verb == KERNEL_BIND || work->verb == KERNEL_UNBIND ? "bound" : "connect");
}

static int judge_killed(const VerbWork *work, const KernelReport *report, uint32_t late_ms,
			TsmRefusal *refusal)
{
	bool observes = work->request.binder == KERNEL_BINDER_OBSERVE;
	const char *verb = kernel_verb_name(work->verb);

	if (report->step == KERNEL_STEP_LOOKING)
		return judge_lock(work, refusal);
	if (observes && work->verb == KERNEL_BIND)
		return tsm_refuse_device(
			refusal, TSM_REFUSED, work->device,
			"the VMM has not bound it within %u ms (tsm/bound stayed empty); does this "
			"QEMU bind TDIs by itself? Otherwise load the tsm-proxy module",
			late_ms);
	if (observes && work->verb == KERNEL_UNBIND)
		return tsm_refuse_device(
			refusal, TSM_OUTCOME_UNKNOWN, work->device,
			"the VMM has not unbound it within %u ms; detach the device or end the "
			"domain",
			late_ms);
	return tsm_refuse_device(
		refusal, TSM_OUTCOME_UNKNOWN, work->device,
		"%s did not return from the kernel within %u ms and was killed; the "
		"device or its TSM hangs: disconnect it, or reset it, before it is "
		"used again",
		verb, late_ms);
}

int verb_work_judge(const VerbWork *work, WorkerEnd end, const KernelReport *report,
		    uint32_t late_ms, TsmRefusal *refusal)
{
	const char *cause;
	TsmOutcome outcome;

	if (end == WORKER_ABANDONED)
		return tsm_refuse_device(refusal, TSM_OUTCOME_UNKNOWN, work->device, "%s",
					 work->service->stalled ?: "it hangs in the kernel");
	if (end == WORKER_DONE && report->guard != KERNEL_GUARD_NONE)
		return judge_guard(work, report, refusal);
	if (report->step < KERNEL_STEP_ACTED)
		return judge_killed(work, report, late_ms, refusal);
	if (report->error == 0)
		return judge_success(work, report, refusal);
	outcome = explain_errno(work->verb, work->request.binder, -report->error, &cause);
	return tsm_refuse_device(refusal, outcome, work->device, "%s (%s)", cause,
				 strerror(-report->error));
}
