/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that take no signals. */
#pragma once

#include <pthread.h>

/*
 * All signals are blocked in the thread: they are the sd-event loop's. That includes SIGPIPE, which
 * libvirt's client raises when it writes to a libvirtd that has gone, and which would end the
 * process. `name` is cut to 15 characters. Returns 0 or a negative errno.
 */
int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *userdata);
