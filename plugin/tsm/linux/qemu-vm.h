/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The KVM VM of a TVM, taken from the QEMU that libvirt runs for it.
 *
 * QEMU's pid comes from libvirt's status file (/run/libvirt/qemu/NAME.xml), which only root writes.
 * That alone could be stale: therefore the process has to be alive while it is asked, to name the
 * domain's UUID on its command line, and to have one KVM VM.
 */
#pragma once

#include "core/uuid.h"
#include "tsm/common/host-function.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define QEMU_VM_FOLDER	  "/run/libvirt/qemu"
#define QEMU_VM_FILES_MAX 4096

typedef struct QemuVm {
	pid_t pid;
	uint64_t start_time; /* field 22 of /proc/PID/stat */
	int pidfd;
	int kvm; /* -1 after qemu_vm_find() */
} QemuVm;

#define QEMU_VM_NONE ((QemuVm){ .pidfd = -1, .kvm = -1 })

void qemu_vm_done(QemuVm *vm);

/*
 * Finds and holds the process. root: "" or a made-up tree that has run/libvirt/qemu and proc.
 * -ENOENT: libvirt runs no such domain; -ESRCH: the process that libvirt names is gone or is not
 * that domain's; -EBADMSG; each with a sentence.
 */
int qemu_vm_find(QemuVm *ret, const char *root, Uuid uuid, char **ret_error);

/* Takes the KVM VM's descriptor of a process that was found. -ENOENT, -ENOTUNIQ, -ESRCH, -EPERM. */
int qemu_vm_take(QemuVm *vm, const char *root, char **ret_error);

/*
 * Whether a process that was found has the function open by way of VFIO: its own device file, or
 * that of its IOMMU group. sysfs: "/sys".
 */
bool qemu_vm_holds(const QemuVm *vm, const char *root, const char *sysfs,
		   const HostFunction *function);

/* A process, whichever, that has the function open in that way; 0: none is seen. */
pid_t vfio_user(const char *root, const char *sysfs, const HostFunction *function);

/*
 * The pid and the domain's UUID in a status file's text. -EBADMSG (not a status file), -EINVAL (no
 * sensible pid or UUID).
 */
int qemu_vm_status_parse(pid_t *ret_pid, Uuid *ret_uuid, const char *text, size_t size,
			 char **ret_error);
