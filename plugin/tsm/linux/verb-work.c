/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verb-work.h"

#include "rpc/log.h"
#include "tsm/common/proxy-wire.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

VerbWork *verb_work_free(VerbWork *work)
{
	if (!work)
		return NULL;
	worker_free(work->worker);
	service_reset_free(work->reset);
	free(work->reset_reason);
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
	/* An observer ends by itself. */
	case KERNEL_BIND: return observes ? d->observe + d->lock : d->bind;
	case KERNEL_UNBIND:
		return work->request.ends_session && d->disconnect > d->unbind ? d->disconnect
		       : observes ? d->observe + d->lock
				  : d->unbind;
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
	if (work->service->no_tsm)
		return tsm_refuse_device(refusal, TSM_NOT_TEE_IO, work->device, "%s",
					 work->service->no_tsm);
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

	free(work->functions);
	free(work->excluded);
	work->functions = calloc(n, sizeof(*work->functions));
	work->excluded = calloc(n, sizeof(*work->excluded));
	if (!work->functions || !work->excluded)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		Bdf bdf = all[i].host.bdf;
		const Binding *b = bindings_find(work->service->bindings, bdf);
		bool family = bdf_equal(all[i].host.physical, work->device) ||
			      bdf_equal(bdf, self->host.physical);
		/* Whose it is cannot be seen: it may be bound by way of this DSM. */
		bool stray = work->verb == KERNEL_DISCONNECT && (all[i].unreadable || all[i].stray);

		if (!bdf_equal(all[i].dsm, self->dsm) && !stray)
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
	if (work->service->no_tsm && work->verb == KERNEL_CONNECT)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device, "%s",
					 work->service->no_tsm);
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

static bool is_same_bind(const VerbWork *work, const Binding *b)
{
	return uuid_equal(b->tvm, work->tvm) && b->generation == work->generation &&
	       b->guest_rid == work->guest_rid;
}

static int take_vm(VerbWork *work, TsmRefusal *refusal)
{
	const char *root = work->service->config->root;
	_cleanup_free_ char *error = NULL;
	int r;

	if (work->generation > PROXY_GENERATION_MAX)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "generation %" PRIu64 " does not fit into what the "
					 "tsm-proxy module carries",
					 work->generation);
	r = qemu_vm_find(&work->vm, root, work->tvm, &error);
	if (r == 0)
		r = qemu_vm_take(&work->vm, root, &error);
	return r == 0 ? 0
		      : tsm_refuse_device(refusal, TSM_REFUSED, work->device, "%s",
					  error ?: strerror(-r));
}

/* Some VMMs bind when they attach, before anybody asks for it: whose VMM it was is to be seen. */
static bool is_open_in_vmm(const VerbWork *work, const TeeIoFunction *self)
{
	_cleanup_(qemu_vm_done) QemuVm vm = QEMU_VM_NONE;
	const Service *service = work->service;
	_cleanup_free_ char *error = NULL;
	char name[BDF_STRING_SIZE];

	if (qemu_vm_find(&vm, service->config->root, work->tvm, &error) == 0)
		return qemu_vm_holds(&vm, service->config->root, service->sysfs, &self->host);
	log_debug("%s: a bind of before would not be taken for the TVM's: %s",
		  bdf_format(work->device, name), error ?: "no memory");
	return false;
}

static int prepare_bind(VerbWork *work, const TeeIoFunction *self, TsmRefusal *refusal)
{
	const Binding *b = bindings_find(work->service->bindings, work->device);
	int r = 0;

	/* It may be stale, or written for an act that never came. */
	if (b && !work->checked) {
		work->request.verb = KERNEL_LOOK;
		return VERB_WORK_READY;
	}
	if (b && is_same_bind(work, b))
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
	if (work->request.binder == KERNEL_BINDER_PROXY)
		r = take_vm(work, refusal);
	else
		work->request.adopts = is_open_in_vmm(work, self);
	return r != 0 ? r : record(work, refusal);
}

/* What a bind has left that the kernel was told had failed, or an unbind that the TSM refused. */
static bool is_held_by_tsm(const VerbWork *work)
{
	const CompanionTdi *c = work->service->companion
					? companion_tdi(work->service->companion, work->device)
					: NULL;

	return c && (c->bound || c->state != TDISP_CONFIG_UNLOCKED);
}

int verb_work_prepare(VerbWork *work, TsmRefusal *refusal)
{
	Service *service = work->service;
	const View *view = &service->view;
	KernelRequest *q = &work->request;
	const TeeIoFunction *self;
	char name[BDF_STRING_SIZE];
	const char *why_not;
	Bdf hung;
	int r;

	*q = (KernelRequest){ .verb = work->verb,
			      .sysfs = service->sysfs,
			      .proxy = service->proxy,
			      .io = service->io,
			      .binder = service_binder(service),
			      .target = work->device,
			      .look_ms = service->config->deadlines.lock,
			      .observe_ms = service->config->deadlines.observe,
			      .guest_rid = work->guest_rid,
			      .generation = (uint32_t)work->generation,
			      .tvm = work->tvm,
			      .state_change = work->state_change,
			      .message = work->message,
			      .message_size = work->message_size };
	r = service_read_functions(service);
	if (r < 0)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "the PCI functions of this host cannot be listed: %s",
					 strerror(-r));
	snprintf(q->tsm, sizeof(q->tsm), "%s", service->tsm.name);
	self = view_function(view, work->device);
	/* What is gone, or never had a TSM, is not bound: the kernel saw to that. */
	if (!self && work->verb == KERNEL_UNBIND)
		return VERB_WORK_DONE;
	why_not = service->stopping ? "this provider is being stopped" : service_stuck(service);
	if (why_not)
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device, "nothing was done: %s",
					 why_not);
	if (!self)
		return refuse_unserved(work, refusal);
	q->dsm = self->dsm;
	if ((work->verb == KERNEL_CONNECT || work->verb == KERNEL_BIND) &&
	    service_reset_hangs(service, self->dsm, &hung))
		return tsm_refuse_device(refusal, TSM_REFUSED, work->device,
					 "nothing was done: a reset of %s hangs in the kernel, and "
					 "may still come over what is connected and bound by then",
					 bdf_format(hung, name));
	r = list_functions(work, view->functions, view->n, self);
	if (r == 0 && (work->verb == KERNEL_CONNECT || work->verb == KERNEL_DISCONNECT))
		r = prepare_dsm(work, self, refusal);
	if (r == 0 && work->verb == KERNEL_BIND)
		r = prepare_bind(work, self, refusal);
	q->ends_session = work->force && is_held_by_tsm(work);
	return r;
}
