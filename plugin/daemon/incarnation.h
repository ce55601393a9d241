/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An incarnation of a domain is one QEMU process: its pid and start time, held by a pidfd. That the
 * pidfd becomes readable is the only end it has.
 */
#pragma once

#include "daemon/tdid.h"

/*
 * The domain runs in this process now. The same one again changes nothing; another one becomes the
 * domain's incarnation, and the former ends when its process does.
 * -ESRCH: there is no such process any more, or another with its pid. -EINVAL, -ENOMEM.
 */
int incarnation_begin(Tdid *tdid, Domain *domain, pid_t pid, uint64_t start_time);

/*
 * From a record, into the engine's restore; a process that is gone ends from the loop. When that
 * cannot be found out (-EMFILE ...) nothing has been put back.
 */
int incarnation_restore(Tdid *tdid, Domain *domain, pid_t pid, uint64_t start_time);

/* The pid that libvirt's pid file names for a domain of this name. -ENOENT, -EACCES, -EBADMSG. */
int incarnation_libvirt_pid(const char *domain_name, pid_t *ret);
