/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop's thread decides, the workers only work. A call goes
 *
 *   queued   in its key's queue. A key that has queued calls and none running stands in `ready`.
 *   running  taken from the key at the head of `ready` whenever fewer than n_slots run, and put
 *            into the shop, where an idle worker finds it.
 *   returned the worker posts it; the loop answers it, unless its deadline did, and frees it.
 *
 * Because a key joins `ready` at its end, and again only when its call has returned, keys with long
 * queues do not delay the others. A deadline that passes while a call runs marks the key stuck and
 * answers everything queued under it; the slot stays taken until the call returns or is written
 * off. A worker whose call was written off has a substitute, so it ends when the call returns.
 *
 * A key whose next call is slow is passed over while as many slow ones run as may; it keeps its
 * place.
 *
 * The shop is what both sides touch: it is locked, and counted, because a worker that hangs
 * outlives the Calls: such a worker is orphaned, and what it has is then its own to free.
 */
#include "vmm/calls.h"

#include "rpc/log.h"
#include "vmm/deadline.h"
#include "vmm/mailbox.h"
#include "vmm/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

typedef struct Worker Worker;
typedef struct Key Key;
typedef struct Call Call;

struct Call {
	Post post; /* when returned */
	const CallType *type;
	void *data;
	Calls *calls; /* loop's thread only, like the members up to `answered` */
	Key *key;
	TAILQ_ENTRY(Call) in_queue; /* of its key */
	sd_event_source *deadline;
	bool started;
	bool answered;

	TAILQ_ENTRY(Call) in_shop;
	Worker *worker;	  /* who runs it; shop's lock */
	bool written_off; /* shop's lock */
};

struct Key {
	TAILQ_ENTRY(Key) in_keys;
	TAILQ_ENTRY(Key) in_ready;
	TAILQ_HEAD(, Call) queue;
	Call *running;
	bool stuck;
	bool is_ready;
	char name[CALLS_MAX_KEY];
};

typedef struct Shop {
	pthread_mutex_t
		lock; /* guards everything here and the members of Call and Worker so marked */
	pthread_cond_t work; /* `pending` or `closing` changed */
	pthread_cond_t left; /* a worker has left */
	TAILQ_HEAD(, Call) pending;
	Mailbox *returned;
	unsigned refs; /* one of each worker, one of the Calls */
	bool closing;
} Shop;

struct Worker {
	TAILQ_ENTRY(Worker) in_workers;
	pthread_t thread;
	Shop *shop;
	bool left;     /* shop's lock: will not touch its Worker again */
	bool orphaned; /* shop's lock: detached, frees its call and its Worker itself */
};

struct Calls {
	sd_event *event;
	Shop *shop;
	TAILQ_HEAD(, Worker) workers;
	TAILQ_HEAD(, Key) keys;
	TAILQ_HEAD(, Key) ready;
	unsigned n_slots;
	unsigned n_running; /* without those written off */
	unsigned n_queued;
	unsigned n_stuck;	       /* keys, with those written off */
	unsigned n_stuck_slots;	       /* without */
	unsigned n_slow, n_stuck_slow; /* of those that run, or are stuck in their slots */
	bool closing;
	CallsHandlers handlers;
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
		Call *call = TAILQ_FIRST(&shop->pending);

		if (shop->closing)
			break;
		if (!call) {
			pthread_cond_wait(&shop->work, &shop->lock);
			continue;
		}
		TAILQ_REMOVE(&shop->pending, call, in_shop);
		call->worker = worker;
		pthread_mutex_unlock(&shop->lock);

		call->type->work(call->data);

		pthread_mutex_lock(&shop->lock);
		orphaned = worker->orphaned;
		ends = call->written_off || orphaned;
		call->worker = NULL;
		if (orphaned) {
			pthread_mutex_unlock(&shop->lock);
			call->type->free(call->data);
			free(call);
			pthread_mutex_lock(&shop->lock);
		} else {
			mailbox_post(shop->returned, &call->post);
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

static int start_worker(Calls *calls)
{
	_cleanup_free_ Worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker)
		return -ENOMEM;
	worker->shop = calls->shop;
	pthread_mutex_lock(&calls->shop->lock);
	calls->shop->refs++;
	pthread_mutex_unlock(&calls->shop->lock);
	r = thread_start(&worker->thread, calls->name, worker_main, worker);
	if (r < 0) {
		shop_unref(calls->shop);
		return r;
	}
	TAILQ_INSERT_TAIL(&calls->workers, worker, in_workers);
	steal_ptr(worker);
	return 0;
}

/* Joins the workers that have left. Returns how many are still in a call. */
static unsigned reap_workers(Calls *calls)
{
	Worker *worker = TAILQ_FIRST(&calls->workers);
	unsigned n = 0;

	while (worker) {
		Worker *next = TAILQ_NEXT(worker, in_workers);
		bool left;

		pthread_mutex_lock(&calls->shop->lock);
		left = worker->left;
		pthread_mutex_unlock(&calls->shop->lock);
		if (left) {
			TAILQ_REMOVE(&calls->workers, worker, in_workers);
			pthread_join(worker->thread, NULL);
			free(worker);
		} else {
			n++;
		}
		worker = next;
	}
	return n;
}

static Key *find_key(const Calls *calls, const char *name)
{
	Key *key;

	TAILQ_FOREACH(key, &calls->keys, in_keys)
	if (strcmp(key->name, name) == 0)
		return key;
	return NULL;
}

static Key *get_key(Calls *calls, const char *name)
{
	Key *key = find_key(calls, name);

	if (key)
		return key;
	key = calloc(1, sizeof(*key));
	if (!key)
		return NULL;
	strcpy(key->name, name);
	TAILQ_INIT(&key->queue);
	TAILQ_INSERT_TAIL(&calls->keys, key, in_keys);
	return key;
}

/* Puts the key where its calls say that it belongs. */
static void settle_key(Calls *calls, Key *key)
{
	bool ready = !key->running && !TAILQ_EMPTY(&key->queue);

	if (ready && !key->is_ready)
		TAILQ_INSERT_TAIL(&calls->ready, key, in_ready);
	else if (!ready && key->is_ready)
		TAILQ_REMOVE(&calls->ready, key, in_ready);
	key->is_ready = ready;
	if (!key->running && TAILQ_EMPTY(&key->queue)) {
		TAILQ_REMOVE(&calls->keys, key, in_keys);
		free(key);
	}
}

static unsigned max_slow(const Calls *calls)
{
	return calls->n_slots > CALLS_SPARE_SLOTS ? calls->n_slots - CALLS_SPARE_SLOTS : 1;
}

/* The first key in line whose call may start. */
static Key *next_ready(const Calls *calls)
{
	Key *key;

	TAILQ_FOREACH(key, &calls->ready, in_ready)
	if (!TAILQ_FIRST(&key->queue)->type->slow || calls->n_slow < max_slow(calls))
		return key;
	return NULL;
}

static void start_ready(Calls *calls)
{
	while (calls->n_running < calls->n_slots) {
		Key *key = next_ready(calls);
		Call *call;

		if (!key)
			return;
		call = TAILQ_FIRST(&key->queue);
		TAILQ_REMOVE(&key->queue, call, in_queue);
		calls->n_queued--;
		calls->n_running++;
		calls->n_slow += call->type->slow;
		key->running = call;
		call->started = true;
		settle_key(calls, key);
		pthread_mutex_lock(&calls->shop->lock);
		TAILQ_INSERT_TAIL(&calls->shop->pending, call, in_shop);
		pthread_cond_signal(&calls->shop->work);
		pthread_mutex_unlock(&calls->shop->lock);
	}
}

static void answer(Call *call, int r)
{
	call->deadline = sd_event_source_disable_unref(call->deadline);
	if (call->answered)
		return;
	call->answered = true;
	call->type->done(r, call->started, call->data);
}

static void drop_call(Call *call)
{
	call->deadline = sd_event_source_disable_unref(call->deadline);
	call->type->free(call->data);
	free(call);
}

/* Answers all that is queued under the key. What an answer queues in turn is not touched. */
static void fail_queued(Calls *calls, Key *key, int r)
{
	TAILQ_HEAD(, Call) failed = TAILQ_HEAD_INITIALIZER(failed);
	Call *call;

	TAILQ_CONCAT(&failed, &key->queue, in_queue);
	TAILQ_FOREACH(call, &failed, in_queue)
	calls->n_queued--;
	while ((call = TAILQ_FIRST(&failed))) {
		TAILQ_REMOVE(&failed, call, in_queue);
		answer(call, r);
		drop_call(call);
	}
}

/* By this one, which is stuck now. */
static bool is_exhausted(const Calls *calls, const CallType *type)
{
	return calls->n_stuck_slots == calls->n_slots ||
	       (type->slow && calls->n_stuck_slow == max_slow(calls));
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	Call *call = userdata;
	Calls *calls = call->calls;
	Key *key = call->key;

	if (!call->started) {
		TAILQ_REMOVE(&key->queue, call, in_queue);
		calls->n_queued--;
		settle_key(calls, key);
		answer(call, -ETIMEDOUT);
		drop_call(call);
		return 0;
	}
	key->stuck = true;
	calls->n_stuck++;
	calls->n_stuck_slots++;
	calls->n_stuck_slow += call->type->slow;
	answer(call, -ETIMEDOUT);
	fail_queued(calls, key, -EHOSTUNREACH);
	settle_key(calls, key);
	if (is_exhausted(calls, call->type) && calls->handlers.exhausted)
		calls->handlers.exhausted(calls->userdata);
	return 0;
}

static void leave_slot(Calls *calls, const Call *call, bool was_stuck)
{
	calls->n_running--;
	calls->n_slow -= call->type->slow;
	calls->n_stuck_slots -= was_stuck;
	calls->n_stuck_slow -= was_stuck && call->type->slow;
}

static void on_returned(Post *post, void *userdata)
{
	Call *call = (Call *)post;
	Calls *calls = userdata;
	Key *key = call->key;
	char name[CALLS_MAX_KEY];
	bool was_stuck = key->stuck;

	if (call->written_off)
		reap_workers(calls);
	else
		leave_slot(calls, call, was_stuck);
	calls->n_stuck -= was_stuck;
	strcpy(name, key->name);
	key->stuck = false;
	key->running = NULL;
	settle_key(calls, key);
	start_ready(calls);

	answer(call, 0);
	drop_call(call);
	if (was_stuck && calls->handlers.unstuck)
		calls->handlers.unstuck(name, calls->userdata);
}

/* Only reached when the mailbox is shut with returned calls in it: calls_free has answered them. */
static void free_returned(Post *post)
{
	drop_call((Call *)post);
}

static const MailboxType returned_type = { .deliver = on_returned, .free = free_returned };

static int shop_new(Shop **ret, sd_event *event, Calls *calls)
{
	_cleanup_free_ Shop *shop = calloc(1, sizeof(*shop));
	int r;

	if (!shop)
		return -ENOMEM;
	r = mailbox_new(&shop->returned, event, &returned_type, calls);
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

int calls_new(Calls **ret, sd_event *event, const char *name, unsigned n_slots,
	      const CallsHandlers *handlers, void *userdata)
{
	_cleanup_(calls_freep) Calls *calls = NULL;
	int r;

	if (n_slots == 0 || n_slots > CALLS_MAX_SLOTS)
		return -EINVAL;
	calls = calloc(1, sizeof(*calls));
	if (!calls)
		return -ENOMEM;
	TAILQ_INIT(&calls->workers);
	TAILQ_INIT(&calls->keys);
	TAILQ_INIT(&calls->ready);
	calls->event = sd_event_ref(event);
	calls->n_slots = n_slots;
	calls->userdata = userdata;
	if (handlers)
		calls->handlers = *handlers;
	snprintf(calls->name, sizeof(calls->name), "%s", name);
	r = shop_new(&calls->shop, event, calls);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < n_slots; i++) {
		r = start_worker(calls);
		if (r < 0)
			return r;
	}
	*ret = steal_ptr(calls);
	return 0;
}

int calls_add(Calls *calls, const char *key_name, const CallType *type, void *data,
	      uint64_t timeout_usec)
{
	Call *call;
	Key *key;
	int r;

	if (strlen(key_name) >= CALLS_MAX_KEY)
		return -EINVAL;
	if (calls->closing)
		return -ECANCELED;
	if (calls->n_queued >= CALLS_MAX_QUEUED)
		return -EAGAIN;
	if (calls_is_stuck(calls, key_name))
		return -EHOSTUNREACH;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->calls = calls;
	call->type = type;
	call->data = data;
	if (timeout_usec != CALLS_NO_DEADLINE) {
		r = sd_event_add_time_relative(calls->event, &call->deadline, CLOCK_BOOTTIME,
					       timeout_usec, 0, on_deadline, call);
		if (r < 0) {
			free(call);
			return r;
		}
	}
	key = get_key(calls, key_name);
	if (!key) {
		sd_event_source_disable_unref(call->deadline);
		free(call);
		return -ENOMEM;
	}
	call->key = key;
	TAILQ_INSERT_TAIL(&key->queue, call, in_queue);
	calls->n_queued++;
	settle_key(calls, key);
	start_ready(calls);
	return 0;
}

bool calls_is_stuck(const Calls *calls, const char *key_name)
{
	const Key *key = find_key(calls, key_name);

	return key && key->stuck;
}

unsigned calls_n_stuck(const Calls *calls)
{
	return calls->n_stuck;
}

int calls_write_off(Calls *calls)
{
	int result = 0;
	Key *key;

	TAILQ_FOREACH(key, &calls->keys, in_keys)
	{
		bool off = false;
		int r;

		if (!key->stuck)
			continue;
		pthread_mutex_lock(&calls->shop->lock);
		/* worker is NULL when it has returned and lies in the mailbox. */
		if (key->running->worker && !key->running->written_off)
			off = key->running->written_off = true;
		pthread_mutex_unlock(&calls->shop->lock);
		if (!off)
			continue;
		leave_slot(calls, key->running, true);
		r = start_worker(calls);
		if (r < 0) {
			calls->n_slots--;
			result = r;
		}
	}
	start_ready(calls);
	return result;
}

/* Waits for the workers to leave; those that stay in their calls become their own masters. */
static void dismiss_workers(Calls *calls, uint64_t wait_usec)
{
	Shop *shop = calls->shop;
	struct timespec until = deadline_from_now(wait_usec);
	unsigned n_left_behind = 0;
	Worker *worker;
	int r = 0;

	pthread_mutex_lock(&shop->lock);
	shop->closing = true;
	pthread_cond_broadcast(&shop->work);
	for (;;) {
		unsigned n = 0;

		TAILQ_FOREACH(worker, &calls->workers, in_workers)
		n += !worker->left;
		if (n == 0 || r == ETIMEDOUT)
			break;
		r = pthread_cond_timedwait(&shop->left, &shop->lock, &until);
	}
	worker = TAILQ_FIRST(&calls->workers);
	while (worker) {
		Worker *next = TAILQ_NEXT(worker, in_workers);

		if (!worker->left) {
			TAILQ_REMOVE(&calls->workers, worker, in_workers);
			pthread_detach(worker->thread);
			worker->orphaned = true;
			n_left_behind++;
		}
		worker = next;
	}
	pthread_mutex_unlock(&shop->lock);

	reap_workers(calls);
	if (n_left_behind > 0)
		log_warning("%s: %u calls have not returned in time; their threads are left behind",
			    calls->name, n_left_behind);
}

Calls *calls_free_wait(Calls *calls, uint64_t wait_usec)
{
	Key *key;

	if (!calls)
		return NULL;
	calls->closing = true;
	TAILQ_FOREACH(key, &calls->keys, in_keys)
	{
		fail_queued(calls, key, -ECANCELED);
		if (key->running)
			answer(key->running, -ECANCELED);
	}
	if (calls->shop) {
		Call *call;

		dismiss_workers(calls, wait_usec);
		while ((call = TAILQ_FIRST(&calls->shop->pending))) {
			TAILQ_REMOVE(&calls->shop->pending, call, in_shop);
			drop_call(call);
		}
		mailbox_shut(calls->shop->returned);
		shop_unref(calls->shop);
	}
	while ((key = TAILQ_FIRST(&calls->keys))) {
		TAILQ_REMOVE(&calls->keys, key, in_keys);
		free(key);
	}
	sd_event_unref(calls->event);
	free(calls);
	return NULL;
}

Calls *calls_free(Calls *calls)
{
	return calls_free_wait(calls, CALLS_FREE_WAIT_USEC);
}
