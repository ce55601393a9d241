/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that take jobs off an sd-event loop, and what becomes of one that hangs in its job. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <systemd/sd-event.h>

#include "core/cleanup.h"
#include "vmm/mailbox.h"

typedef struct Workers Workers;
typedef struct Worker Worker;
typedef struct Job Job;

typedef struct JobType {
	/* On a worker's thread; must not touch what the loop's thread owns. */
	void (*work)(Job *job);
	/* On the loop's thread, after `work`; takes the job. */
	void (*returned)(Job *job, void *userdata);
	/* Instead of `returned`: on the loop's thread for jobs that are left when the workers are
	 * freed, on the worker's for one that was left behind in its job. */
	void (*free)(Job *job);
} JobType;

/* The first member of whatever is worked on. Its members are the workers' own; all zero at first.
 */
struct Job {
	Post post; /* when it has returned */
	const JobType *type;
	TAILQ_ENTRY(Job) in_pending;
	Worker *worker;	  /* who works on it; shop's lock */
	bool written_off; /* shop's lock */
};

/* Starts `n` threads. `type` is not copied; `name` is, cut to 11 characters, for the threads' names
 * and the log. Returns 0 or a negative errno. */
int workers_new(Workers **ret, sd_event *event, const char *name, unsigned n, const JobType *type,
		void *userdata);

/* Joins the threads. Waits until `wait_usec` from now at most for those that have a job; the others
 * are left behind in theirs. */
Workers *workers_free_wait(Workers *workers, uint64_t wait_usec);

/* Takes the job, and works on it when a worker is idle. Loop's thread, like what follows. */
void workers_run(Workers *workers, Job *job);

/*
 * The job's worker no longer counts: it gets a substitute, and ends when its job returns. Returns
 * 1; 0 when that has been done, or the job has returned and is about to be delivered; or a negative
 * errno: written off, and there is no substitute.
 */
int workers_write_off(Workers *workers, Job *job);
