/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/timed-calls.h"

#include "daemon/director.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

struct TimedCalls {
	Tdid *tdid;
	TimedCallsOps ops;
	TimedCall *first;
};

int timed_calls_new(TimedCalls **ret, Tdid *tdid, const TimedCallsOps *ops)
{
	TimedCalls *calls = calloc(1, sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	calls->tdid = tdid;
	if (ops)
		calls->ops = *ops;
	*ret = calls;
	return 0;
}

static void end(TimedCall *waiting)
{
	TimedCall **link = &waiting->calls->first;

	while (*link != waiting)
		link = &(*link)->next;
	*link = waiting->next;
	sd_event_source_disable_unref(waiting->timer);
	varlink_call_on_gone(waiting->call, NULL, NULL);
	varlink_call_unref(waiting->call);
	free(waiting);
}

TimedCalls *timed_calls_free(TimedCalls *calls)
{
	if (!calls)
		return NULL;
	while (calls->first)
		end(calls->first);
	free(calls);
	return NULL;
}

static void answered(TimedCall *waiting, int r)
{
	if (r < 0 && r != -ECONNRESET)
		log_error("%s: cannot be answered: %s", varlink_call_method(waiting->call),
			  strerror(-r));
	end(waiting);
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	TimedCall *waiting = userdata;
	TimedCalls *calls = waiting->calls;
	const void *object = waiting->object;

	end(waiting);
	if (calls->ops.gone)
		calls->ops.gone(calls->tdid, object);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	TimedCall *waiting = userdata;

	answered(waiting, waiting->calls->ops.timed_out(waiting->calls->tdid, waiting));
	return 0;
}

int timed_calls_add(TimedCalls *calls, VarlinkCall *call, const void *object, int goal,
		    int64_t timeout_ms, int64_t otherwise_ms, TimedCall **ret)
{
	TimedCall *waiting = calloc(1, sizeof(*waiting));
	int r = 0;

	if (!waiting)
		return -ENOMEM;
	*waiting = (TimedCall){ .calls = calls,
				.call = call,
				.object = object,
				.goal = goal,
				.timeout_usec = (uint64_t)(timeout_ms ?: otherwise_ms) * 1000,
				.next = calls->first };
	if (waiting->timeout_usec > 0)
		r = sd_event_add_time_relative(calls->tdid->event, &waiting->timer, CLOCK_BOOTTIME,
					       waiting->timeout_usec, 1000, on_timer, waiting);
	if (r < 0) {
		free(waiting);
		return r;
	}
	varlink_call_ref(call);
	calls->first = waiting;
	varlink_call_on_gone(call, on_gone, waiting);
	if (ret)
		*ret = waiting;
	return 0;
}

void timed_calls_each(TimedCalls *calls, const void *object, TimedCallFn fn, void *userdata)
{
	TimedCall *next;

	for (TimedCall *w = calls->first; w; w = next) {
		int r;

		next = w->next;
		if (w->object != object)
			continue;
		r = fn(calls->tdid, w, userdata);
		if (r <= 0)
			answered(w, r);
	}
}

int timed_calls_begin(TimedCalls *calls, VarlinkCall *call, const void *object, Bdf bdf, Verb verb,
		      const EngineEvent *event, TimedCallFn fn)
{
	char text[BDF_STRING_SIZE];
	int r = timed_calls_add(calls, call, object, (int)verb, 0, 0, NULL);

	if (r < 0)
		return r;
	log_info("%s %s: asked for by uid %u", verb_name(verb), bdf_format(bdf, text),
		 (unsigned)varlink_call_peer(call)->uid);
	director_event(calls->tdid, event, NULL);
	/* Should the engine not have taken it, nothing else would answer. */
	timed_calls_each(calls, object, fn, NULL);
	return 0;
}

bool timed_calls_any(const TimedCalls *calls, const void *object)
{
	for (const TimedCall *w = calls->first; w; w = w->next)
		if (w->object == object)
			return true;
	return false;
}

void timed_calls_move(TimedCalls *calls, const void *from, const void *to)
{
	for (TimedCall *w = calls->first; w; w = w->next)
		if (w->object == from)
			w->object = to;
}
