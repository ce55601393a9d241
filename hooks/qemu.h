/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which process a domain's QEMU is: its pid, and when it started, which together never recur. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Qemu {
	int64_t pid;	     /* 0: not known */
	uint64_t start_time; /* field 22 of /proc/PID/stat: clock ticks since boot */
} Qemu;

/*
 * Reads `root`/run/libvirt/qemu/DOMAIN.pid and /proc/PID/stat. `root` is "" but in tests.
 * Returns 0, or a negative errno and leaves *ret alone: -ENOENT (no pid file), -ESRCH (the process
 * is gone), -EBADMSG (malformed), -EINVAL (a domain name that cannot be a file's).
 */
int qemu_read(Qemu *ret, const char *root, const char *domain);

/* Decimal digits and at most one line end. Returns 0 or -EBADMSG. */
int qemu_parse_pid(int64_t *ret, const char *text, size_t size);

/* One line of /proc/PID/stat (proc_pid_stat(5)). Returns 0 or -EBADMSG. */
int qemu_parse_start_time(uint64_t *ret, const char *text, size_t size);
