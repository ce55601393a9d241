/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connect, Disconnect, Bind, Unbind. One at a time for the whole host, in the order in which they
 * came, since the kernel's lock is host-wide:
 *
 *	started --refused, or so already--> done
 *	        --recorded already--> worker looks --> started again
 *	        --worker--> judged --companion asked anew--> done
 *	                         --nobody confirms an unbind--> reset (service-reset.c) --> done
 *	        --worker that cannot be killed--> stalled: done with an unknown outcome, and nothing
 *						  more is begun until the child comes out
 */
#include "verb-work.h"

#include "rpc/log.h"

#include <errno.h>
#include <string.h>

#define REFRESH_TIMEOUT_USEC (2 * UINT64_C(1000000))

static void finish(VerbWork *work)
{
	Service *service = work->service;
	OperationOutcome outcome = work->outcome;

	work->outcome = (OperationOutcome){};
	service->work = NULL;
	/* Frees the work, and starts the next; the look is taken by whichever is the last. */
	operations_settle(service->operations, SERVICE_QUEUE, &outcome);
	service_look(service, "seen after a verb");
	if (service->stopping && !service->work)
		sd_event_exit(service->event, 0);
}

void service_stop(Service *service)
{
	if (!service->work || service->stopping) {
		sd_event_exit(service->event, 0);
		return;
	}
	service->stopping = true;
	log_info("stops when %s is over", kernel_verb_name(service->work->verb));
}

static void set_refused(VerbWork *work, int result, const TsmRefusal *refusal)
{
	char name[BDF_STRING_SIZE];

	operation_outcome_done(&work->outcome);
	outcome_refused(&work->outcome, result, refusal);
	log_warning("%s: %s: %s: %s", bdf_format(work->device, name), kernel_verb_name(work->verb),
		    work->outcome.error ?: "no memory",
		    refusal->reason ?: (result < 0 ? strerror(-result) : "no reason is known"));
}

static bool is_unbound(const ViewTdi *tdi)
{
	return !tdi->owned && tdi->state == TDISP_CONFIG_UNLOCKED;
}

static const char *connected_certificate(const VerbWork *work)
{
	Companion *companion = work->service->companion;

	return companion ? companion_certificate(companion, work->device) : NULL;
}

static ViewTdi tdi_now(const VerbWork *work)
{
	const Service *service = work->service;
	const KernelFunction *k = view_kernel(&service->view, work->device);

	if (k)
		return view_tdi(&service->view, (size_t)(k - service->view.kernel),
				service->bindings, service->companion);
	return (ViewTdi){ .device = work->device };
}

static bool companion_confirms(const VerbWork *work)
{
	const CompanionTdi *c = companion_tdi(work->service->companion, work->device);

	return !c || (!c->bound && c->state == TDISP_CONFIG_UNLOCKED);
}

/*
 * Whether somebody who knows has said that the device is clean: the TSM, through the module, at
 * this very unbind; the companion (asked: it has spoken since); or the configuration, for its TSM's
 * driver. What came too late for the module (ENXIO: VFIO had let go of the device) nobody has
 * heard. After a reset only that counts, and the companion.
 */
static bool unbind_confirmed(const VerbWork *work, bool asked)
{
	const Service *service = work->service;
	bool acted = work->report && work->report->guard == KERNEL_GUARD_NONE;
	int heard = -ENXIO;

	if (work->reset_tried)
		return work->reset_done && (asked ? companion_confirms(work) : !service->companion);
	if (acted && work->request.binder == KERNEL_BINDER_PROXY)
		heard = work->report->unconfirmed;
	if (heard && heard != -ENXIO)
		return false;
	if (asked)
		return companion_confirms(work);
	if (heard == 0)
		return true;
	/* What the module has heard before, of an unbind that the device refused, still holds. */
	if (bindings_unconfirmed(service->bindings, work->device))
		return false;
	/* Where there was no bind, nothing of a TVM is left. */
	return service->config->unbind_confirms ||
	       (!acted && !service->companion && !work->was_bound &&
		!bindings_find(service->bindings, work->device));
}

/* Whether the TSM holds nothing of it any more. */
static bool is_freed(const VerbWork *work, const ViewTdi *tdi)
{
	const KernelFunction *k = view_kernel(&work->service->view, work->device);

	return (!k || !k->bound[0]) && !tdi->owned;
}

static json_object *unbound(VerbWork *work, bool asked)
{
	bool confirmed = unbind_confirmed(work, asked);
	_cleanup_free_ char *reason = service_reset_reason(work, asked, confirmed);
	const Service *service = work->service;
	char name[BDF_STRING_SIZE];
	json_object *reply = NULL;
	ViewTdi tdi;
	int r;

	r = bindings_end(service->bindings, work->device, confirmed);
	if (r < 0)
		log_warning("%s: the end of its bind cannot be recorded: %s",
			    bdf_format(work->device, name), strerror(-r));
	if (work->reset_done)
		log_warning("%s: %sconfirmed: %s", bdf_format(work->device, name),
			    confirmed ? "" : "un", reason ?: "no memory");
	tdi = tdi_now(work);
	json_build(&reply, J_STRING("progress", "done"), J_BOOL("freed", is_freed(work, &tdi)),
		   J_BOOL("device_confirmed", confirmed), J_STRING("reason", reason),
		   J_STRING("state", tdisp_state_name(tdi.state)));
	if (!is_unbound(&tdi))
		log_warning("%s: the kernel has unbound it, its TSM says %s",
			    bdf_format(work->device, name), tdisp_state_name(tdi.state));
	return reply;
}

/* asked: the companion has spoken since. */
static void set_success(VerbWork *work, bool asked)
{
	json_object *reply = NULL;
	char name[BDF_STRING_SIZE];
	ViewTdi tdi;

	switch (work->verb) {
	case KERNEL_CONNECT:
		json_build(&reply, J_STRING("progress", "done"),
			   J_STRING("certificate_digest", connected_certificate(work)));
		break;
	case KERNEL_BIND:
		tdi = tdi_now(work);
		json_build(&reply, J_STRING("progress", "done"),
			   J_STRING("state", tdisp_state_name(tdi.state)));
		break;
	case KERNEL_UNBIND: reply = unbound(work, asked); break;
	default: json_build(&reply, J_STRING("progress", "done")); break;
	}
	log_info("%s: %s done", bdf_format(work->device, name), kernel_verb_name(work->verb));
	outcome_reply(&work->outcome, reply);
}

/* What is bound no more as far as anybody knows, and may not be clean. */
static bool is_to_be_reset(const VerbWork *work, bool asked)
{
	ViewTdi tdi = tdi_now(work);

	return work->verb == KERNEL_UNBIND && !work->reset_tried && is_freed(work, &tdi) &&
	       !unbind_confirmed(work, asked);
}

/* It went well. False: it is over, and its outcome is there. */
static bool conclude(VerbWork *work, bool asked)
{
	if (is_to_be_reset(work, asked) && service_reset_begin(work))
		return true;
	set_success(work, asked);
	return false;
}

static void on_asked(void *userdata, bool answered)
{
	VerbWork *work = userdata;

	service_publish(work->service, kernel_verb_name(work->verb));
	if (!conclude(work, answered))
		finish(work);
}

/* What the TSM says of it now is asked first, if there is anybody to ask. False: see conclude(). */
static bool ask_companion(VerbWork *work)
{
	Companion *companion = work->service->companion;

	if (companion && companion_refresh(companion, REFRESH_TIMEOUT_USEC, on_asked, work) == 0)
		return true;
	return conclude(work, false);
}

void verb_work_reset_ended(VerbWork *work)
{
	/* Of one that was not done there is nothing new to hear. */
	if (!(work->reset_done ? ask_companion(work) : conclude(work, false)))
		finish(work);
}

/* --- one verb --- */

/* The module has heard what nobody else will say again, however the rest of the verb goes. */
static void keep_unconfirmed(VerbWork *work, const KernelReport *report)
{
	bool heard = work->request.verb == KERNEL_UNBIND &&
		     work->request.binder == KERNEL_BINDER_PROXY &&
		     report->guard == KERNEL_GUARD_NONE && report->step >= KERNEL_STEP_ACTED &&
		     report->error == 0;
	char name[BDF_STRING_SIZE];
	int r;

	if (!heard || report->unconfirmed == 0 || report->unconfirmed == -ENXIO)
		return;
	r = bindings_end(work->service->bindings, work->device, false);
	if (r < 0)
		log_warning("%s: that it has not confirmed the end of its bind cannot be recorded: "
			    "%s",
			    bdf_format(work->device, name), strerror(-r));
}

static bool begin(VerbWork *work);

/* What was recorded of the device has been held against the kernel. */
static void on_checked(VerbWork *work, WorkerEnd end, const KernelReport *report)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	int r = verb_work_judge_check(work, end, report, &refusal);

	service_saw(work->service, report, "seen before a bind");
	if (r == 0) {
		work->checked = true;
		work->worker = worker_free(work->worker);
		if (begin(work))
			return;
	} else {
		set_refused(work, r, &refusal);
	}
	finish(work);
}

static void on_ended(Worker *worker, WorkerEnd end, void *shared, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const KernelReport *report = shared;
	Service *service = userdata;
	VerbWork *work = service->work;
	int r;

	if (worker == service->stuck) {
		service_unstall(service);
		return;
	}
	if (end == WORKER_ABANDONED)
		service_stall(service, steal_ptr(work->worker), work->verb, work->device);
	if (work->request.verb == KERNEL_LOOK) {
		on_checked(work, end, report);
		return;
	}
	keep_unconfirmed(work, report);
	r = verb_work_judge(work, end, report, verb_work_deadline(work), &refusal);
	/* A bind that is known not to be leaves no record. */
	if (work->recorded && r != 0 && r != TSM_OUTCOME_UNKNOWN)
		bindings_drop(service->bindings, work->device);
	if (report->step == KERNEL_STEP_LOOKED)
		service_saw(service, report, kernel_verb_name(work->verb));
	else if (report->step != KERNEL_STEP_LOOKING)
		view_forget(&service->view, work->device);
	if (r == 0 && work->verb == KERNEL_GUEST_REQUEST) {
		service_guest_outcome(work, report);
	} else if (r == 0) {
		work->report = report;
		if (ask_companion(work))
			return;
	} else {
		set_refused(work, r, &refusal);
	}
	finish(work);
}

/* False: it is over, and its outcome is there. */
static bool begin(VerbWork *work)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	Service *service = work->service;
	const KernelFunction *k;
	int r;

	r = verb_work_prepare(work, &refusal);
	k = view_kernel(&service->view, work->device);
	work->was_bound = k && k->bound[0];
	if (r == VERB_WORK_READY)
		r = service_start_worker(service, &work->worker, &work->request, work->vm.kvm,
					 verb_work_deadline(work), on_ended, service);
	if (r == 0)
		return true;
	if (r == VERB_WORK_DONE)
		return ask_companion(work);
	if (work->recorded)
		bindings_drop(service->bindings, work->device);
	/* No memory, no process: whatever it was, the kernel has heard nothing. */
	if (r < 0)
		r = tsm_refuse_device(&refusal, TSM_REFUSED, work->device, "nothing was done: %s",
				      strerror(-r));
	set_refused(work, r, &refusal);
	return false;
}

static uint64_t on_start(void *userdata)
{
	VerbWork *work = userdata;

	work->service->work = work;
	service_drop_look(work->service);
	return begin(work) ? OPERATION_HANGS : 0;
}

/* Of what did not need the kernel. */
static void on_run(void *userdata, OperationOutcome *ret)
{
	VerbWork *work = userdata;

	work->service->work = NULL;
	*ret = work->outcome;
	work->outcome = (OperationOutcome){};
	service_look(work->service, "seen after a verb");
}

static void on_free(void *userdata)
{
	VerbWork *work = userdata, **p = &work->service->works;

	while (*p != work)
		p = &(*p)->next;
	*p = work->next;
	if (work->service->work == work)
		work->service->work = NULL;
	verb_work_free(work);
}

int service_submit_verb(Service *service, VarlinkCall *call, const char *id,
			json_object *parameters, VerbWork *work)
{
	char name[BDF_STRING_SIZE];

	work->service = service;
	work->vm = QEMU_VM_NONE;
	work->next = service->works;
	service->works = work;
	return answer_submit(service->operations, call,
			     &(OperationRequest){
				     .id = id,
				     .verb = kernel_verb_name(work->verb),
				     .device = bdf_format(work->device, name),
				     .parameters = parameters,
				     .queue = SERVICE_QUEUE,
				     .yields = work->verb == KERNEL_GUEST_REQUEST,
				     .start = on_start,
				     .run = on_run,
				     .userdata = work,
				     .free = on_free,
			     });
}
