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
/* A process that is there, and no more. */
int stand_in_wait(void);
