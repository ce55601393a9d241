/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One event at a time: the engine's effects are carried out in their order before the next event is
 * looked at. Records come first, in one write; they show the timelines with the marks of this step,
 * and when its timers go off.
 * Effects that fail at once (a record that cannot be written, a verb that cannot even be queued)
 * come back as events behind those that wait already.
 */
#include "daemon/director-private.h"

#include "daemon/assignments-service.h"
#include "daemon/domains.h"
#include "daemon/evidence-store.h"
#include "daemon/guest-port.h"
#include "daemon/guest-timer.h"
#include "daemon/hook-service.h"
#include "daemon/idle-timer.h"
#include "daemon/metrics.h"
#include "daemon/reason.h"
#include "daemon/records.h"
#include "daemon/retry-timer.h"
#include "rpc/event-loop.h"
#include "rpc/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define GUEST_MARKS_MAX 32

typedef struct QueuedEvent QueuedEvent;

struct QueuedEvent {
	EngineEvent event;
	char *reason;
	QueuedEvent *next;
};

struct EventQueue {
	QueuedEvent *first, **last;
	bool draining;
};

int director_new(Tdid *tdid)
{
	tdid->queue = calloc(1, sizeof(*tdid->queue));
	if (!tdid->queue)
		return -ENOMEM;
	tdid->queue->last = &tdid->queue->first;
	return 0;
}

static void queued_free(QueuedEvent *queued)
{
	free(queued->reason);
	free(queued);
}

void director_free(Tdid *tdid)
{
	if (!tdid->queue)
		return;
	while (tdid->queue->first) {
		QueuedEvent *queued = tdid->queue->first;

		tdid->queue->first = queued->next;
		queued_free(queued);
	}
	free(tdid->queue);
	tdid->queue = NULL;
}

static void log_change(const Assignment *a, AssignmentState state, uint64_t generation)
{
	_cleanup_free_ char *object = assignment_title(a);
	char device[BDF_STRING_SIZE];
	bool bad = a->reason != NULL;

	log_message(bad ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		    "%s: %s: %s (bind %" PRIu64 ", tsm: %s)%s%s", object ?: a->alias,
		    bdf_format(a->tdi->bdf, device), assignment_state_name(state), generation,
		    a->dsm->provider ? provider_title(a->dsm->provider) : "none", bad ? ": " : "",
		    bad ? a->reason : "");
}

static void say_unmarked(const Assignment *a, const char *name)
{
	_cleanup_free_ char *object = assignment_title(a);

	log_error("%s: \"%s\" is missing in its timeline: out of memory", object ?: a->alias, name);
}

void director_mark(Tdid *tdid, Assignment *a, const char *name, const char *detail)
{
	if (timeline_mark(&a->timeline, boottime_usec(), name, detail) < 0)
		say_unmarked(a, name);
	assignments_service_changed(tdid->assignments, a);
}

void director_guest_mark(Tdid *tdid, Assignment *a, const char *name, const char *detail)
{
	uint64_t generation = engine_assignment(tdid->engine, a->id)->generation;

	if (a->guest_marks_generation != generation)
		a->guest_marks = 0;
	a->guest_marks_generation = generation;
	if (a->guest_marks >= GUEST_MARKS_MAX)
		return;
	a->guest_marks++;
	director_mark(tdid, a, name, detail);
}

static void count_change(Tdid *tdid, Assignment *a, const EngineEffect *effect, EngineFault fault)
{
	const Timeline *t = &a->timeline;

	metrics_transition(tdid->metrics, effect->state, a->dsm->provider);
	if (fault != a->last_fault && fault != FAULT_NONE)
		metrics_fault(tdid->metrics, fault);
	a->last_state = effect->state;
	a->last_generation = effect->generation;
	a->last_fault = fault;
	/* A device that the domain was started with, or that met a reset, waits for a boot. */
	if (effect->state == ASSIGNMENT_RUNNING && t->n_marks > 0 &&
	    strcmp(t->marks[0].name, "device-added") == 0)
		metrics_ran(tdid->metrics, boottime_usec() - t->marks[0].at_usec);
}

static void mark_change(Tdid *tdid, const EngineEffect *effect, const char *reason)
{
	Assignment *a = registry_assignment_at(tdid->registry, effect->id);
	const EngineAssignment *e = engine_assignment(tdid->engine, effect->id);

	if (!a)
		return;
	if (e)
		reason_of_assignment(a, e, reason);
	if (effect->state == ASSIGNMENT_ATTACHED)
		assignments_service_begins(tdid->assignments, a);
	if (timeline_mark(&a->timeline, boottime_usec(), assignment_state_name(effect->state),
			  a->reason) < 0)
		say_unmarked(a, assignment_state_name(effect->state));
}

/* What the records of this step are to say beside the engine's state. */
static void put_on_record(Tdid *tdid, EngineEventType event, const EngineEffect *effect,
			  const char *reason)
{
	Assignment *a = registry_assignment_at(tdid->registry, effect->id);
	Dsm *dsm = registry_dsm_at(tdid->registry, effect->id);

	switch (effect->type) {
	case EFFECT_CHANGED: mark_change(tdid, effect, reason); break;
	case EFFECT_CONNECT: dsm_cause_of_connect(dsm, event); break;
	case EFFECT_TIMER_GUEST: guest_timer_set(a); break;
	case EFFECT_TIMER_GUEST_OFF: guest_timer_stop(a); break;
	case EFFECT_TIMER_RETRY: retry_timer_set(a); break;
	case EFFECT_TIMER_RETRY_OFF: retry_timer_stop(a); break;
	case EFFECT_TIMER_IDLE: idle_timer_set(dsm); break;
	case EFFECT_TIMER_IDLE_OFF: idle_timer_stop(dsm); break;
	default: break;
	}
}

static void on_changed(Tdid *tdid, const EngineEffect *effect)
{
	Assignment *a = registry_assignment_at(tdid->registry, effect->id);
	const EngineAssignment *e = engine_assignment(tdid->engine, effect->id);

	if (!a)
		return;
	log_change(a, effect->state, effect->generation);
	count_change(tdid, a, effect, e ? e->fault : a->last_fault);
	if (effect->state == ASSIGNMENT_RELEASED)
		director_connect_needless(a->dsm);
	if (effect->state == ASSIGNMENT_LOCKED || effect->state == ASSIGNMENT_RUNNING)
		evidence_store_fetch(a, effect->generation);
	assignments_service_state(tdid->assignments, a, effect->state, effect->generation);
	/* Begun ahead of it, or for another. */
	if (effect->state == ASSIGNMENT_CONNECTING && a->dsm->connect_started)
		director_mark(tdid, a, "device_connect started", NULL);
}

/* The last thing of a TVM that has ended takes its Tvm along; one step may forget several. */
static void forget_tvm(Tdid *tdid, Tvm *tvm)
{
	uint32_t position = 0;
	Domain *domain;

	if (!tvm || engine_tvm(tdid->engine, tvm->id))
		return;
	if (registry_next_of_tvm(tvm, &position))
		return;
	domain = tvm->domain;
	records_remove_tvm(tdid, tvm);
	registry_remove_tvm(tdid->registry, tvm);
	/* Is it off, so that nothing is left of it, or does it run in another QEMU already? */
	if (domain && !domain->tvm)
		domains_read(tdid, domain);
}

static void forget_assignment(Tdid *tdid, uint32_t id)
{
	Assignment *a = registry_assignment_at(tdid->registry, id);
	Tvm *tvm;

	if (!a)
		return;
	tvm = a->tvm;
	assignments_service_removed(tdid->assignments, a);
	registry_remove_assignment(tdid->registry, a);
	forget_tvm(tdid, tvm);
}

static void carry_out(Tdid *tdid, const EngineEffect *effect, int record)
{
	Assignment *a = registry_assignment_at(tdid->registry, effect->id);
	Dsm *dsm = registry_dsm_at(tdid->registry, effect->id);

	switch (effect->type) {
	case EFFECT_PERSIST_TDI:
	case EFFECT_PERSIST_DSM: break;
	case EFFECT_PERSIST_ASSIGNMENT:
		if (a)
			director_bind_needless(a);
		break;
	case EFFECT_FORGET_ASSIGNMENT: forget_assignment(tdid, effect->id); break;
	case EFFECT_CONNECT: director_submit(tdid, VERB_CONNECT, effect, record, false); break;
	case EFFECT_RECLAIM: director_submit(tdid, VERB_RECLAIM, effect, record, false); break;
	case EFFECT_BIND: director_submit(tdid, VERB_BIND, effect, record, false); break;
	case EFFECT_LOCK: director_submit(tdid, VERB_LOCK, effect, record, false); break;
	case EFFECT_START: director_submit(tdid, VERB_START, effect, record, false); break;
	case EFFECT_CLEAR: director_submit(tdid, VERB_CLEAR, effect, record, false); break;
	case EFFECT_UNBIND:
		if (a)
			operations_call_off(tdid->operations, a->dsm, a);
		director_submit(tdid, VERB_UNBIND, effect, record, false);
		break;
	case EFFECT_LOOK: domains_look(tdid, a); break;
	case EFFECT_DETACH: domains_detach(tdid, a); break;
	case EFFECT_TELL_LOCKED: guest_port_tell_locked(a, effect->generation); break;
	case EFFECT_TELL_WITHDRAWN:
		guest_port_tell_withdrawn(a, effect->generation, a->reason ?: "released");
		break;
	case EFFECT_TIMER_GUEST: guest_timer_start(a); break;
	case EFFECT_TIMER_RETRY: retry_timer_start(a); break;
	case EFFECT_TIMER_IDLE: idle_timer_start(dsm); break;
	case EFFECT_TIMER_GUEST_OFF:
	case EFFECT_TIMER_RETRY_OFF:
	case EFFECT_TIMER_IDLE_OFF: break; /* put_on_record */
	case EFFECT_CHANGED: on_changed(tdid, effect); break;
	case EFFECT_TVM_QUIET: hook_service_tvm_quiet(tdid->hook); break;
	case EFFECT_N_TYPES: break;
	}
}

/* The DSM that the event may move, or NULL. */
static Dsm *dsm_of(Tdid *tdid, const EngineEvent *event)
{
	switch (event->type) {
	case EVENT_APPEARED: return registry_dsm_at(tdid->registry, event->dsm);
	case EVENT_DSM_LOST:
	case EVENT_CONNECT_DONE:
	case EVENT_RECLAIM_DONE:
	case EVENT_IDLE_TIMEOUT:
	case EVENT_CONNECT_REQUESTED:
	case EVENT_CONNECT_AHEAD:
	case EVENT_RECLAIM_REQUESTED: return registry_dsm_at(tdid->registry, event->id);
	default: return NULL;
	}
}

/* The TDI whose quarantine the event may begin or end, or NULL. */
static Tdi *tdi_of(Tdid *tdid, const EngineEvent *event)
{
	const Assignment *a;

	switch (event->type) {
	case EVENT_BIND_DONE:
	case EVENT_UNBIND_DONE:
		a = registry_assignment_at(tdid->registry, event->id);
		return a ? a->tdi : NULL;
	case EVENT_CLEAR_REQUESTED:
	case EVENT_CLEAR_DONE: return registry_tdi_at(tdid->registry, event->id);
	default: return NULL;
	}
}

static TdiState tdi_state_of(const Tdid *tdid, const Tdi *tdi)
{
	const EngineTdi *e = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;

	return e ? e->state : TDI_KNOWN;
}

static void step(Tdid *tdid, const EngineEvent *event, const char *reason)
{
	Dsm *dsm = dsm_of(tdid, event);
	const EngineDsm *e = dsm ? engine_dsm(tdid->engine, dsm->id) : NULL;
	DsmState before = e ? e->state : DSM_IDLE;
	bool pinned_before = e && e->pinned;
	Tdi *tdi = tdi_of(tdid, event);
	TdiState tdi_before = tdi_state_of(tdid, tdi);
	_cleanup_free_ char *held = NULL;
	const EngineEffect *effects;
	int record;
	size_t n;
	int r = engine_step(tdid->engine, event, &effects, &n);

	e = dsm ? engine_dsm(tdid->engine, dsm->id) : NULL;
	if (e && e->state != before)
		reason_of_dsm(dsm, event->type == EVENT_APPEARED ? NULL : reason);
	if (e && e->pinned && !pinned_before)
		dsm->pinned_by = dsm->asked_by;
	if (tdi && tdi_state_of(tdid, tdi) != tdi_before)
		reason_of_tdi(tdi, tdi_state_of(tdid, tdi), reason);
	if (r < 0) {
		log_error("engine: %s of %" PRIu32 " refused: %s", engine_event_name(event->type),
			  event->id, strerror(-r));
		return;
	}
	if (event->type == EVENT_LOOKED &&
	    engine_assignment(tdid->engine, event->id)->state == ASSIGNMENT_HELD)
		reason = held = reason_of_hold(registry_assignment_at(tdid->registry, event->id));
	for (size_t i = 0; i < n; i++)
		put_on_record(tdid, event->type, &effects[i], reason);
	record = director_persist(tdid, effects, n, reason);
	for (size_t i = 0; i < n; i++)
		carry_out(tdid, &effects[i], record);
	if (event->type == EVENT_TVM_ENDED)
		forget_tvm(tdid, registry_tvm_at(tdid->registry, event->id));
	if (dsm)
		assignments_service_dsm_changed(tdid->assignments, dsm);
	if (tdi)
		assignments_service_tdi_changed(tdid->assignments, tdi);
}

void director_event(Tdid *tdid, const EngineEvent *event, const char *reason)
{
	EventQueue *queue = tdid->queue;
	QueuedEvent *queued = calloc(1, sizeof(*queued));

	if (!queued) {
		log_error("engine: %s lost: out of memory", engine_event_name(event->type));
		return;
	}
	queued->event = *event;
	queued->reason = reason ? strdup(reason) : NULL;
	*queue->last = queued;
	queue->last = &queued->next;
	if (queue->draining)
		return;
	queue->draining = true;
	while ((queued = queue->first)) {
		queue->first = queued->next;
		if (!queue->first)
			queue->last = &queue->first;
		step(tdid, &queued->event, queued->reason);
		queued_free(queued);
	}
	queue->draining = false;
}

void director_connect_ahead(Tdid *tdid, const ExpectedDevice *expected)
{
	Dsm *dsm;

	if (bdf_equal(expected->device, expected->dsm))
		return;
	if (registry_dsm(tdid->registry, expected->dsm, &dsm) < 0)
		return;
	if (!dsm->provider)
		dsm->provider = expected->provider;
	dsm_cause_set_device(&dsm->expected, expected->domain, expected->domain_name,
			     expected->alias);
	director_event(tdid, &(EngineEvent){ .type = EVENT_CONNECT_AHEAD, .id = dsm->id }, NULL);
}
