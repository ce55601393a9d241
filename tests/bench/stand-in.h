/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Other processes of the host are this program, run anew: after a fork(2) every page that tdid
 * writes to would first be copied, and counted as tdid's own time.
 */
#pragma once

#include <sys/types.h>

/* `argv`: of this program, NULL at its end. Descriptors without O_CLOEXEC stay open. -errno. */
int stand_in_start(pid_t *ret, const char *const argv[]);
/* First thing in such a process: it ends with the one that started it. */
void stand_in_begin(void);
/*
 * Keeps this process, and all that it starts, on the first of its processors; says so if there is
 * no second one. Left alone the kernel takes who is woken by a socket for one that it had better
 * run where the waker runs, and with two processors it waits there for milliseconds while the other
 * one has nothing to do.
 */
void stand_in_processors(void);
/* Keeps `pid` (0: this process) on the second one. */
void stand_in_elsewhere(pid_t pid);
/* A process that is there, and no more. */
int stand_in_wait(void);
