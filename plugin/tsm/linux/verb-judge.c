/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel's report on a verb means for who asked for it. */
#include "explain.h"
#include "verb-work.h"

#include <errno.h>
#include <string.h>

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
					 "its DSM is connected with %s, and this provider speaks "
					 "for %s; disconnect it there first",
					 dsm ? dsm->connect : "another TSM",
					 work->request.tsm[0] ? work->request.tsm : "none");
	case KERNEL_GUARD_BOUND:
		/* The device's own record is that of the bind which is refused here. */
		owner = bdf_equal(report->guard_device, work->device)
				? NULL
				: bindings_find(work->service->bindings, report->guard_device);
		if (owner) {
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
	case KERNEL_CONNECT: as_said = strcmp(target->connect, work->request.tsm) == 0; break;
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
	if (report->step == KERNEL_STEP_LOOKING)
		return judge_lock(work, refusal);
	return tsm_refuse_device(
		refusal, TSM_OUTCOME_UNKNOWN, work->device,
		"%s did not return from the kernel within %u ms and was killed; the "
		"device or its TSM hangs: disconnect it, or reset it, before it is "
		"used again",
		kernel_verb_name(work->verb), late_ms);
}

/* What the VMM was to do did not come. */
static int judge_observed(const VerbWork *work, const KernelReport *report, TsmRefusal *refusal)
{
	uint32_t ms = work->request.observe_ms;

	if (work->verb == KERNEL_UNBIND)
		return tsm_refuse_device(
			refusal, TSM_OUTCOME_UNKNOWN, work->device,
			"the VMM has not unbound it within %u ms; detach the device or end the "
			"domain",
			ms);
	if (report->error == -EINTR)
		return tsm_refuse_device(
			refusal, TSM_OUTCOME_UNKNOWN, work->device,
			"whether the VMM has bound it cannot be read: for %u ms the kernel's "
			"PCI/TSM lock was not free, so a bind may be under way",
			ms);
	return tsm_refuse_device(
		refusal, TSM_REFUSED, work->device,
		"the VMM has not bound it within %u ms (tsm/bound stayed empty); does this "
		"QEMU bind TDIs by itself? Otherwise load the tsm-proxy module",
		ms);
}

static bool is_observed(const VerbWork *work)
{
	return work->request.binder == KERNEL_BINDER_OBSERVE &&
	       (work->verb == KERNEL_BIND || work->verb == KERNEL_UNBIND);
}

int verb_work_judge(const VerbWork *work, WorkerEnd end, const KernelReport *report,
		    uint32_t late_ms, TsmRefusal *refusal)
{
	const char *cause;
	TsmOutcome outcome;

	if (end == WORKER_ABANDONED)
		return tsm_refuse_device(refusal, TSM_OUTCOME_UNKNOWN, work->device, "%s",
					 service_stuck(work->service) ?: "it hangs in the kernel");
	/* Nothing was done, however the child ended. */
	if (report->guard != KERNEL_GUARD_NONE)
		return judge_guard(work, report, refusal);
	if (report->step < KERNEL_STEP_ACTED)
		return judge_killed(work, report, late_ms, refusal);
	if (report->error == 0)
		return judge_success(work, report, refusal);
	if (is_observed(work) && (report->error == -ETIME || report->error == -EINTR))
		return judge_observed(work, report, refusal);
	outcome = explain_errno(work->verb, work->request.binder, -report->error, &cause);
	return tsm_refuse_device(refusal, outcome, work->device, "%s (%s)", cause,
				 strerror(-report->error));
}

int verb_work_judge_check(const VerbWork *work, WorkerEnd end, const KernelReport *report,
			  TsmRefusal *refusal)
{
	const Binding *b = bindings_find(work->service->bindings, work->device);
	const KernelFunction *target = kernel_find(report, work->device);
	bool ours = b && uuid_equal(b->tvm, work->tvm) && b->generation == work->generation;

	if (end == WORKER_DONE && target && target->error == 0)
		return 0;
	if (end == WORKER_DONE && !target)
		return tsm_refuse_device(refusal, TSM_UNKNOWN_DEVICE, work->device,
					 "it is not on this host any more");
	/* What this call itself has begun, before this provider was started anew, may be done. */
	return tsm_refuse_device(refusal, ours ? TSM_OUTCOME_UNKNOWN : TSM_REFUSED, work->device,
				 "a bind of it is recorded, and whether that stands cannot be read "
				 "(%s)",
				 end == WORKER_DONE && target->error != -EINTR
					 ? strerror(-target->error)
					 : "the kernel's PCI/TSM lock is not free");
}
