/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *   OFFERED --function there, BARs assigned, no driver, enabled--> READY (event Ready)
 *   READY --Locked--> VERIFYING --RUN confirmed--> ACCEPTED (Verdict, drivers_probe, DriverBound)
 *                               --anything else--> REJECTED (Verdict before the TSM revokes)
 *   ACCEPTED --evidence due again, or Locked of the same bind--> verified once more, driver stays
 *   any --Withdrawn, Locked of another bind--> driver unbound --> OFFERED, and ready anew
 *   any --removed--> gone
 *
 * The end of a session with tdid changes nothing: what is being verified, or is due to be, goes on
 * in the next one. An Offer that no Locked follows is of a tdid that waits for Ready: an acceptance
 * is held against the TSM's word then. Whenever the host says that a bind is over, the TSM is told
 * so too, in case the host lies.
 *
 * Locked may come before the function is there: it is remembered. Whatever runs a driver's code
 * goes on in a task, one at a time; what came meanwhile is looked at when the task is over.
 *
 * BARs: the kernel sends "add" when it has made the function but before it assigns its BARs
 * (device_add() comes before pci_assign_unassigned_bridge_resources() in
 * pciehp_configure_device()), and for a function that stays without a driver nothing is sent after
 * that. So an unassigned BAR is looked at again after 10 ms, 20 ms, ..., for 5 s at most.
 *
 * A driver that turns up by itself is unbound: kernels whose device_initial_probe() does not look
 * at drivers_autoprobe bind hot-plugged PCI functions all the same.
 */
#include "agent/device-private.h"

#include "agent/accepted.h"
#include "agent/function.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void device_forget_bind(Device *device)
{
	int r = accepted_remove(device->shared->tree, device->address);

	if (r < 0)
		device_say(warning, device, "record of acceptances %s: %s", ACCEPTED_PATH,
			   strerror(-r));
}

/* --- verification --- */

static void on_progress(void *userdata, const char *step)
{
	tell_progress(device_subject(userdata), step);
}

static AcceptedBind device_bind(const Device *device)
{
	return (AcceptedBind){ .tvm = device->shared->tvm,
			       .address = device->address,
			       .generation = device->generation };
}

static void device_accepted(Device *device)
{
	uint64_t interval = device->shared->policy->evidence.reattest_interval_sec;
	AcceptedBind bind = device_bind(device);
	int r;

	r = accepted_add(device->shared->tree, &bind);
	if (r < 0)
		/* The TSM's own record is left, should this agent be restarted. */
		device_say(warning, device, "record of acceptances %s: %s", ACCEPTED_PATH,
			   strerror(-r));
	device->state = DEVICE_ACCEPTED;
	device->driver_reported = device->ready_due = false;
	device_say(info, device, "accepted, generation %" PRIu64 ", after %" PRIu64 " us",
		   device->generation, loop_now() - device->locked_at);
	tell_verdict(device_subject(device), true, "confirmed", NULL);
	if (interval)
		loop_timer_set(&device->reattest, interval * USEC_PER_SEC);
	device_drive(device);
}

static void device_reject(Device *device, const char *step, const char *reason)
{
	if (tell_verdict(device_subject(device), false, step, reason))
		return;
	device->untold_step = step;
	device->untold_reason = reason ? strdup(reason) : NULL;
}

static void device_forget_rejection(Device *device)
{
	device->untold_step = NULL;
	free(steal_ptr(device->untold_reason));
}

/* The session with tdid was away when it was said. */
static void device_reject_again(Device *device)
{
	_cleanup_free_ char *reason = steal_ptr(device->untold_reason);
	const char *step = device->untold_step;

	device->untold_step = NULL;
	if (step)
		device_reject(device, step, reason);
}

static void on_failed(void *userdata, const char *step, const char *reason)
{
	Device *device = userdata;

	device_say(warning, device, "rejected, generation %" PRIu64 ", %s: %s", device->generation,
		   step, reason ? reason : "out of memory");
	device_reject(device, step, reason);
}

static void device_rejected(Device *device)
{
	device->state = DEVICE_REJECTED;
	loop_timer_off(&device->reattest);
	loop_timer_off(&device->deadline);
	device_forget_bind(device);
	device_reject_again(device);
	device_unbind(device, AFTER_REJECT);
}

static void on_verified(void *userdata, bool accepted)
{
	Device *device = userdata;

	device->verify = verify_free(device->verify);
	if (accepted)
		device_accepted(device);
	else
		device_rejected(device);
}

static void device_verify(Device *device, bool evidence_anew)
{
	static const VerifyHandlers handlers = { .progress = on_progress,
						 .failed = on_failed,
						 .done = on_verified };
	AcceptedBind bind = device_bind(device);
	VerifyTarget target = { .address = device->address,
				.tvm = device->shared->tvm,
				.generation = device->generation };
	int r;

	device->lock_pending = false;
	device_forget_rejection(device);
	target.accepted_before = accepted_knows(device->shared->tree, &bind);
	target.running_will_do = !evidence_anew && device->state == DEVICE_ACCEPTED;
	if (device->state != DEVICE_ACCEPTED) {
		device->state = DEVICE_VERIFYING;
		loop_timer_off(&device->deadline);
	}
	r = verify_new(&device->verify, device->shared->loop, device->shared->tree,
		       device->shared->client, device->shared->policy, &target, &handlers, device);
	if (r < 0) {
		/* Nothing was asked of the TSM, so a bind that runs goes on as it is. */
		device_say(error, device, "the verification could not begin: %s", strerror(-r));
		if (device->state == DEVICE_VERIFYING)
			device->state = DEVICE_READY;
	}
}

static void on_reattest(void *userdata)
{
	Device *device = userdata;

	if (device->state != DEVICE_ACCEPTED || device->verify)
		return;
	device_say(info, device, "evidence is due again");
	device->locked_at = loop_now();
	device_verify(device, true);
}

/* --- getting ready --- */

static void on_settle(void *userdata)
{
	Device *device = userdata;

	device->settle_wait *= 2;
	device_prepare(device);
}

static void on_deadline(void *userdata)
{
	Device *device = userdata;

	if (device->state == DEVICE_ACCEPTED) {
		device_say(warning, device, "no driver within %llu s; the function stays accepted",
			   DEVICE_DRIVER_USEC / USEC_PER_SEC);
	} else if (device->lock_pending && !device->verify) {
		device_say(warning, device, "bound, but the function is not there or not ready");
		/* It finds what is wrong, and has the TSM revoke. */
		device_verify(device, false);
	}
}

static void device_complain(Device *device, const char *what, int error)
{
	if (!device->complained)
		device_say(warning, device, "%s: %s", what, strerror(-error));
	device->complained = true;
}

static void device_wait_for_bars(Device *device)
{
	/* The waits so far add up to the next one less the first. */
	if (device->settle_wait > DEVICE_SETTLE_MAX_USEC) {
		device_complain(device, "its BARs are not assigned", -EAGAIN);
		return;
	}
	loop_timer_set(&device->settle, device->settle_wait);
}

/* True: no driver is in the way. */
static bool device_driverless(Device *device)
{
	char driver[FUNCTION_DRIVER_SIZE];

	if (function_driver(device->shared->tree, device->address, driver) < 0)
		return true;
	if (accepted_knows_address(device->shared->tree, device->address)) {
		/* An earlier agent's acceptance: Locked tells whether it still counts. */
		if (device->lock_pending)
			device_verify(device, false);
	} else if (device->shared->policy->unbind_driver && !device->unbind_tried) {
		device->unbind_tried = true;
		device_unbind(device, AFTER_PREPARE);
	} else {
		if (!device->complained)
			device_say(warning, device,
				   "driver %s holds the function, which is offered as a trusted "
				   "device: "
				   "unbind it, or let the policy do so (\"unbind_driver\")",
				   driver);
		device->complained = true;
		if (device->lock_pending)
			device_verify(device, false);
	}
	return false;
}

void device_prepare(Device *device)
{
	Function function;
	int r;

	loop_timer_off(&device->settle);
	if (device->task || device->verify)
		return;
	device->state = DEVICE_OFFERED;
	r = function_read(&function, device->shared->tree, device->address);
	if (r == -ENOENT)
		return;
	if (r == -EAGAIN) {
		device_wait_for_bars(device);
		return;
	}
	if (r < 0) {
		device_complain(device, "the function does not read as one", r);
		return;
	}
	if (!device_driverless(device))
		return;
	r = function_enable(device->shared->tree, device->address);
	if (r < 0) {
		device_complain(device, "memory and bus mastering could not be enabled", r);
		return;
	}
	device->state = DEVICE_READY;
	if (device->lock_pending) {
		tell_progress(device_subject(device), "ready");
		device_verify(device, false);
	} else {
		device_say(info, device, "ready");
		device->ready_due = false;
		tell_ready(device_subject(device));
	}
}

static void device_begin(Device *device)
{
	device->settle_wait = DEVICE_SETTLE_USEC;
	device->unbind_tried = device->complained = false;
	device_prepare(device);
}

/* --- what tdid and the kernel say --- */

void device_offered(Device *device)
{
	device->ready_due = true;
	if (device->verify)
		return;
	if (device->state == DEVICE_ACCEPTED) {
		/* Its end may have been said while nobody listened: the TSM knows. */
		device->locked_at = loop_now();
		device_verify(device, false);
		return;
	}
	device_begin(device);
}

/*
 * On the host's word, so the TSM is told too, in case the host lies: of an acceptance, or of one
 * that may be on its way, or of a revocation that may not have arrived.
 */
static void device_end_bind(Device *device)
{
	if (device->state == DEVICE_ACCEPTED || device->verify)
		device->revoke_due = device->generation;
	if (device->verify)
		device->verify = verify_free(device->verify);
	loop_timer_off(&device->settle);
	loop_timer_off(&device->deadline);
	loop_timer_off(&device->reattest);
	device_forget_bind(device);
	device_forget_rejection(device);
	device->state = DEVICE_OFFERED;
	device->has_generation = device->lock_pending = false;
	device->driver_reported = false;
}

void device_locked(Device *device, uint64_t generation)
{
	bool same = device->has_generation && device->generation == generation;

	device->ready_due = false;
	if (same && device->verify && !verify_is_revoking(device->verify))
		return;
	if (same && device->state == DEVICE_ACCEPTED && !device->verify) {
		device->locked_at = loop_now();
		device_verify(device, false);
		return;
	}
	if (device->has_generation && !same) {
		device_say(info, device, "bound anew: generation %" PRIu64 " after %" PRIu64,
			   generation, device->generation);
		device_end_bind(device);
		/* At once: the driver sits on a bind that is gone, or the host lies. */
		device_revoke(device);
		device->unbind_tried = false;
	}
	device->has_generation = true;
	device->generation = generation;
	device->locked_at = loop_now();
	device->lock_pending = true;
	loop_timer_set(&device->deadline, DEVICE_DRIVER_USEC);
	if (device->settle_wait == 0)
		device_begin(device);
	else
		device_prepare(device);
}

void device_withdrawn(Device *device, uint64_t generation, const char *reason)
{
	if (!device->has_generation || device->generation != generation) {
		device_say(debug, device, "withdrawal of an unknown bind");
		return;
	}
	device_say(info, device, "withdrawn, generation %" PRIu64 ": %s", generation, reason);
	device_reject_again(device);
	device_end_bind(device);
	device->settle_wait = DEVICE_SETTLE_USEC;
	device->unbind_tried = device->complained = false;
	device_unbind(device, AFTER_WITHDRAW);
}

void device_look(Device *device)
{
	switch (device->state) {
	case DEVICE_OFFERED: device_begin(device); break;
	case DEVICE_ACCEPTED: device_drive(device); break;
	case DEVICE_READY:
	case DEVICE_VERIFYING:
	case DEVICE_REJECTED: break;
	}
}

void device_uevent(Device *device, const Uevent *event)
{
	char driver[FUNCTION_DRIVER_SIZE];

	if (strcmp(event->action, "add") == 0) {
		device_look(device);
	} else if (strcmp(event->action, "unbind") == 0) {
		/* Whoever did that: nothing may be in the way any more. */
		if (device->state == DEVICE_OFFERED)
			device_look(device);
	} else if (strcmp(event->action, "bind") == 0) {
		if (device->state == DEVICE_ACCEPTED) {
			device_report_driver(device);
			return;
		}
		if (device->task ||
		    function_driver(device->shared->tree, device->address, driver) < 0 ||
		    accepted_knows_address(device->shared->tree, device->address))
			return;
		device_say(warning, device,
			   "driver %s bound itself without evidence: this kernel does not heed "
			   "drivers_autoprobe for hot-plugged functions, or someone bound it",
			   driver);
		if (device->state == DEVICE_READY)
			device->state = DEVICE_OFFERED;
		device_unbind(device, device->state == DEVICE_OFFERED	 ? AFTER_PREPARE
				      : device->state == DEVICE_REJECTED ? AFTER_REJECT
									 : AFTER_NOTHING);
	}
}

void device_events_lost(Device *device)
{
	if (device->state != DEVICE_ACCEPTED) {
		device_look(device);
		return;
	}
	/* Another function may be there now, or the same with its BARs elsewhere. */
	device->driver_reported = false;
	device->locked_at = loop_now();
	if (!device->verify)
		device_verify(device, true);
}

void device_removed(Device *device)
{
	device_say(info, device, "removed");
	device_end_bind(device);
	device_revoke(device);
}

static int set_name(Device *device, const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > DEVICE_NAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!isgraph((unsigned char)name[i]))
			return -EINVAL;
	memcpy(device->name, name, n + 1);
	return 0;
}

int device_rename(Device *device, const char *name)
{
	int r = set_name(device, name);

	if (r < 0 || !device->has_generation)
		return r;
	device_end_bind(device);
	device_revoke(device);
	/* An unbinding of its driver goes on. */
	if (device->task && device->after == AFTER_REJECT)
		device->after = AFTER_PREPARE;
	return 0;
}

const char *device_name(const Device *device)
{
	return device->name;
}

Bdf device_address(const Device *device)
{
	return device->address;
}

bool device_is_accepted(const Device *device)
{
	return device->state == DEVICE_ACCEPTED;
}

int device_new(Device **ret, DeviceShared *shared, const char *name, Bdf address)
{
	_cleanup_free_ Device *device = calloc(1, sizeof(*device));
	int r;

	if (!device)
		return -ENOMEM;
	r = set_name(device, name);
	if (r < 0)
		return r;
	device->shared = shared;
	device->address = address;
	bdf_format(address, device->at);
	loop_timer_init(shared->loop, &device->settle, on_settle, device);
	loop_timer_init(shared->loop, &device->deadline, on_deadline, device);
	loop_timer_init(shared->loop, &device->reattest, on_reattest, device);
	*ret = steal_ptr(device);
	return 0;
}

Device *device_free(Device *device)
{
	if (device->verify)
		verify_free(device->verify);
	if (device->task)
		task_free(device->task);
	loop_timer_off(&device->settle);
	loop_timer_off(&device->deadline);
	loop_timer_off(&device->reattest);
	device_forget_rejection(device);
	free(device);
	return NULL;
}
