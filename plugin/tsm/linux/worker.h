/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One piece of work that may block in the kernel, in a child of its own, with a deadline.
 *
 * What the child finds it writes into memory that it shares with its parent. That memory stays
 * readable whatever becomes of the child, and tells how far it came. The child does not outlive its
 * parent, unless it cannot be killed.
 */
#pragma once

#include "core/cleanup.h"

#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

typedef struct Worker Worker;

typedef enum WorkerEnd {
	/* The job returned. */
	WORKER_DONE,
	/* Its deadline passed and it could be killed, or it died in another way: it is not inside
	 * the kernel any more. */
	WORKER_KILLED,
	/* Its deadline passed and it did not die of SIGKILL: it is inside the kernel and holds
	 * there whatever it holds. WORKER_GONE follows if it ever comes out. */
	WORKER_ABANDONED,
	WORKER_GONE,
} WorkerEnd;

typedef struct WorkerLimits {
	uint64_t deadline_usec; /* from the start to SIGKILL; 0: none */
	uint64_t grace_usec;	/* from SIGKILL to WORKER_ABANDONED */
	/* How a child is killed, by its pidfd; NULL: SIGKILL. Tests put one here that fails to. */
	void (*kill)(int pidfd);
} WorkerLimits;

typedef struct WorkerOptions {
	/* Runs in the child. Of the descriptors only 0 to 2 are open, `fd` as WORKER_FD, and
	 * `held`. */
	void (*job)(const void *input, void *shared);
	const void *input; /* borrowed, until worker_start() returns */
	size_t shared_size;
	int fd;	  /* borrowed; -1: none */
	int held; /* borrowed; stays open for as long as the child lives; -1: none */
	const WorkerLimits *limits;
	/*
	 * From the event loop. With WORKER_DONE, _KILLED and _GONE it is the last word, and the
	 * worker may be freed in it.
	 */
	void (*ended)(Worker *worker, WorkerEnd end, void *shared, void *userdata);
	void *userdata;
} WorkerOptions;

#define WORKER_FD 3

/* Negative errno: no job was begun. */
int worker_start(Worker **ret, sd_event *event, const WorkerOptions *options);

/* A child that still runs is killed, and reaped from the event loop when it has ended. */
Worker *worker_free(Worker *worker);
DEFINE_CLEANUP(Worker, worker_free);
