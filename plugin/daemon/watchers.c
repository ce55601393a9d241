/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A watcher is told either how all stands (initial), or, if it says where it was and the change log
 * reaches back to there, what it missed; then an entry without an assignment, from which it is up
 * to date; then every change. `sequence` is always what it would resume from: 0 before it has all
 * of the initial state, so that a connection that breaks in there begins anew.
 *
 * The initial state goes out in as many pieces as the watcher takes to read it. What changes
 * meanwhile is told at once, as part of it: an assignment that comes again takes the former's
 * place.
 *
 * A watcher of one domain is told now and then, by an entry without an assignment, that the
 * sequence has gone on without it: else the log would no longer reach back to the last that it
 * knows.
 *
 * A watcher that does not read is dropped by the server. Nothing is lost in silence: a change that
 * cannot be told (no memory) ends all calls, and nobody can resume from before it.
 *
 * Until somebody watches for the first time nobody knows a sequence to resume from, so changes are
 * counted and nothing else.
 */
#include "daemon/watchers.h"

#include "daemon/change-log.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

/* More of the initial state is told only when that has been read; changes may still come on top. */
#define WAITING_MAX (VARLINK_OUTPUT_MAX / 4)

typedef struct Watcher Watcher;

struct Watcher {
	Watchers *watchers;
	VarlinkCall *call;
	char *domain;	   /* name or UUID; NULL: all */
	bool beginning;	   /* it does not have all of the initial state yet */
	uint32_t position; /* of the walk over it */
	uint64_t taken;	   /* change_log_taken() when it was told something last */
	Watcher *next;
};

struct Watchers {
	Tdid *tdid;
	ChangeLog *log;
	Watcher *first;
	size_t n;
	bool watched; /* by anybody, ever */
};

int watchers_new(Watchers **ret, Tdid *tdid)
{
	Watchers *watchers = calloc(1, sizeof(*watchers));
	int r;

	if (!watchers)
		return -ENOMEM;
	watchers->tdid = tdid;
	r = change_log_new(&watchers->log);
	if (r < 0) {
		free(watchers);
		return r;
	}
	*ret = watchers;
	return 0;
}

static void watcher_free(Watcher *watcher)
{
	Watcher **link = &watcher->watchers->first;

	while (*link != watcher)
		link = &(*link)->next;
	*link = watcher->next;
	watcher->watchers->n--;
	varlink_call_on_gone(watcher->call, NULL, NULL);
	varlink_call_on_drained(watcher->call, NULL, NULL);
	varlink_call_unref(watcher->call);
	free(watcher->domain);
	free(watcher);
}

Watchers *watchers_free(Watchers *watchers)
{
	if (!watchers)
		return NULL;
	while (watchers->first)
		watcher_free(watchers->first);
	change_log_free(watchers->log);
	free(watchers);
	return NULL;
}

size_t watchers_count(const Watchers *watchers)
{
	return watchers->n;
}

uint64_t watchers_sequence(const Watchers *watchers)
{
	return change_log_sequence(watchers->log);
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	watcher_free(userdata);
}

/* `assignment` (may be NULL) is borrowed. A client that is gone, or dropped, follows by on_gone. */
static int tell(Watcher *watcher, uint64_t sequence, bool initial, json_object *assignment,
		bool removed)
{
	int r = varlink_call_notifyb(
		watcher->call, J_STRING("instance", change_log_instance(watcher->watchers->log)),
		J_INT("sequence", (int64_t)sequence), J_BOOL("initial", initial),
		J_REF("assignment", assignment), J_BOOL_IF(removed, "removed", true));

	watcher->taken = change_log_taken(watcher->watchers->log);
	return r == -ECONNRESET || r == -ENOBUFS ? 0 : r;
}

/* --- the beginning of a call --- */

/* As much of the initial state as may wait; on_drained goes on. */
static int tell_standing(Watcher *watcher)
{
	Watchers *watchers = watcher->watchers;
	Assignment *a;
	int r = 0;

	while (r >= 0 && varlink_call_waiting(watcher->call) < WAITING_MAX) {
		_cleanup_(json_unrefp) json_object *o = NULL;

		a = registry_next_assignment(watchers->tdid->registry, &watcher->position);
		if (!a) {
			watcher->beginning = false;
			return tell(watcher, change_log_sequence(watchers->log), true, NULL, false);
		}
		if (!assignment_view_is_of(a, watcher->domain))
			continue;
		r = assignment_view_to_json(watchers->tdid, a, NULL, &o);
		if (r >= 0)
			r = tell(watcher, 0, true, o, false);
	}
	return r;
}

static void on_drained(VarlinkCall *call, void *userdata)
{
	Watcher *watcher = userdata;
	int r = watcher->beginning ? tell_standing(watcher) : 0;

	if (r < 0) {
		log_error("Monitor: what stands cannot be told: %s", strerror(-r));
		watcher_free(watcher);
	}
}

static int tell_missed(Watcher *watcher, uint64_t since)
{
	const Change *change;
	int r = 0;

	while (r >= 0 && (change = change_log_at(watcher->watchers->log, ++since))) {
		_cleanup_(json_unrefp) json_object *o = NULL;

		if (!assignment_view_domain_is(watcher->domain, change->domain,
					       change->domain_name))
			continue;
		r = json_parse(&o, change->text, strlen(change->text), NULL);
		if (r >= 0)
			r = tell(watcher, change->sequence, false, o, change->removed);
	}
	return r;
}

static int begin(Watcher *watcher, const char *instance, uint64_t since)
{
	const ChangeLog *log = watcher->watchers->log;
	bool resume = instance && strcmp(instance, change_log_instance(log)) == 0 &&
		      change_log_reaches(log, since);
	int r;

	if (!resume) {
		watcher->beginning = true;
		return tell_standing(watcher);
	}
	r = tell_missed(watcher, since);
	return r < 0 ? r : tell(watcher, change_log_sequence(log), false, NULL, false);
}

int watchers_take(Watchers *watchers, VarlinkCall *call, json_object *parameters)
{
	const char *domain = json_get_string(parameters, "domain");
	const char *instance = json_get_string(parameters, "instance");
	int64_t since = json_get_int(parameters, "since", INT64_MIN);
	Watcher *watcher;
	int r;

	/* A number of no instance, or one that this instance has never told, is a mistake. */
	if (!instance != (since == INT64_MIN))
		return varlink_call_invalid_parameter(call, instance ? "since" : "instance");
	if (instance && (since < 0 || (strcmp(instance, change_log_instance(watchers->log)) == 0 &&
				       (uint64_t)since > change_log_sequence(watchers->log))))
		return varlink_call_invalid_parameter(call, "since");
	watcher = calloc(1, sizeof(*watcher));
	if (!watcher)
		return -ENOMEM;
	watcher->watchers = watchers;
	watcher->domain = domain ? strdup(domain) : NULL;
	watcher->call = varlink_call_ref(call);
	watcher->next = watchers->first;
	watchers->first = watcher;
	watchers->n++;
	watchers->watched = true;
	varlink_call_on_gone(call, on_gone, watcher);
	varlink_call_on_drained(call, on_drained, watcher);
	r = domain && !watcher->domain ? -ENOMEM : begin(watcher, instance, (uint64_t)since);
	if (r < 0)
		watcher_free(watcher);
	return r;
}

/* --- changes --- */

/* What they have is not all: they have to begin anew. */
static void end_all(Watchers *watchers, int r)
{
	log_error("a change cannot be told: %s. %zu Monitor calls end", strerror(-r), watchers->n);
	while (watchers->first)
		watcher_free(watchers->first);
}

static int tell_change(Watcher *watcher, const Assignment *a, json_object *o, bool removed)
{
	const ChangeLog *log = watcher->watchers->log;
	bool mine = assignment_view_is_of(a, watcher->domain);

	/* Its turn among those that stand may be over. */
	if (watcher->beginning)
		return mine ? tell(watcher, 0, true, o, removed) : 0;
	if (!mine && change_log_taken(log) - watcher->taken < CHANGE_LOG_ROOM / 2)
		return 0;
	return tell(watcher, change_log_sequence(log), false, mine ? o : NULL, mine && removed);
}

void watchers_tell(Watchers *watchers, const Assignment *a, const Moment *moment, bool removed)
{
	_cleanup_(json_unrefp) json_object *o = NULL;
	int r;

	if (!watchers->watched) {
		change_log_lose(watchers->log);
		return;
	}
	r = assignment_view_to_json(watchers->tdid, a, moment, &o);
	if (r == -ENOENT)
		return; /* the engine has not taken it: no list shows it */
	if (r < 0)
		change_log_lose(watchers->log);
	else
		r = change_log_add(watchers->log, o, removed);
	/* No callback runs in here, so that the list stays as it is. */
	for (Watcher *w = watchers->first; r >= 0 && w; w = w->next)
		r = tell_change(w, a, o, removed);
	if (r < 0)
		end_all(watchers, r);
}
