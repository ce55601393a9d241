/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which process it is: a pid alone may have become another's. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/*
 * When it started: field 22 of /proc/PID/stat (proc(5)), clock ticks since boot. `root` stands
 * before /proc; "" is the host's own. -ESRCH when there is no such process; -EBADMSG; open(2)'s,
 * read(2)'s.
 */
int process_start_time(uint64_t *ret, const char *root, pid_t pid);

/*
 * A pidfd of the process with this pid, if it started then. -ESRCH when it has ended, or another
 * has its pid now.
 */
int process_hold(pid_t pid, uint64_t start_time);
