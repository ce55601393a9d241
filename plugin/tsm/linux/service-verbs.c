/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connect, Disconnect, Bind, Unbind. One at a time for the whole host, in the order in which they
 * came, since the kernel's lock is host-wide:
 *
 *	started --refused, or so already--> done
 *	        --worker--> judged --companion asked anew--> done
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
	/* Frees the work, and starts the next. */
	operations_settle(service->operations, SERVICE_QUEUE, &outcome);
	service_look(service, "seen after a verb");
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

/*
 * unconfirmed: why the TSM did not confirm, as the tsm-proxy module said, or 0. asked: whether the
 * companion has spoken since.
 */
static bool unbind_confirmed(const VerbWork *work, int unconfirmed, bool asked, bool was_recorded)
{
	const Service *service = work->service;
	const CompanionTdi *c =
		service->companion ? companion_tdi(service->companion, work->device) : NULL;

	if (unconfirmed)
		return false;
	if (service->companion)
		return asked && (!c || (!c->bound && c->state == TDISP_CONFIG_UNLOCKED));
	/* The module hands the TSM's word on; the kernel's own interface has none. */
	return service->config->unbind_confirms || !was_recorded ||
	       work->request.binder == KERNEL_BINDER_PROXY;
}

static void set_success(VerbWork *work, int unconfirmed, bool asked)
{
	const Service *service = work->service;
	const KernelFunction *k = view_kernel(&service->view, work->device);
	bool recorded = bindings_find(service->bindings, work->device);
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
	case KERNEL_UNBIND:
		bindings_drop(service->bindings, work->device);
		tdi = tdi_now(work);
		json_build(&reply, J_STRING("progress", "done"),
			   J_BOOL("freed", (!k || !k->bound[0]) && !tdi.owned),
			   J_BOOL("device_confirmed",
				  unbind_confirmed(work, unconfirmed, asked, recorded)),
			   J_STRING("state", tdisp_state_name(tdi.state)));
		if (!is_unbound(&tdi))
			log_warning("%s: the kernel has unbound it, its TSM says %s",
				    bdf_format(work->device, name), tdisp_state_name(tdi.state));
		break;
	default: json_build(&reply, J_STRING("progress", "done")); break;
	}
	log_info("%s: %s done", bdf_format(work->device, name), kernel_verb_name(work->verb));
	outcome_reply(&work->outcome, reply);
}

static int unconfirmed(const VerbWork *work)
{
	return work->report ? work->report->unconfirmed : 0;
}

static void on_asked(void *userdata, bool answered)
{
	VerbWork *work = userdata;

	service_publish(work->service, kernel_verb_name(work->verb));
	set_success(work, unconfirmed(work), answered);
	finish(work);
}

/* What the TSM says of it now is asked first. False: there is nobody to ask, and it is done. */
static bool ask_companion(VerbWork *work)
{
	Companion *companion = work->service->companion;

	if (companion && companion_refresh(companion, REFRESH_TIMEOUT_USEC, on_asked, work) == 0)
		return true;
	set_success(work, unconfirmed(work), false);
	return false;
}

/* --- a child that hangs for good --- */

static void on_stuck_ended(Service *service)
{
	static const char sentence[] =
		"the child that hung has come out of the kernel: verbs are taken again";

	log_warning("%s", sentence);
	service->stuck = worker_free(service->stuck);
	free(service->stalled);
	service->stalled = NULL;
	monitor_publish_note(service->monitor, sentence);
	service_look(service, "seen after the kernel came back");
}

/* From here on the worker is the service's, and the verb is over. */
static void stall(VerbWork *work)
{
	Service *service = work->service;
	char name[BDF_STRING_SIZE];

	service->stuck = steal_ptr(work->worker);
	if (asprintf(&service->stalled,
		     "%s of %s hangs in the kernel and cannot be killed; it holds the host-wide "
		     "PCI/TSM lock: connecting, binding and hot-plugging any device of this host "
		     "may "
		     "hang too, until it returns. If the TSM's driver or the TSM behind it cannot "
		     "be "
		     "restarted, the host has to be rebooted",
		     kernel_verb_name(work->verb), bdf_format(work->device, name)) < 0)
		service->stalled = strdup("a verb hangs in the kernel");
	log_error("stalled: %s", service->stalled);
	monitor_publish_note(service->monitor, service->stalled);
}

/* --- one verb --- */

static void on_ended(Worker *worker, WorkerEnd end, void *shared, void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	const KernelReport *report = shared;
	Service *service = userdata;
	VerbWork *work = service->work;
	int r;

	if (worker == service->stuck) {
		on_stuck_ended(service);
		return;
	}
	if (end == WORKER_ABANDONED)
		stall(work);
	r = verb_work_judge(work, end, report, verb_work_deadline(work), &refusal);
	/* A bind that is known not to be leaves no record. */
	if (work->recorded && r != 0 && r != TSM_OUTCOME_UNKNOWN)
		bindings_drop(service->bindings, work->device);
	if (report->step == KERNEL_STEP_LOOKED)
		service_saw(service, report, kernel_verb_name(work->verb));
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

static uint64_t on_start(void *userdata)
{
	_cleanup_(tsm_refusal_done) TsmRefusal refusal = {};
	VerbWork *work = userdata;
	int r;

	work->service->work = work;
	service_drop_look(work->service);
	r = verb_work_prepare(work, &refusal);
	if (r == 0)
		r = service_start_worker(work->service, &work->worker, &work->request, work->vm.kvm,
					 verb_work_deadline(work), on_ended, work->service);
	if (r == 0)
		return OPERATION_HANGS;
	if (r == VERB_WORK_DONE)
		return ask_companion(work) ? OPERATION_HANGS : 0;
	if (work->recorded)
		bindings_drop(work->service->bindings, work->device);
	set_refused(work, r, &refusal);
	return 0;
}

/* Of what did not need the kernel. */
static void on_run(void *userdata, OperationOutcome *ret)
{
	VerbWork *work = userdata;

	work->service->work = NULL;
	*ret = work->outcome;
	work->outcome = (OperationOutcome){};
}

static void on_free(void *userdata)
{
	verb_work_free(userdata);
}

int service_submit_verb(Service *service, VarlinkCall *call, const char *id,
			json_object *parameters, VerbWork *work)
{
	char name[BDF_STRING_SIZE];

	work->service = service;
	work->vm = QEMU_VM_NONE;
	return answer_submit(service->operations, call,
			     &(OperationRequest){
				     .id = id,
				     .verb = kernel_verb_name(work->verb),
				     .device = bdf_format(work->device, name),
				     .parameters = parameters,
				     .queue = SERVICE_QUEUE,
				     .start = on_start,
				     .run = on_run,
				     .userdata = work,
				     .free = on_free,
			     });
}

static int submit(VarlinkCall *call, json_object *parameters, Service *service,
		  const VerbWork *from)
{
	VerbWork *work = malloc(sizeof(*work));

	if (!work)
		return -ENOMEM;
	*work = *from;
	return service_submit_verb(service, call, json_get_string(parameters, "operation"),
				   parameters, work);
}

static int refuse_parameter(VarlinkCall *call, json_object *parameters, const char *device,
			    const char *name, const char *why)
{
	_cleanup_free_ char *reason = NULL;

	if (asprintf(&reason, "%s: %s", name, why) < 0)
		return -ENOMEM;
	return varlink_call_errorb(call, "Refused",
				   J_STRING("object", json_get_string(parameters, device)),
				   J_STRING("reason", reason));
}

static int on_connect(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_CONNECT };
	const char *link = json_get_string(parameters, "link");
	int64_t slot = json_get_int(parameters, "certificate_slot", 0);
	int r;

	r = answer_get_bdf(call, parameters, "dsm", &work.device);
	if (r != 0)
		return r < 0 ? r : 0;
	if (slot < 0 || slot > 7)
		return varlink_call_invalid_parameter(call, "certificate_slot");
	if (link && strcmp(link, "auto") != 0)
		return refuse_parameter(
			call, parameters, "dsm", "link",
			"the kernel and its TSM driver choose the link; ask for auto");
	if (slot != 0)
		return refuse_parameter(call, parameters, "dsm", "certificate_slot",
					"the kernel's tsm/connect takes slot 0 only");
	return submit(call, parameters, userdata, &work);
}

static int on_disconnect(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_DISCONNECT };
	int r = answer_get_bdf(call, parameters, "dsm", &work.device);

	if (r != 0)
		return r < 0 ? r : 0;
	return submit(call, parameters, userdata, &work);
}

/* The kernel's bind carries no flags: the TSM locks with its own, of which NO_FW_UPDATE is known.
 */
static bool default_flags(json_object *flags)
{
	return !flags || (json_get_bool(flags, "no_fw_update", false) &&
			  !json_get_bool(flags, "system_cache_line_size", false) &&
			  !json_get_bool(flags, "lock_msix", false) &&
			  !json_get_bool(flags, "bind_p2p", false) &&
			  !json_get_bool(flags, "all_request_redirect", false));
}

static int on_bind(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_BIND };
	int64_t rid = json_get_int(parameters, "guest_requester_id", -1);
	int64_t generation = json_get_int(parameters, "generation", -1);
	int r;

	r = answer_get_bdf(call, parameters, "device", &work.device);
	if (r == 0)
		r = answer_get_uuid(call, parameters, "tvm", &work.tvm);
	if (r != 0)
		return r < 0 ? r : 0;
	if (rid < 0 || rid > UINT32_MAX)
		return varlink_call_invalid_parameter(call, "guest_requester_id");
	if (generation < 0)
		return varlink_call_invalid_parameter(call, "generation");
	if (!default_flags(json_get_object(parameters, "flags")))
		return refuse_parameter(call, parameters, "device", "flags",
					"the kernel's bind carries none but no_fw_update");
	work.guest_rid = (uint32_t)rid;
	work.generation = (uint64_t)generation;
	return submit(call, parameters, userdata, &work);
}

/* `force` asks for nothing more: the kernel's unbind always completes. */
static int on_unbind(VarlinkCall *call, json_object *parameters, void *userdata)
{
	VerbWork work = { .verb = KERNEL_UNBIND };
	int r = answer_get_bdf(call, parameters, "device", &work.device);

	if (r != 0)
		return r < 0 ? r : 0;
	return submit(call, parameters, userdata, &work);
}

static int on_cancel(VarlinkCall *call, json_object *parameters, void *userdata)
{
	Service *service = userdata;

	return answer_cancel(service->operations, call, parameters);
}

int service_bind_verbs(Service *service)
{
	static const struct {
		const char *name;
		VarlinkHandler handler;
	} methods[] = {
		{ "io.tdid.Tsm.Connect", on_connect }, { "io.tdid.Tsm.Disconnect", on_disconnect },
		{ "io.tdid.Tsm.Bind", on_bind },       { "io.tdid.Tsm.Unbind", on_unbind },
		{ "io.tdid.Tsm.Cancel", on_cancel },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(methods); i++)
		r = varlink_server_bind(service->server, methods[i].name, 0, methods[i].handler,
					service);
	return r;
}

void service_verbs_done(Service *service)
{
	worker_free(service->stuck);
	free(service->stalled);
}
