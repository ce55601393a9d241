/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All operations under way are in one list, in the order in which they came:
 *
 *	queued --no earlier one of its queue is left--> started --time is over--> run, done
 *	queued --cancel--> done
 *
 * When one is done, the first queued one of its queue starts that does not yield, or the first.
 * Done ones leave the list; those with an id leave their outcome in a ring. Watchers are told while
 * the list is consistent, and may unwatch, but not submit or cancel, from within.
 */
#include "tsm/common/operations.h"

#include <errno.h>
#include <string.h>

/* sd-event may else fire up to 250 ms late to save wake-ups. */
#define TIMER_ACCURACY_USEC 1000

typedef struct Watcher {
	struct Watcher *next;
	OperationWatch watch;
	void *watcher;
} Watcher;

typedef struct Operation {
	struct Operation *next;
	Operations *operations;
	char *id, *verb, *device, *parameters;
	uint32_t queue;
	OperationProgress progress;
	bool yields, hangs;
	sd_event_source *timer;
	Watcher *watchers;
	uint64_t (*start)(void *userdata);
	void (*run)(void *userdata, OperationOutcome *ret);
	void (*free)(void *userdata);
	void *userdata;
} Operation;

/* verb NULL: cancelled before it ever came. */
typedef struct Finished {
	char *id, *verb, *parameters;
	OperationOutcome outcome;
} Finished;

struct Operations {
	sd_event *event;
	Operation *first;
	size_t n_with_id, n_anonymous;
	Finished *finished; /* a ring of OPERATIONS_REMEMBERED */
	size_t n_finished;
	size_t oldest;
};

const char *operation_progress_name(OperationProgress progress)
{
	static const char *const names[] = { "queued", "started", "done" };

	return names[progress];
}

void operation_outcome_done(OperationOutcome *outcome)
{
	free(outcome->error);
	json_object_put(outcome->parameters);
	*outcome = (OperationOutcome){};
}

static OperationOutcome outcome_steal(OperationOutcome *outcome)
{
	OperationOutcome stolen = *outcome;

	*outcome = (OperationOutcome){};
	return stolen;
}

static void finished_done(Finished *finished)
{
	free(finished->id);
	free(finished->verb);
	free(finished->parameters);
	operation_outcome_done(&finished->outcome);
	*finished = (Finished){};
}

static void watchers_free(Watcher *w)
{
	while (w) {
		Watcher *next = w->next;

		free(w);
		w = next;
	}
}

static Operation *operation_free(Operation *o)
{
	if (!o)
		return NULL;
	sd_event_source_disable_unref(o->timer);
	watchers_free(o->watchers);
	if (o->userdata && o->free)
		o->free(o->userdata);
	free(o->id);
	free(o->verb);
	free(o->device);
	free(o->parameters);
	free(o);
	return NULL;
}

DEFINE_CLEANUP(Operation, operation_free);

int operations_new(Operations **ret, sd_event *event)
{
	_cleanup_(operations_freep) Operations *operations = calloc(1, sizeof(*operations));

	if (!operations)
		return -ENOMEM;
	operations->finished = calloc(OPERATIONS_REMEMBERED, sizeof(*operations->finished));
	if (!operations->finished)
		return -ENOMEM;
	operations->event = sd_event_ref(event);
	*ret = steal_ptr(operations);
	return 0;
}

Operations *operations_free(Operations *operations)
{
	if (!operations)
		return NULL;
	while (operations->first) {
		Operation *next = operations->first->next;

		operation_free(operations->first);
		operations->first = next;
	}
	for (size_t i = 0; operations->finished && i < OPERATIONS_REMEMBERED; i++)
		finished_done(&operations->finished[i]);
	free(operations->finished);
	sd_event_unref(operations->event);
	free(operations);
	return NULL;
}

sd_event *operations_event(const Operations *operations)
{
	return operations->event;
}

static Operation *find_active(Operations *operations, const char *id)
{
	for (Operation *o = operations->first; o; o = o->next)
		if (o->id && strcmp(o->id, id) == 0)
			return o;
	return NULL;
}

static Finished *find_finished(Operations *operations, const char *id)
{
	for (size_t i = 0; i < operations->n_finished; i++)
		if (strcmp(operations->finished[i].id, id) == 0)
			return &operations->finished[i];
	return NULL;
}

/* Takes all of *f. */
static Finished *remember(Operations *operations, Finished *f)
{
	Finished *place;

	if (operations->n_finished < OPERATIONS_REMEMBERED) {
		place = &operations->finished[operations->n_finished++];
	} else {
		place = &operations->finished[operations->oldest];
		operations->oldest = (operations->oldest + 1) % OPERATIONS_REMEMBERED;
		finished_done(place);
	}
	*place = *f;
	*f = (Finished){};
	return place;
}

static void tell(Operation *o, const OperationOutcome *outcome)
{
	Watcher *next;

	for (Watcher *w = o->watchers; w; w = next) {
		next = w->next;
		w->watch(w->watcher, o->progress, outcome);
	}
}

static void take_out(Operations *operations, Operation *o)
{
	Operation **p = &operations->first;

	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	if (o->id)
		operations->n_with_id--;
	else
		operations->n_anonymous--;
}

static void start_next(Operations *operations, uint32_t queue);

/* Ends an operation; `outcome` is taken. */
static void finish(Operation *o, OperationOutcome *outcome)
{
	Operations *operations = o->operations;
	uint32_t queue = o->queue;
	bool held_turn = o->progress == OPERATION_STARTED;

	take_out(operations, o);
	o->progress = OPERATION_DONE;
	if (o->id) {
		Finished f = {
			.id = steal_ptr(o->id),
			.verb = steal_ptr(o->verb),
			.parameters = steal_ptr(o->parameters),
			.outcome = outcome_steal(outcome),
		};

		tell(o, &remember(operations, &f)->outcome);
	} else {
		tell(o, outcome);
		operation_outcome_done(outcome);
	}
	operation_free(o);
	if (held_turn)
		start_next(operations, queue);
}

static void run(Operation *o)
{
	OperationOutcome outcome = {};

	o->run(o->userdata, &outcome);
	finish(o, &outcome);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	run(userdata);
	return 0;
}

/* Tells STARTED and sets the clock. */
static void start(Operation *o)
{
	uint64_t usec;

	o->progress = OPERATION_STARTED;
	usec = o->start ? o->start(o->userdata) : 0;
	tell(o, NULL);
	o->hangs = usec == OPERATION_HANGS;
	if (o->hangs)
		return;
	/* Never at once: whoever submitted is told the outcome after having returned. */
	if (sd_event_add_time_relative(o->operations->event, &o->timer, CLOCK_MONOTONIC, usec,
				       TIMER_ACCURACY_USEC, on_time, o) < 0) {
		OperationOutcome outcome = { .error = strdup("io.tdid.InternalError") };

		json_build(&outcome.parameters, J_STRING("message", "no memory for a timer"));
		finish(o, &outcome);
	}
}

static void start_next(Operations *operations, uint32_t queue)
{
	Operation *next = NULL;

	for (Operation *o = operations->first; o; o = o->next) {
		if (o->queue != queue)
			continue;
		if (o->progress != OPERATION_QUEUED)
			return;
		if (!next || (next->yields && !o->yields))
			next = o;
	}
	if (next)
		start(next);
}

static int add_watcher(Operation *o, OperationWatch watch, void *watcher)
{
	Watcher **p = &o->watchers, *w;

	if (!watch)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->watch = watch;
	w->watcher = watcher;
	while (*p)
		p = &(*p)->next;
	*p = w;
	return 0;
}

static int make_operation(Operation **ret, Operations *operations, const OperationRequest *request)
{
	_cleanup_(operation_freep) Operation *o = calloc(1, sizeof(*o));
	int r = 0;

	if (!o)
		return -ENOMEM;
	o->operations = operations;
	o->queue = request->queue;
	o->yields = request->yields;
	o->start = request->start;
	o->run = request->run;
	o->verb = strdup(request->verb);
	o->device = strdup(request->device);
	if (request->id) {
		o->id = strdup(request->id);
		r = json_format(&o->parameters, NULL, request->parameters);
	}
	if (r < 0 || !o->verb || !o->device || (request->id && !o->id))
		return -ENOMEM;
	*ret = steal_ptr(o);
	return 0;
}

static bool same_call(const Operation *fresh, const char *verb, const char *parameters)
{
	return strcmp(fresh->verb, verb) == 0 && strcmp(fresh->parameters, parameters) == 0;
}

/* 1: the id is known and the watcher served. */
static int join(Operations *operations, const Operation *fresh, OperationWatch watch, void *watcher)
{
	Operation *active = find_active(operations, fresh->id);
	Finished *finished = active ? NULL : find_finished(operations, fresh->id);
	int r;

	if (active) {
		if (!same_call(fresh, active->verb, active->parameters))
			return -EEXIST;
		r = add_watcher(active, watch, watcher);
		if (r == 0 && watch)
			watch(watcher, active->progress, NULL);
		return r < 0 ? r : 1;
	}
	if (!finished)
		return 0;
	if (finished->verb && !same_call(fresh, finished->verb, finished->parameters))
		return -EEXIST;
	if (watch)
		watch(watcher, OPERATION_DONE, &finished->outcome);
	return 1;
}

static int submit(Operations *operations, const OperationRequest *request, OperationWatch watch,
		  void *watcher, bool *ret_taken)
{
	_cleanup_(operation_freep) Operation *o = NULL;
	Operation **end = &operations->first;
	int r;

	if (request->id && (!*request->id || strlen(request->id) > OPERATION_ID_MAX))
		return -EINVAL;
	r = make_operation(&o, operations, request);
	if (r == 0 && o->id)
		r = join(operations, o, watch, watcher);
	if (r != 0)
		return r < 0 ? r : 0;
	if (o->id ? operations->n_with_id == OPERATIONS_MAX
		  : operations->n_anonymous == OPERATIONS_MAX_ANONYMOUS)
		return -ENOBUFS;
	r = add_watcher(o, watch, watcher);
	if (r < 0)
		return r;
	o->userdata = request->userdata;
	o->free = request->free;
	*ret_taken = true;
	if (o->id)
		operations->n_with_id++;
	else
		operations->n_anonymous++;
	while (*end)
		end = &(*end)->next;
	*end = steal_ptr(o);
	tell(*end, NULL);
	start_next(operations, request->queue);
	return 0;
}

int operations_submit(Operations *operations, const OperationRequest *request, OperationWatch watch,
		      void *watcher)
{
	bool taken = false;
	int r = submit(operations, request, watch, watcher, &taken);

	if (!taken && request->userdata && request->free)
		request->free(request->userdata);
	return r;
}

void operations_unwatch(Operations *operations, void *watcher)
{
	for (Operation *o = operations->first; o; o = o->next)
		for (Watcher **p = &o->watchers; *p;) {
			Watcher *w = *p;

			if (w->watcher == watcher) {
				*p = w->next;
				free(w);
			} else {
				p = &w->next;
			}
		}
}

int operations_cancel(Operations *operations, const char *id, OperationOutcome *outcome,
		      bool *ret_cancelled)
{
	Operation *o = find_active(operations, id);
	Finished f = {};

	*ret_cancelled = false;
	if (o && o->progress == OPERATION_QUEUED) {
		*ret_cancelled = true;
		finish(o, outcome);
		return 0;
	}
	if (o || find_finished(operations, id)) {
		operation_outcome_done(outcome);
		return 0;
	}
	f.id = strdup(id);
	if (!f.id) {
		operation_outcome_done(outcome);
		return -ENOMEM;
	}
	f.outcome = outcome_steal(outcome);
	remember(operations, &f);
	*ret_cancelled = true;
	return 0;
}

bool operations_is_queued(Operations *operations, const char *id)
{
	const Operation *o = find_active(operations, id);

	return o && o->progress == OPERATION_QUEUED;
}

static Operation *find_hanging(Operations *operations, uint32_t queue, bool all)
{
	for (Operation *o = operations->first; o; o = o->next)
		if (o->hangs && (all || o->queue == queue))
			return o;
	return NULL;
}

void operations_resume(Operations *operations, uint32_t queue, bool all)
{
	Operation *o;

	while ((o = find_hanging(operations, queue, all))) {
		o->hangs = false;
		run(o);
	}
}

bool operations_settle(Operations *operations, uint32_t queue, OperationOutcome *outcome)
{
	Operation *o = find_hanging(operations, queue, false);

	if (!o) {
		operation_outcome_done(outcome);
		return false;
	}
	finish(o, outcome);
	return true;
}

int operations_at(Operations *operations, size_t index, OperationStatus *ret)
{
	for (Operation *o = operations->first; o; o = o->next) {
		if (!o->id || index--)
			continue;
		*ret = (OperationStatus){ o->id, o->verb, o->device, o->progress };
		return 0;
	}
	return -ENOENT;
}
