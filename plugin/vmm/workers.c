/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shop is what both sides touch: it is locked, and counted, because a worker that hangs
 * outlives the Workers: such a worker is orphaned, and what it has is then its own to free.
 */
#include "vmm/workers.h"

#include "rpc/log.h"
#include "vmm/deadline.h"
#include "vmm/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

typedef struct Shop {
	pthread_mutex_t
		lock; /* guards everything here and the members of Job and Worker so marked */
	pthread_cond_t work; /* `pending` or `closing` changed */
	pthread_cond_t left; /* a worker has left */
	TAILQ_HEAD(, Job) pending;
	Mailbox *returned;
	unsigned refs; /* one of each worker, one of the Workers */
	bool closing;
} Shop;

struct Worker {
	TAILQ_ENTRY(Worker) in_workers;
	pthread_t thread;
	Shop *shop;
	bool left;     /* shop's lock: will not touch its Worker again */
	bool orphaned; /* shop's lock: detached, frees its job and its Worker itself */
};

struct Workers {
	Shop *shop;
	TAILQ_HEAD(, Worker) workers;
	const JobType *type;
	void *userdata;
	char name[12];
};

static void shop_unref(Shop *shop)
{
	bool last;

	pthread_mutex_lock(&shop->lock);
	last = --shop->refs == 0;
	pthread_mutex_unlock(&shop->lock);
	if (!last)
		return;
	mailbox_unref(shop->returned);
	pthread_cond_destroy(&shop->left);
	pthread_cond_destroy(&shop->work);
	pthread_mutex_destroy(&shop->lock);
	free(shop);
}

static void *worker_main(void *userdata)
{
	Worker *worker = userdata;
	Shop *shop = worker->shop;
	bool ends = false, orphaned;

	pthread_mutex_lock(&shop->lock);
	while (!ends) {
		Job *job = TAILQ_FIRST(&shop->pending);

		if (shop->closing)
			break;
		if (!job) {
			pthread_cond_wait(&shop->work, &shop->lock);
			continue;
		}
		TAILQ_REMOVE(&shop->pending, job, in_pending);
		job->worker = worker;
		pthread_mutex_unlock(&shop->lock);

		job->type->work(job);

		pthread_mutex_lock(&shop->lock);
		orphaned = worker->orphaned;
		ends = job->written_off || orphaned;
		job->worker = NULL;
		if (orphaned) {
			pthread_mutex_unlock(&shop->lock);
			job->type->free(job);
			pthread_mutex_lock(&shop->lock);
		} else {
			mailbox_post(shop->returned, &job->post);
		}
	}
	orphaned = worker->orphaned;
	worker->left = true;
	pthread_cond_broadcast(&shop->left);
	pthread_mutex_unlock(&shop->lock);
	if (orphaned)
		free(worker); /* nobody joins it */
	shop_unref(shop);
	return NULL;
}

static int start_worker(Workers *workers)
{
	_cleanup_free_ Worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker)
		return -ENOMEM;
	worker->shop = workers->shop;
	pthread_mutex_lock(&workers->shop->lock);
	workers->shop->refs++;
	pthread_mutex_unlock(&workers->shop->lock);
	r = thread_start(&worker->thread, workers->name, worker_main, worker);
	if (r < 0) {
		shop_unref(workers->shop);
		return r;
	}
	TAILQ_INSERT_TAIL(&workers->workers, worker, in_workers);
	steal_ptr(worker);
	return 0;
}

/* Joins the workers that have left. */
static void reap(Workers *workers)
{
	Worker *worker = TAILQ_FIRST(&workers->workers);

	while (worker) {
		Worker *next = TAILQ_NEXT(worker, in_workers);
		bool left;

		pthread_mutex_lock(&workers->shop->lock);
		left = worker->left;
		pthread_mutex_unlock(&workers->shop->lock);
		if (left) {
			TAILQ_REMOVE(&workers->workers, worker, in_workers);
			pthread_join(worker->thread, NULL);
			free(worker);
		}
		worker = next;
	}
}

static void on_returned(Post *post, void *userdata)
{
	Job *job = (Job *)post;
	Workers *workers = userdata;

	if (job->written_off)
		reap(workers);
	job->type->returned(job, workers->userdata);
}

/* Only reached when the mailbox is shut with returned jobs in it. */
static void free_returned(Post *post)
{
	Job *job = (Job *)post;

	job->type->free(job);
}

static const MailboxType returned_type = { .deliver = on_returned, .free = free_returned };

static int shop_new(Shop **ret, sd_event *event, Workers *workers)
{
	_cleanup_free_ Shop *shop = calloc(1, sizeof(*shop));
	int r;

	if (!shop)
		return -ENOMEM;
	r = mailbox_new(&shop->returned, event, &returned_type, workers);
	if (r < 0)
		return r;
	pthread_mutex_init(&shop->lock, NULL);
	pthread_cond_init(&shop->work, NULL);
	deadline_cond_init(&shop->left);
	TAILQ_INIT(&shop->pending);
	shop->refs = 1;
	*ret = steal_ptr(shop);
	return 0;
}

/* They have no jobs yet, so they leave at once. */
static Workers *workers_free(Workers *workers)
{
	return workers_free_wait(workers, UINT64_C(1000000));
}

DEFINE_CLEANUP(Workers, workers_free);

int workers_new(Workers **ret, sd_event *event, const char *name, unsigned n, const JobType *type,
		void *userdata)
{
	_cleanup_(workers_freep) Workers *workers = calloc(1, sizeof(*workers));
	int r;

	if (!workers)
		return -ENOMEM;
	TAILQ_INIT(&workers->workers);
	workers->type = type;
	workers->userdata = userdata;
	snprintf(workers->name, sizeof(workers->name), "%s", name);
	r = shop_new(&workers->shop, event, workers);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < n; i++) {
		r = start_worker(workers);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(workers);
	return 0;
}

/* Waits for the workers to leave; those that stay in their jobs become their own masters. */
static void dismiss(Workers *workers, uint64_t wait_usec)
{
	Shop *shop = workers->shop;
	struct timespec until = deadline_from_now(wait_usec);
	unsigned n_left_behind = 0;
	Worker *worker;
	int r = 0;

	pthread_mutex_lock(&shop->lock);
	shop->closing = true;
	pthread_cond_broadcast(&shop->work);
	for (;;) {
		unsigned n = 0;

		TAILQ_FOREACH(worker, &workers->workers, in_workers)
		n += !worker->left;
		if (n == 0 || r == ETIMEDOUT)
			break;
		r = pthread_cond_timedwait(&shop->left, &shop->lock, &until);
	}
	worker = TAILQ_FIRST(&workers->workers);
	while (worker) {
		Worker *next = TAILQ_NEXT(worker, in_workers);

		if (!worker->left) {
			TAILQ_REMOVE(&workers->workers, worker, in_workers);
			pthread_detach(worker->thread);
			worker->orphaned = true;
			n_left_behind++;
		}
		worker = next;
	}
	pthread_mutex_unlock(&shop->lock);

	reap(workers);
	if (n_left_behind > 0)
		log_warning("%s: %u calls have not returned in time; their threads are left behind",
			    workers->name, n_left_behind);
}

Workers *workers_free_wait(Workers *workers, uint64_t wait_usec)
{
	Job *job;

	if (!workers)
		return NULL;
	if (workers->shop) {
		dismiss(workers, wait_usec);
		while ((job = TAILQ_FIRST(&workers->shop->pending))) {
			TAILQ_REMOVE(&workers->shop->pending, job, in_pending);
			job->type->free(job);
		}
		mailbox_shut(workers->shop->returned);
		shop_unref(workers->shop);
	}
	free(workers);
	return NULL;
}

void workers_run(Workers *workers, Job *job)
{
	job->type = workers->type;
	pthread_mutex_lock(&workers->shop->lock);
	TAILQ_INSERT_TAIL(&workers->shop->pending, job, in_pending);
	pthread_cond_signal(&workers->shop->work);
	pthread_mutex_unlock(&workers->shop->lock);
}

int workers_write_off(Workers *workers, Job *job)
{
	bool off = false;
	int r;

	pthread_mutex_lock(&workers->shop->lock);
	/* worker is NULL when it has returned and lies in the mailbox. */
	if (job->worker && !job->written_off)
		off = job->written_off = true;
	pthread_mutex_unlock(&workers->shop->lock);
	if (!off)
		return 0;
	r = start_worker(workers);
	return r < 0 ? r : 1;
}
