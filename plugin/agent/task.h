/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One write to sysfs that runs a driver's code (drivers_probe, driver/unbind) and may take its time
 * or hang: done by a child process, so that the port is read all the while.
 */
#pragma once

#include "agent/loop.h"
#include "core/cleanup.h"

#include <stdint.h>

typedef struct Task Task;

/* The write's result, 0 or a negative errno; -ETIME: it is still going on after the deadline. */
typedef void (*TaskHandler)(void *userdata, int result);

/*
 * Writes `text` to the file `path`. The handler is called once, never from within; afterwards the
 * task is still the caller's to free.
 */
int task_new(Task **ret, Loop *loop, const char *path, const char *text, uint64_t deadline_usec,
	     TaskHandler handler, void *userdata);

/*
 * Forgets the task; the handler is not called any more. A child that still runs is killed and left
 * to the kernel: inside a driver it ends when the driver returns.
 */
Task *task_free(Task *task);
DEFINE_CLEANUP(Task, task_free);
