/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/evidence-store.h"

#include "daemon/assignments-service.h"
#include "daemon/tdid.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define FETCH_TIMEOUT_USEC (10 * UINT64_C(1000000))
#define LATER_USEC	   (50 * UINT64_C(1000))

struct EvidenceStore {
	TAILQ_HEAD(, Assignment) due; /* to be asked for, the oldest first */
	sd_event_source *later, *idle;
};

static void say_missing(const Assignment *a, const char *why)
{
	_cleanup_free_ char *object = assignment_title(a);

	log_warning("%s: evidence of bind %" PRIu64 " is not there to be shown: tsm %s: %s",
		    object ?: a->alias, a->evidence_asked,
		    a->dsm->provider ? provider_title(a->dsm->provider) : "none", why);
}

static void on_evidence(const VarlinkReply *reply, const char *error, void *userdata)
{
	Assignment *a = userdata;
	const EngineAssignment *e = engine_assignment(a->tdid->engine, a->id);

	a->evidence_call = NULL;
	if (!e || e->generation != a->evidence_asked)
		return;
	if (reply->status < 0 || error) {
		_cleanup_free_ char *why = provider_reply_reason(reply, error);

		say_missing(a, why ?: "out of memory");
		return;
	}
	json_object_put(a->evidence);
	a->evidence = json_object_get(json_get_object(reply->parameters, "evidence"));
	a->evidence_generation = a->evidence_asked;
	a->evidence_usec = boottime_usec();
}

static void ask(Assignment *a)
{
	const EngineAssignment *e = engine_assignment(a->tdid->engine, a->id);
	_cleanup_(json_unrefp) json_object *parameters = NULL;
	char device[BDF_STRING_SIZE];
	int r;

	if (!a->dsm->provider || !e || e->generation != a->evidence_asked)
		return;
	r = json_build(&parameters, J_STRING("device", bdf_format(a->tdi->bdf, device)));
	if (r >= 0)
		r = provider_call(a->dsm->provider, "io.tdid.Tsm.GetEvidence", parameters, 0,
				  FETCH_TIMEOUT_USEC, on_evidence, a, &a->evidence_call);
	if (r < 0)
		say_missing(a, strerror(-r));
}

static void forget_due(EvidenceStore *store, Assignment *a)
{
	if (!a->evidence_due)
		return;
	TAILQ_REMOVE(&store->due, a, evidence_next);
	a->evidence_due = false;
}

static int on_idle(sd_event_source *source, void *userdata)
{
	EvidenceStore *store = userdata;
	Assignment *a = TAILQ_FIRST(&store->due);

	if (!a)
		return 0;
	forget_due(store, a);
	ask(a);
	return TAILQ_EMPTY(&store->due) ? 0 : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
	EvidenceStore *store = userdata;

	return sd_event_source_set_enabled(store->idle, SD_EVENT_ONESHOT);
}

int evidence_store_new(EvidenceStore **ret, sd_event *event)
{
	EvidenceStore *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	TAILQ_INIT(&store->due);
	r = sd_event_add_defer(event, &store->idle, on_idle, store);
	if (r >= 0)
		r = sd_event_source_set_priority(store->idle, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_enabled(store->idle, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(event, &store->later, CLOCK_MONOTONIC, 0, LATER_USEC / 10,
				      on_later, store);
	if (r >= 0)
		r = sd_event_source_set_enabled(store->later, SD_EVENT_OFF);
	if (r < 0) {
		evidence_store_free(store);
		return r;
	}
	*ret = store;
	return 0;
}

EvidenceStore *evidence_store_free(EvidenceStore *store)
{
	if (!store)
		return NULL;
	sd_event_source_disable_unref(store->later);
	sd_event_source_disable_unref(store->idle);
	free(store);
	return NULL;
}

static bool is_armed(const EvidenceStore *store)
{
	return sd_event_source_get_enabled(store->later, NULL) > 0 ||
	       sd_event_source_get_enabled(store->idle, NULL) > 0;
}

/*
 * A little later, and when there is nothing else to do: it is for those who ask later, and no verb
 * waits for it, not even in the provider.
 */
void evidence_store_fetch(Assignment *a, uint64_t generation)
{
	EvidenceStore *store = a->tdid->evidence;
	int r = 0;

	a->evidence_call = provider_call_forget(a->evidence_call);
	a->evidence_asked = generation;
	if (a->evidence_due)
		return;
	if (!is_armed(store)) {
		r = sd_event_source_set_time_relative(store->later, LATER_USEC);
		if (r >= 0)
			r = sd_event_source_set_enabled(store->later, SD_EVENT_ONESHOT);
	}
	if (r < 0) {
		say_missing(a, strerror(-r));
		return;
	}
	TAILQ_INSERT_TAIL(&store->due, a, evidence_next);
	a->evidence_due = true;
}

void evidence_store_forget(Assignment *a)
{
	forget_due(a->tdid->evidence, a);
	a->evidence_call = provider_call_forget(a->evidence_call);
	json_object_put(a->evidence);
	a->evidence = NULL;
}

bool evidence_store_is_fetching(const Assignment *a)
{
	return a->evidence_due || a->evidence_call;
}
