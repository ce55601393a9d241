/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The engine's state is all that counts. A call that is lost, or a restart, loses nothing. */
#include "daemon/waiting-calls.h"

#include "daemon/director.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

typedef struct Entry Entry;

struct Entry {
	WaitingCalls *calls;
	WaitingCall waiting; /* with a reference of the call */
	Entry *next;
};

struct WaitingCalls {
	Tdid *tdid;
	WaitingAnswer answer;
	Entry *first;
};

int waiting_calls_new(WaitingCalls **ret, Tdid *tdid, WaitingAnswer answer)
{
	WaitingCalls *calls = calloc(1, sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	calls->tdid = tdid;
	calls->answer = answer;
	*ret = calls;
	return 0;
}

static void entry_free(Entry *entry)
{
	Entry **link = &entry->calls->first;

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	varlink_call_on_gone(entry->waiting.call, NULL, NULL);
	varlink_call_unref(entry->waiting.call);
	free(entry);
}

WaitingCalls *waiting_calls_free(WaitingCalls *calls)
{
	if (!calls)
		return NULL;
	while (calls->first)
		entry_free(calls->first);
	free(calls);
	return NULL;
}

static void on_gone(VarlinkCall *call, void *userdata)
{
	entry_free(userdata);
}

static void settle(Entry *entry)
{
	int r = entry->calls->answer(entry->calls->tdid, &entry->waiting);

	if (r > 0)
		return;
	if (r < 0 && r != -ECONNRESET)
		log_error("%s: cannot be answered: %s", verb_name(entry->waiting.verb),
			  strerror(-r));
	entry_free(entry);
}

void waiting_calls_settle(WaitingCalls *calls, const void *object)
{
	Entry *next;

	for (Entry *e = calls->first; e; e = next) {
		next = e->next;
		if (e->waiting.object == object)
			settle(e);
	}
}

int waiting_calls_begin(WaitingCalls *calls, const WaitingCall *waiting, const EngineEvent *event)
{
	Entry *entry = calloc(1, sizeof(*entry));
	char object[BDF_STRING_SIZE];

	if (!entry)
		return -ENOMEM;
	entry->calls = calls;
	entry->waiting = *waiting;
	varlink_call_ref(waiting->call);
	entry->next = calls->first;
	calls->first = entry;
	varlink_call_on_gone(waiting->call, on_gone, entry);
	log_info("%s %s: asked for by uid %u", verb_name(waiting->verb),
		 bdf_format(waiting->bdf, object), (unsigned)varlink_call_peer(waiting->call)->uid);
	director_event(calls->tdid, event, NULL);
	/* Should the engine not have taken it, nothing else would answer. */
	waiting_calls_settle(calls, waiting->object);
	return 0;
}
