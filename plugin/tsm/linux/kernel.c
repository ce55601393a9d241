/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel.h"

#include "core/cleanup.h"
#include "tsm/common/tsm-attribute.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

const char *kernel_verb_name(KernelVerb verb)
{
	static const char *const names[] = { "look", "connect", "disconnect",
					     "bind", "unbind",	"guest_request" };

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

const KernelIo kernel_io_system = { system_write, system_ioctl };

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

static int look(const KernelRequest *q, KernelReport *report)
{
	int r = 0;

	report->n = 0;
	if (q->look_ms)
		tsm_attribute_arm(q->look_ms);
	for (size_t i = 0; r == 0 && i < q->n_functions && i < KERNEL_FUNCTIONS_MAX; i++) {
		report->functions[i] = (KernelFunction){ .bdf = q->functions[i] };
		report->guard_device = q->functions[i];
		r = look_at(q, &report->functions[i]);
		report->n = i + 1;
	}
	if (q->look_ms)
		tsm_attribute_arm(0);
	return r;
}

static bool any_bound(const KernelReport *report, const Bdf *list, size_t n, Bdf *ret)
{
	for (size_t i = 0; i < n; i++) {
		const KernelFunction *f = kernel_find(report, list[i]);

		if (!f || !f->bound[0])
			continue;
		*ret = f->bdf;
		return true;
	}
	return false;
}

static KernelGuard guard(const KernelRequest *q, KernelReport *report)
{
	const KernelFunction *target = kernel_find(report, q->target);
	const KernelFunction *dsm = kernel_find(report, q->dsm);

	if (!target || !dsm)
		return KERNEL_GUARD_GONE;
	switch (q->verb) {
	case KERNEL_CONNECT:
		if (!dsm->connect[0])
			return KERNEL_GUARD_NONE;
		return strcmp(dsm->connect, q->tsm) == 0 ? KERNEL_GUARD_ALREADY
							 : KERNEL_GUARD_OTHER_TSM;
	case KERNEL_DISCONNECT:
		if (!dsm->connect[0])
			return KERNEL_GUARD_ALREADY;
		/* The kernel would unbind it under its TVM, and report success. */
		return any_bound(report, q->functions, q->n_functions, &report->guard_device)
			       ? KERNEL_GUARD_BOUND
			       : KERNEL_GUARD_NONE;
	case KERNEL_BIND:
		if (!dsm->connect[0])
			return KERNEL_GUARD_DISCONNECTED;
		if (any_bound(report, &q->target, 1, &report->guard_device) ||
		    any_bound(report, q->excluded, q->n_excluded, &report->guard_device))
			return KERNEL_GUARD_BOUND;
		return KERNEL_GUARD_NONE;
	case KERNEL_UNBIND: return target->bound[0] ? KERNEL_GUARD_NONE : KERNEL_GUARD_ALREADY;
	case KERNEL_GUEST_REQUEST:
		return target->bound[0] ? KERNEL_GUARD_NONE : KERNEL_GUARD_DISCONNECTED;
	default: return KERNEL_GUARD_ALREADY;
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

	/* ENXIO: its VFIO driver let go of it between our look and now. */
	report->unconfirmed = r < 0 || unbind.error == -ENXIO ? 0 : unbind.error;
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

/* Until the worker's deadline: it is this process's end. */
static int observe(const KernelRequest *q, bool bound)
{
	for (;;) {
		char text[TEE_IO_TSM_NAME_SIZE];
		int r;

		if (q->look_ms)
			tsm_attribute_arm(q->look_ms);
		r = tsm_attribute_read(q->sysfs, q->target, "bound", text, sizeof(text));
		if (q->look_ms)
			tsm_attribute_arm(0);
		if (r != -EINTR && (r < 0 || !!text[0] == bound))
			return r;
		poll(NULL, 0, KERNEL_OBSERVE_MSEC);
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
	case KERNEL_UNBIND: return observes ? observe(q, false) : proxy_unbind(q, report);
	case KERNEL_GUEST_REQUEST: return proxy_guest_request(q, report);
	default: return -EINVAL;
	}
}

void kernel_job(const void *input, void *shared)
{
	const KernelRequest *q = input;
	KernelReport *report = shared;

	report->error = look(q, report);
	if (report->error < 0) {
		report->guard = KERNEL_GUARD_UNREADABLE;
		return;
	}
	report->guard = guard(q, report);
	if (report->guard == KERNEL_GUARD_NONE) {
		report->step = KERNEL_STEP_ACTING;
		report->error = act(q, report);
		report->step = KERNEL_STEP_ACTED;
		if (look(q, report) < 0)
			return;
	}
	report->step = KERNEL_STEP_LOOKED;
}
