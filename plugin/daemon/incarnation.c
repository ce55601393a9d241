/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/incarnation.h"

#include "common/process.h"
#include "daemon/assignments-service.h"
#include "daemon/director.h"
#include "daemon/guest-port.h"
#include "daemon/records.h"
#include "rpc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#define LIBVIRT_RUN "/run/libvirt/qemu"

/* Reads a whole small file. */
static int read_small(const char *path, char *buffer, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buffer, size - 1);
	if (n < 0)
		return -errno;
	buffer[n] = '\0';
	return 0;
}

int incarnation_libvirt_pid(const char *domain_name, pid_t *ret)
{
	_cleanup_free_ char *path = NULL;
	char text[32], *end;
	long value;
	int r;

	if (strchr(domain_name, '/'))
		return -EBADMSG;
	if (asprintf(&path, LIBVIRT_RUN "/%s.pid", domain_name) < 0)
		return -ENOMEM;
	r = read_small(path, text, sizeof(text));
	if (r < 0)
		return r;
	value = strtol(text, &end, 10);
	if (end == text || (*end && *end != '\n') || value < 1 || value > INT32_MAX)
		return -EBADMSG;
	*ret = (pid_t)value;
	return 0;
}

static int on_exit_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	Tvm *tvm = userdata;

	log_info("%s: QEMU %d has ended", tvm->domain ? tvm->domain->name : "?", (int)tvm->pid);
	tvm->exit = sd_event_source_disable_unref(tvm->exit);
	tvm->port = guest_port_free(tvm->port);
	if (tvm->domain && tvm->domain->tvm == tvm)
		tvm->domain->tvm = NULL;
	assignments_service_tvm_ended(tvm->tdid->assignments, tvm);
	director_event(tvm->tdid, &(EngineEvent){ .type = EVENT_TVM_ENDED, .id = tvm->id }, NULL);
	return 0;
}

static int on_gone_before(sd_event_source *source, void *userdata)
{
	return on_exit_event(source, -1, 0, userdata);
}

static int watch(Tvm *tvm)
{
	return sd_event_add_io(tvm->tdid->event, &tvm->exit, tvm->pidfd, EPOLLIN, on_exit_event,
			       tvm);
}

int incarnation_begin(Tdid *tdid, Domain *domain, pid_t pid, uint64_t start_time)
{
	_cleanup_close_ int fd = -1;
	Tvm *tvm = domain->tvm;
	int r;

	if (tvm && tvm->pid == pid && tvm->start_time == start_time)
		return 0;
	/* One that has ended does not begin again, though its process may not be reaped yet. */
	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		if (tvm->pid == pid && tvm->start_time == start_time)
			return -ESRCH;
	fd = process_hold(pid, start_time);
	if (fd < 0)
		return fd;
	r = registry_add_tvm(tdid->registry, domain, &tvm);
	if (r < 0)
		return r;
	tvm->pid = pid;
	tvm->start_time = start_time;
	tvm->pidfd = steal_fd(&fd);
	r = watch(tvm);
	if (r < 0) {
		registry_remove_tvm(tdid->registry, tvm);
		return r;
	}
	domain->tvm = tvm;
	r = records_write_tvm(tdid, tvm);
	if (r < 0)
		log_error("%s: its record cannot be written to %s: %s; none of its devices is "
			  "bound until it can",
			  domain->name, tdid->config->records, strerror(-r));
	log_info("%s: runs in QEMU %d", domain->name, (int)pid);
	director_event(tdid, &(EngineEvent){ .type = EVENT_TVM_STARTED, .id = tvm->id }, NULL);
	return 0;
}

int incarnation_restore(Tdid *tdid, Domain *domain, pid_t pid, uint64_t start_time)
{
	_cleanup_close_ int fd = -1;
	Tvm *tvm;
	int r;

	/* Whatever else keeps it from being held does not say that it has ended. */
	fd = process_hold(pid, start_time);
	if (fd < 0 && fd != -ESRCH)
		return fd;
	r = registry_add_tvm(tdid->registry, domain, &tvm);
	if (r < 0)
		return r;
	tvm->pid = pid;
	tvm->start_time = start_time;
	r = engine_restore_tvm(tdid->engine, tvm->id);
	if (r < 0) {
		registry_remove_tvm(tdid->registry, tvm);
		return r;
	}
	if (fd < 0)
		return sd_event_add_defer(tdid->event, &tvm->exit, on_gone_before, tvm);
	tvm->pidfd = steal_fd(&fd);
	domain->tvm = tvm;
	return watch(tvm);
}
