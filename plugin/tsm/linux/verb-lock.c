/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lock (flock(2)) is one of the open file, which children share: it is free when the last of
 * them has ended. That one may be had no event tells, so a child waits for it; with the child's
 * success this process has it too.
 */
#include "verb-lock.h"

#include "core/refusal.h"
#include "rpc/log.h"
#include "tsm/common/tsm-attribute.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define FIRST_WAIT_MSEC 1000
#define RETRY_USEC	(1 * UINT64_C(1000000))
#define ACCURACY_USEC	(10 * UINT64_C(1000))

struct VerbLock {
	sd_event *event;
	int fd;
	bool taken;
	Worker *waiter;
	sd_event_source *retry;
	void (*kill)(int pidfd);
	void (*on_taken)(void *userdata);
	void *userdata;
};

VerbLock *verb_lock_free(VerbLock *lock)
{
	if (!lock)
		return NULL;
	worker_free(lock->waiter);
	sd_event_source_disable_unref(lock->retry);
	if (lock->fd >= 0)
		close(lock->fd);
	sd_event_unref(lock->event);
	free(lock);
	return NULL;
}

static void wait_job(const void *input, void *shared)
{
	bool *done = shared;

	*done = flock(WORKER_FD, LOCK_EX) == 0;
}

static int begin_waiting(VerbLock *lock);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	VerbLock *lock = userdata;

	lock->retry = sd_event_source_disable_unref(lock->retry);
	begin_waiting(lock);
	return 0;
}

/* The child died before it had it. */
static void again(VerbLock *lock)
{
	if (sd_event_add_time_relative(lock->event, &lock->retry, CLOCK_MONOTONIC, RETRY_USEC,
				       ACCURACY_USEC, on_retry, lock) < 0)
		log_error("no timer can be set to wait for the lock of the state folder");
}

static void on_waited(Worker *worker, WorkerEnd end, void *shared, void *userdata)
{
	VerbLock *lock = userdata;
	const bool *done = shared;

	lock->taken = end == WORKER_DONE && *done;
	lock->waiter = worker_free(worker);
	if (lock->taken)
		lock->on_taken(lock->userdata);
	else
		again(lock);
}

static int begin_waiting(VerbLock *lock)
{
	WorkerLimits limits = { .kill = lock->kill };
	int r = worker_start(&lock->waiter, lock->event,
			     &(WorkerOptions){ .job = wait_job,
					       .shared_size = sizeof(bool),
					       .fd = lock->fd,
					       .held = -1,
					       .limits = &limits,
					       .ended = on_waited,
					       .userdata = lock });

	if (r < 0)
		again(lock);
	return r;
}

int verb_lock_new(VerbLock **ret, sd_event *event, const char *folder, void (*kill)(int pidfd),
		  void (*taken)(void *userdata), void *userdata, char **ret_error)
{
	_cleanup_(verb_lock_freep) VerbLock *lock = calloc(1, sizeof(*lock));
	_cleanup_free_ char *path = NULL;

	if (!lock)
		return -ENOMEM;
	lock->fd = -1;
	if (asprintf(&path, "%s/lock", folder) < 0)
		return -ENOMEM;
	lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock->fd < 0)
		return refuse(ret_error, -errno, "%s: %s", path, strerror(errno));
	lock->event = sd_event_ref(event);
	lock->kill = kill;
	lock->on_taken = taken;
	lock->userdata = userdata;
	/* Children that were killed with their parent need a moment to end. */
	tsm_attribute_arm(FIRST_WAIT_MSEC);
	lock->taken = flock(lock->fd, LOCK_EX) == 0;
	tsm_attribute_arm(0);
	if (!lock->taken)
		begin_waiting(lock);
	*ret = steal_ptr(lock);
	return 0;
}

bool verb_lock_is_taken(const VerbLock *lock)
{
	return lock->taken;
}

int verb_lock_fd(const VerbLock *lock)
{
	return lock->fd;
}
