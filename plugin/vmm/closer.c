/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread for each closing, because each can hang for as long as libvirtd, or a guest that does
 * not read its port, wants; the others are not to wait for it. There are as many at most as there
 * were connections.
 */
#include "vmm/closer.h"

#include "rpc/log.h"
#include "vmm/deadline.h"
#include "vmm/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct Closer {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned refs;
	unsigned n_running;
};

typedef struct Closing {
	Closer *closer;
	void (*work)(void *data);
	void *data;
} Closing;

int closer_new(Closer **ret)
{
	Closer *closer = calloc(1, sizeof(*closer));

	if (!closer)
		return -ENOMEM;
	pthread_mutex_init(&closer->lock, NULL);
	deadline_cond_init(&closer->done);
	closer->refs = 1;
	*ret = closer;
	return 0;
}

Closer *closer_ref(Closer *closer)
{
	pthread_mutex_lock(&closer->lock);
	closer->refs++;
	pthread_mutex_unlock(&closer->lock);
	return closer;
}

Closer *closer_unref(Closer *closer)
{
	bool last;

	if (!closer)
		return NULL;
	pthread_mutex_lock(&closer->lock);
	last = --closer->refs == 0;
	pthread_mutex_unlock(&closer->lock);
	if (!last)
		return NULL;
	pthread_cond_destroy(&closer->done);
	pthread_mutex_destroy(&closer->lock);
	free(closer);
	return NULL;
}

static void closing_ends(Closer *closer)
{
	pthread_mutex_lock(&closer->lock);
	closer->n_running--;
	pthread_cond_broadcast(&closer->done);
	pthread_mutex_unlock(&closer->lock);
	closer_unref(closer);
}

static void *closing_main(void *userdata)
{
	Closing *closing = userdata;
	Closer *closer = closing->closer;

	closing->work(closing->data);
	free(closing);
	closing_ends(closer);
	return NULL;
}

void closer_run(Closer *closer, void (*work)(void *data), void *data)
{
	Closing *closing = malloc(sizeof(*closing));
	pthread_t thread;
	int r = -ENOMEM;

	if (closing) {
		*closing = (Closing){ .closer = closer_ref(closer), .work = work, .data = data };
		pthread_mutex_lock(&closer->lock);
		closer->n_running++;
		pthread_mutex_unlock(&closer->lock);
		r = thread_start(&thread, "vmm-close", closing_main, closing);
		if (r == 0) {
			pthread_detach(thread);
			return;
		}
		closing_ends(closer);
		free(closing);
	}
	log_warning("libvirt: a connection stays open, no thread to close it: %s", strerror(-r));
}

Closer *closer_free_wait(Closer *closer, uint64_t wait_usec)
{
	struct timespec until = deadline_from_now(wait_usec);
	int r = 0;

	if (!closer)
		return NULL;
	pthread_mutex_lock(&closer->lock);
	while (closer->n_running > 0 && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&closer->done, &closer->lock, &until);
	if (closer->n_running > 0)
		log_warning("libvirt: %u connections have not closed in time; their threads are "
			    "left behind",
			    closer->n_running);
	pthread_mutex_unlock(&closer->lock);
	return closer_unref(closer);
}
