/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "qemu-vm.h"

#include "common/process.h"
#include "common/state-file.h"
#include "core/cleanup.h"
#include "core/refusal.h"
#include "core/xml-tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>

#define KVM_VM_LINK	 "anon_inode:kvm-vm"
#define COMMAND_LINE_MAX (2u << 20) /* the kernel's own bound is a quarter of the stack's */

static inline DIR *dir_close(DIR *dir)
{
	closedir(dir);
	return NULL;
}

DEFINE_CLEANUP(DIR, dir_close);

void qemu_vm_done(QemuVm *vm)
{
	if (vm->pidfd >= 0)
		close(vm->pidfd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	*vm = QEMU_VM_NONE;
}

int qemu_vm_status_parse(pid_t *ret_pid, Uuid *ret_uuid, const char *text, size_t size,
			 char **ret_error)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	const xmlNode *status, *domain = NULL;
	const char *pid, *uuid;
	char *end;
	long value;
	int r;

	r = xml_tree_parse(&doc, text, size, ret_error);
	if (r < 0)
		return r;
	status = xmlDocGetRootElement(doc);
	if (!xml_is_element(status, "domstatus"))
		return refuse(ret_error, -EBADMSG, "not a domain's status");
	r = xml_only_child(&domain, status, "domain", ret_error);
	if (r < 0)
		return r;
	if (!domain)
		return refuse(ret_error, -EBADMSG, "a status without a domain");
	r = xml_child_text(&uuid, domain, "uuid", ret_error);
	if (r < 0)
		return r;
	pid = xml_attribute(status, "pid");
	errno = 0;
	value = pid ? strtol(pid, &end, 10) : 0;
	if (!pid || *pid < '0' || *pid > '9' || errno || *end || value < 1 || value > INT32_MAX)
		return refuse(ret_error, -EINVAL, "its pid is no number of a process");
	if (uuid_from_string(ret_uuid, uuid) < 0)
		return refuse(ret_error, -EINVAL, "its UUID is malformed");
	*ret_pid = (pid_t)value;
	return 0;
}

static bool is_xml(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && strcmp(name + n - 4, ".xml") == 0;
}

/* Names are for display, so the UUID decides; one that does not parse is not the one. */
static int find_pid(pid_t *ret, const char *root, Uuid uuid, char **ret_error)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	char path[PATH_MAX], text[UUID_STRING_SIZE];
	struct dirent *entry;
	bool found = false;
	size_t n = 0;

	snprintf(path, sizeof(path), "%s%s", root, QEMU_VM_FOLDER);
	dir = opendir(path);
	if (!dir)
		return refuse(ret_error, errno == ENOENT ? -ENOENT : -errno,
			      "libvirt's folder %s cannot be read: %s", path, strerror(errno));
	while ((entry = readdir(dir)) && n < QEMU_VM_FILES_MAX) {
		_cleanup_blob_ Blob status = {};
		pid_t pid;
		Uuid other;

		if (!is_xml(entry->d_name))
			continue;
		n++;
		if (state_file_read(&status, dirfd(dir), entry->d_name, XML_TREE_MAX_SIZE) < 0 ||
		    qemu_vm_status_parse(&pid, &other, (const char *)status.data, status.size,
					 NULL) < 0 ||
		    !uuid_equal(other, uuid))
			continue;
		if (found)
			return refuse(ret_error, -ENOTUNIQ,
				      "two status files in %s have the UUID %s", path,
				      uuid_format(uuid, text));
		found = true;
		*ret = pid;
	}
	if (!found)
		return refuse(ret_error, -ENOENT,
			      "libvirt runs no domain with the UUID %s (no status file in %s)",
			      uuid_format(uuid, text), path);
	return 0;
}

/* *ret gets `*ret_size` bytes and a NUL. /proc's files have no size. */
static int read_proc(char **ret, size_t *ret_size, const char *root, pid_t pid, const char *name)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t used = 0, room = 4096;

	snprintf(path, sizeof(path), "%s/proc/%d/%s", root, (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	for (;;) {
		char *more = realloc(text, room);
		ssize_t n;

		if (!more)
			return -ENOMEM;
		text = more;
		n = read(fd, text + used, room - used - 1);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used + 1 == room && (room *= 2) > COMMAND_LINE_MAX)
			return -E2BIG;
	}
	text[used] = '\0';
	*ret = steal_ptr(text);
	*ret_size = used;
	return 0;
}

/* libvirt starts QEMU with "-uuid UUID". */
static int check_command_line(const char *root, pid_t pid, Uuid uuid)
{
	char wanted[UUID_STRING_SIZE];
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	uuid_format(uuid, wanted);
	r = read_proc(&text, &size, root, pid, "cmdline");
	if (r < 0)
		return r;
	for (char *p = text, *next; p < text + size; p = next) {
		next = p + strlen(p) + 1;
		if (strcmp(p, "-uuid") == 0 && next < text + size)
			return strcasecmp(next, wanted) == 0 ? 0 : -ESRCH;
	}
	return -ESRCH;
}

static bool is_alive(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

int qemu_vm_find(QemuVm *ret, const char *root, Uuid uuid, char **ret_error)
{
	_cleanup_(qemu_vm_done) QemuVm vm = QEMU_VM_NONE;
	char text[UUID_STRING_SIZE];
	int r;

	r = find_pid(&vm.pid, root, uuid, ret_error);
	if (r < 0)
		return r;
	/* Held first, looked at afterwards: what is read is of this process, if it still lives. */
	vm.pidfd = (int)syscall(SYS_pidfd_open, vm.pid, 0);
	if (vm.pidfd < 0)
		return refuse(ret_error, -errno, "QEMU %d of domain %s: %s", (int)vm.pid,
			      uuid_format(uuid, text), strerror(errno));
	r = process_start_time(&vm.start_time, root, vm.pid);
	if (r == 0)
		r = check_command_line(root, vm.pid, uuid);
	if (r == 0 && !is_alive(vm.pidfd))
		r = -ESRCH;
	if (r < 0)
		return refuse(ret_error, r,
			      "process %d, which libvirt names for domain %s, is not its QEMU (any "
			      "more)",
			      (int)vm.pid, uuid_format(uuid, text));
	*ret = vm;
	vm = QEMU_VM_NONE;
	return 0;
}

static bool link_is(int directory, const char *name, const char *wanted)
{
	char target[64];
	ssize_t n = readlinkat(directory, name, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = '\0';
	return strcmp(target, wanted) == 0;
}

static int find_descriptor(int *ret, const char *root, pid_t pid, char **ret_error)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *entry;
	int found = -1;

	snprintf(path, sizeof(path), "%s/proc/%d/fd", root, (int)pid);
	dir = opendir(path);
	if (!dir)
		return refuse(ret_error, errno == ENOENT ? -ESRCH : -errno, "%s: %s", path,
			      strerror(errno));
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !link_is(dirfd(dir), entry->d_name, KVM_VM_LINK))
			continue;
		if (found >= 0)
			return refuse(ret_error, -ENOTUNIQ, "process %d has more than one KVM VM",
				      (int)pid);
		found = atoi(entry->d_name);
	}
	if (found < 0)
		return refuse(ret_error, -ENOENT,
			      "process %d has no KVM VM; is the domain of type kvm?", (int)pid);
	*ret = found;
	return 0;
}

int qemu_vm_take(QemuVm *vm, const char *root, char **ret_error)
{
	_cleanup_close_ int fd = -1;
	char name[64];
	uint64_t now;
	int number, r;

	r = find_descriptor(&number, root, vm->pid, ret_error);
	if (r < 0)
		return r;
	fd = (int)syscall(SYS_pidfd_getfd, vm->pidfd, number, 0);
	if (fd < 0)
		return refuse(ret_error, -errno, "the KVM VM of process %d cannot be taken: %s%s",
			      (int)vm->pid, strerror(errno),
			      errno == EPERM ? " (CAP_SYS_PTRACE is needed)" : "");
	/* The number could have come to mean another file meanwhile, or the pid another process. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	r = process_start_time(&now, root, vm->pid);
	if (!link_is(AT_FDCWD, name, KVM_VM_LINK) || r < 0 || now != vm->start_time ||
	    !is_alive(vm->pidfd))
		return refuse(ret_error, -ESRCH, "QEMU %d ended while it was asked", (int)vm->pid);
	vm->kvm = steal_fd(&fd);
	return 0;
}

static bool has_open(const char *root, pid_t pid, const char *wanted)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	char path[PATH_MAX];
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s/proc/%d/fd", root, (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && link_is(dirfd(dir), entry->d_name, wanted))
			return true;
	return false;
}

static bool process_holds(pid_t pid, const char *root, const char *sysfs,
			  const HostFunction *function)
{
	char path[PATH_MAX], wanted[64], bdf[BDF_STRING_SIZE];
	_cleanup_(dir_closep) DIR *dir = NULL;
	struct dirent *entry;
	bool holds = false;

	snprintf(wanted, sizeof(wanted), "/dev/vfio/%u", function->iommu_group);
	holds = function->has_iommu_group && has_open(root, pid, wanted);
	snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/vfio-dev", sysfs,
		 bdf_format(function->bdf, bdf));
	dir = opendir(path);
	while (!holds && dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(wanted, sizeof(wanted), "/dev/vfio/devices/%.40s", entry->d_name);
		holds = has_open(root, pid, wanted);
	}
	return holds;
}

bool qemu_vm_holds(const QemuVm *vm, const char *root, const char *sysfs,
		   const HostFunction *function)
{
	return process_holds(vm->pid, root, sysfs, function) && is_alive(vm->pidfd);
}

pid_t vfio_user(const char *root, const char *sysfs, const HostFunction *function)
{
	_cleanup_(dir_closep) DIR *dir = NULL;
	char path[PATH_MAX], *end;
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s/proc", root);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		long pid = strtol(entry->d_name, &end, 10);

		if (pid > 0 && !*end && process_holds((pid_t)pid, root, sysfs, function))
			return (pid_t)pid;
	}
	return 0;
}
