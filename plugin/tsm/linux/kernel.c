/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel.h"

#include "core/cleanup.h"
#include "kernel-reset.h"
#include "tsm/common/tsm-attribute.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

const char *kernel_verb_name(KernelVerb verb)
{
	static const char *const names[] = { "look",   "connect", "disconnect",	  "bind",
					     "unbind", "reset",	  "guest_request" };

	return names[verb];
}

static int system_write(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t size = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, size);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

static int system_ioctl(const char *path, unsigned long request, void *argument)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

static void system_pause(uint32_t ms)
{
	poll(NULL, 0, (int)ms);
}

const KernelIo kernel_io_system = { system_write, system_ioctl, system_pause };

const KernelFunction *kernel_find(const KernelReport *report, Bdf bdf)
{
	for (size_t i = 0; i < report->n; i++)
		if (bdf_equal(report->functions[i].bdf, bdf))
			return &report->functions[i];
	return NULL;
}

static int attribute_write(const KernelRequest *q, Bdf bdf, const char *name, const char *value)
{
	char path[PATH_MAX];
	int r = tsm_attribute_path(path, sizeof(path), q->sysfs, bdf, name);

	return r < 0 ? r : q->io->write(path, value);
}

static int look_at(const KernelRequest *q, KernelFunction *f)
{
	char dsm[BDF_STRING_SIZE];
	int r;

	r = tsm_attribute_read(q->sysfs, f->bdf, "connect", f->connect, sizeof(f->connect));
	if (r == 0)
		r = tsm_attribute_read(q->sysfs, f->bdf, "bound", f->bound, sizeof(f->bound));
	if (r == 0)
		r = tsm_attribute_read(q->sysfs, f->bdf, "dsm", dsm, sizeof(dsm));
	f->has_dsm = r == 0 && bdf_parse(&f->dsm, dsm) == 0;
	return r;
}

static uint64_t now_msec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Whether a function of the same DSM made us wait in vain already. */
static bool is_slow(const KernelRequest *q, const KernelReport *report, size_t index)
{
	for (size_t i = 0; q->dsms && i < index; i++)
		if (report->functions[i].error == -EINTR && bdf_equal(q->dsms[i], q->dsms[index]))
			return true;
	return false;
}

static void look(const KernelRequest *q, KernelReport *report)
{
	uint64_t end = now_msec() + 2 * (uint64_t)q->look_ms;
	bool late = false;

	report->n = 0;
	/* From the first time on it ends one read after the other. */
	if (q->look_ms)
		tsm_attribute_arm(q->look_ms);
	for (size_t i = 0; i < q->n_functions && i < KERNEL_FUNCTIONS_MAX; i++) {
		KernelFunction *f = &report->functions[i];

		*f = (KernelFunction){ .bdf = q->functions[i], .error = -EINTR };
		if (!late || (q->verb == KERNEL_LOOK && now_msec() < end && !is_slow(q, report, i)))
			f->error = look_at(q, f);
		late = late || f->error == -EINTR;
		report->n = i + 1;
	}
	if (q->look_ms)
		tsm_attribute_arm(0);
}

static const KernelFunction *find_listed(const KernelReport *report, const Bdf *list, size_t n,
					 bool (*is)(const KernelFunction *f))
{
	for (size_t i = 0; i < n; i++) {
		const KernelFunction *f = kernel_find(report, list[i]);

		if (f && is(f))
			return f;
	}
	return NULL;
}

static bool is_unreadable(const KernelFunction *f)
{
	return f->error < 0;
}

static bool is_bound(const KernelFunction *f)
{
	return f->bound[0];
}

/* Of what the verb depends on; NULL: all of it was read. */
static const KernelFunction *find_unreadable(const KernelRequest *q, const KernelReport *report)
{
	const Bdf always[] = { q->dsm, q->target };
	const KernelFunction *f = find_listed(report, always, ELEMENTSOF(always), is_unreadable);

	if (!f && (q->verb == KERNEL_BIND || q->verb == KERNEL_RESET))
		f = find_listed(report, q->excluded, q->n_excluded, is_unreadable);
	if (!f && q->verb == KERNEL_DISCONNECT)
		f = find_listed(report, q->functions, q->n_functions, is_unreadable);
	return f;
}

/* Of the request's DSM; one that does not say whose it is may be. */
static const KernelFunction *find_bound(const KernelRequest *q, const KernelReport *report)
{
	for (size_t i = 0; i < report->n; i++) {
		const KernelFunction *f = &report->functions[i];

		if (f->bound[0] && (!f->has_dsm || bdf_equal(f->dsm, q->dsm)))
			return f;
	}
	return NULL;
}

static KernelGuard guard_about(KernelReport *report, KernelGuard guard, const KernelFunction *f)
{
	report->guard_device = f->bdf;
	return guard;
}

static KernelGuard guard_disconnect(const KernelRequest *q, KernelReport *report,
				    const KernelFunction *dsm)
{
	const KernelFunction *bound;

	if (!dsm->connect[0])
		return KERNEL_GUARD_ALREADY;
	if (strcmp(dsm->connect, q->tsm) != 0)
		return KERNEL_GUARD_OTHER_TSM;
	/* The kernel would unbind it under its TVM, and report success. */
	bound = find_bound(q, report);
	return bound ? guard_about(report, KERNEL_GUARD_BOUND, bound) : KERNEL_GUARD_NONE;
}

static KernelGuard guard_bind(const KernelRequest *q, KernelReport *report,
			      const KernelFunction *dsm, const KernelFunction *target)
{
	const KernelFunction *bound;

	if (!dsm->connect[0])
		return KERNEL_GUARD_DISCONNECTED;
	if (strcmp(dsm->connect, q->tsm) != 0)
		return KERNEL_GUARD_OTHER_TSM;
	bound = find_listed(report, q->excluded, q->n_excluded, is_bound);
	if (bound)
		return guard_about(report, KERNEL_GUARD_BOUND, bound);
	if (target->bound[0] && q->adopts)
		return KERNEL_GUARD_ALREADY;
	return target->bound[0] ? guard_about(report, KERNEL_GUARD_BOUND, target)
				: KERNEL_GUARD_NONE;
}

static KernelGuard guard_reset(const KernelRequest *q, KernelReport *report,
			       const KernelFunction *target)
{
	const KernelFunction *bound =
		target->bound[0] ? target
				 : find_listed(report, q->excluded, q->n_excluded, is_bound);

	return bound ? guard_about(report, KERNEL_GUARD_BOUND, bound)
		     : kernel_reset_guard(q, report);
}

/* What nothing is known of may be bound. */
static bool may_end_session(const KernelRequest *q, const KernelReport *report,
			    const KernelFunction *dsm)
{
	return q->ends_session && strcmp(dsm->connect, q->tsm) == 0 && !find_bound(q, report) &&
	       !find_listed(report, q->functions, q->n_functions, is_unreadable);
}

static KernelGuard guard(const KernelRequest *q, KernelReport *report)
{
	const KernelFunction *target = kernel_find(report, q->target);
	const KernelFunction *dsm = kernel_find(report, q->dsm);
	const KernelFunction *unreadable = find_unreadable(q, report);

	if (q->verb == KERNEL_LOOK)
		return KERNEL_GUARD_ALREADY;
	if (!target || !dsm)
		return KERNEL_GUARD_GONE;
	if (unreadable) {
		report->error = unreadable->error;
		return guard_about(report, KERNEL_GUARD_UNREADABLE, unreadable);
	}
	switch (q->verb) {
	case KERNEL_CONNECT:
		if (!dsm->connect[0])
			return KERNEL_GUARD_NONE;
		return strcmp(dsm->connect, q->tsm) == 0 ? KERNEL_GUARD_ALREADY
							 : KERNEL_GUARD_OTHER_TSM;
	case KERNEL_DISCONNECT: return guard_disconnect(q, report, dsm);
	case KERNEL_BIND: return guard_bind(q, report, dsm, target);
	case KERNEL_UNBIND:
		return target->bound[0] || may_end_session(q, report, dsm) ? KERNEL_GUARD_NONE
									   : KERNEL_GUARD_ALREADY;
	case KERNEL_RESET: return guard_reset(q, report, target);
	default: return target->bound[0] ? KERNEL_GUARD_NONE : KERNEL_GUARD_DISCONNECTED;
	}
}

static int proxy_call(const KernelRequest *q, unsigned long request, void *argument)
{
	return q->io->ioctl(q->proxy, request, argument);
}

static int proxy_bind(const KernelRequest *q)
{
	struct tsm_proxy_bind bind = {
		.function = bdf_requester_id(q->target),
		.kvm_fd = WORKER_FD,
		.tdi_id = q->guest_rid,
		.flags = q->generation,
	};

	memcpy(bind.tvm, q->tvm.bytes, sizeof(bind.tvm));
	return proxy_call(q, TSM_PROXY_VMM_IOCTL_BIND, &bind);
}

static int proxy_unbind(const KernelRequest *q, KernelReport *report)
{
	struct tsm_proxy_unbind unbind = { .function = bdf_requester_id(q->target) };
	int r = proxy_call(q, TSM_PROXY_VMM_IOCTL_UNBIND, &unbind);

	/* ENXIO: its VFIO driver let go of it between our look and now, and nobody heard why. */
	report->unconfirmed = r < 0 ? r : unbind.error;
	return r;
}

static int proxy_guest_request(const KernelRequest *q, KernelReport *report)
{
	struct tsm_proxy_guest_req guest = {
		.function = bdf_requester_id(q->target),
		.scope = q->state_change ? TSM_PROXY_SCOPE_STATE_CHANGE : TSM_PROXY_SCOPE_INFO,
		.request = (uintptr_t)q->message,
		.request_len = (uint32_t)q->message_size,
		.reply = (uintptr_t)report->reply,
		.reply_len = sizeof(report->reply),
	};
	int r = proxy_call(q, TSM_PROXY_VMM_IOCTL_GUEST_REQ, &guest);

	report->reply_size =
		r == 0 && guest.reply_len <= sizeof(report->reply) ? guest.reply_len : 0;
	return r;
}

/*
 * -ETIME: within observe_ms it did not come, and the last look said so; -EINTR: the lock was not
 * free for the last look, so somebody is at it. The last look begins when the time is over: one
 * that began before says nothing of the time since, which on a busy host may be most of it.
 */
static int observe(const KernelRequest *q, bool bound)
{
	uint64_t now = now_msec(), end = now + q->observe_ms;

	for (;; now = now_msec()) {
		uint32_t left = now < end ? (uint32_t)(end - now) : 0;
		char text[TEE_IO_TSM_NAME_SIZE];
		int r;

		tsm_attribute_arm(left ?: 1);
		r = tsm_attribute_read(q->sysfs, q->target, "bound", text, sizeof(text));
		tsm_attribute_arm(0);
		if (r != -EINTR && (r < 0 || !!text[0] == bound))
			return r;
		if (!left)
			return r < 0 ? r : -ETIME;
		/* An interrupted read has taken all the time there was. */
		if (r == 0)
			q->io->pause(left < KERNEL_OBSERVE_MSEC ? left : KERNEL_OBSERVE_MSEC);
	}
}

static int act(const KernelRequest *q, KernelReport *report)
{
	bool observes = q->binder == KERNEL_BINDER_OBSERVE;
	const char *connected = kernel_find(report, q->dsm)->connect;

	switch (q->verb) {
	case KERNEL_CONNECT: return attribute_write(q, q->dsm, "connect", q->tsm);
	case KERNEL_DISCONNECT: return attribute_write(q, q->dsm, "disconnect", connected);
	case KERNEL_BIND: return observes ? observe(q, true) : proxy_bind(q);
	case KERNEL_UNBIND:
		if (!kernel_find(report, q->target)->bound[0]) {
			/* It lets go with its session: nobody hears of a STOP. */
			report->unconfirmed = -ENXIO;
			return attribute_write(q, q->dsm, "disconnect", connected);
		}
		return observes ? observe(q, false) : proxy_unbind(q, report);
	case KERNEL_RESET: return kernel_reset(q, report);
	case KERNEL_GUEST_REQUEST: return proxy_guest_request(q, report);
	default: return -EINVAL;
	}
}

void kernel_job(const void *input, void *shared)
{
	const KernelRequest *q = input;
	KernelReport *report = shared;

	const KernelFunction *target, *dsm;

	if (q->methods) {
		report->error = kernel_reset_restore(q);
		report->step = KERNEL_STEP_ACTED;
		return;
	}
	look(q, report);
	report->guard = guard(q, report);
	if (report->guard == KERNEL_GUARD_UNREADABLE)
		return;
	if (report->guard == KERNEL_GUARD_NONE) {
		report->step = KERNEL_STEP_ACTING;
		report->error = act(q, report);
		report->step = KERNEL_STEP_ACTED;
		look(q, report);
		target = kernel_find(report, q->target);
		dsm = kernel_find(report, q->dsm);
		if (!target || target->error < 0 || !dsm || dsm->error < 0)
			return;
	}
	report->step = KERNEL_STEP_LOOKED;
}
