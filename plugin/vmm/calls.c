/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loop's thread decides, the workers only work. A call goes
 *
 *   queued   in its key's queue. A key that has queued calls and none running stands in `ready`.
 *   running  taken from the key at the head of `ready` whenever fewer than n_slots run, and given
 *            to the workers.
 *   returned the loop answers it, unless its deadline did, and frees it.
 *
 * Because a key joins `ready` at its end, and again only when its call has returned, keys with long
 * queues do not delay the others. A deadline that passes while a call runs marks the key stuck and
 * answers everything queued under it; the slot stays taken until the call returns or is written
 * off.
 *
 * A key whose next call is slow is passed over while as many slow ones run as may; it keeps its
 * place.
 */
#include "vmm/calls.h"

#include "vmm/workers.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>

typedef struct Key Key;
typedef struct Call Call;

struct Call {
	Job job;
	const CallType *type;
	void *data;
	Calls *calls; /* loop's thread only, like what follows */
	Key *key;
	TAILQ_ENTRY(Call) in_queue; /* of its key */
	sd_event_source *deadline;
	bool started;
	bool answered;
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

struct Calls {
	sd_event *event;
	Workers *workers;
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
};

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
		workers_run(calls->workers, &call->job);
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

static void work(Job *job)
{
	Call *call = (Call *)job;

	call->type->work(call->data);
}

static void on_returned(Job *job, void *userdata)
{
	Call *call = (Call *)job;
	Calls *calls = userdata;
	Key *key = call->key;
	char name[CALLS_MAX_KEY];
	bool was_stuck = key->stuck;

	if (!job->written_off)
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

/* What calls_free has answered. */
static void free_job(Job *job)
{
	drop_call((Call *)job);
}

static const JobType job_type = { .work = work, .returned = on_returned, .free = free_job };

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
	TAILQ_INIT(&calls->keys);
	TAILQ_INIT(&calls->ready);
	calls->event = sd_event_ref(event);
	calls->n_slots = n_slots;
	calls->userdata = userdata;
	if (handlers)
		calls->handlers = *handlers;
	r = workers_new(&calls->workers, event, name, n_slots, &job_type, calls);
	if (r < 0)
		return r;
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
		int r;

		if (!key->stuck)
			continue;
		r = workers_write_off(calls->workers, &key->running->job);
		if (r == 0)
			continue;
		leave_slot(calls, key->running, true);
		if (r < 0) {
			calls->n_slots--;
			result = r;
		}
	}
	start_ready(calls);
	return result;
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
	workers_free_wait(calls->workers, wait_usec);
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
