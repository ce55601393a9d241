/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A TDI's report counts for the bind whose generation it names. One that names none says that
 * nothing is bound; of which bind that is news only Query tells, which is asked then, or when the
 * bind under way has been answered.
 */
#include "daemon/tsm-report.h"

#include "daemon/assignments-service.h"
#include "daemon/director.h"
#include "daemon/domains.h"
#include "daemon/guest-port.h"
#include "daemon/held-timers.h"
#include "daemon/hook-service.h"

static void show_state(Tdid *tdid, Assignment *a, bool known, TdispState state)
{
	if (a->tdi_state_known == known && (!known || a->tdi_state == state))
		return;
	a->tdi_state_known = known;
	a->tdi_state = state;
	assignments_service_changed(tdid->assignments, a);
}

/* CONFIG_LOCKED is all that a TSM which cannot tell RUN has to say of a TDI that runs. */
static bool is_all_it_can_say(const Assignment *a, const EngineAssignment *e, TdispState state)
{
	return !provider_tells_state(a->dsm->provider) && e->state == ASSIGNMENT_RUNNING &&
	       state == TDISP_CONFIG_LOCKED;
}

static void report_tdi(Tdid *tdid, Assignment *a, const ProviderTdi *report, const char *reason)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

	if (is_all_it_can_say(a, e, report->state)) {
		show_state(tdid, a, true, TDISP_RUN);
		return;
	}
	show_state(tdid, a, true, report->state);
	director_event(tdid,
		       &(EngineEvent){ .type = EVENT_TDI_CHANGED,
				       .id = a->tdi->id,
				       .generation = report->generation,
				       .tdi_state = report->state,
				       .accepted = report->accepted,
				       .asks = report->asks,
				       .request = report->request },
		       reason);
}

static void on_tdi(Provider *provider, const ProviderTdi *report, const char *reason,
		   void *userdata)
{
	Tdid *tdid = userdata;
	Tdi *tdi = registry_find_tdi(tdid->registry, report->device);
	const EngineTdi *t = tdi ? engine_tdi(tdid->engine, tdi->id) : NULL;
	const EngineAssignment *e;
	Assignment *a;

	a = t && t->owner != ENGINE_NONE ? registry_assignment_at(tdid->registry, t->owner) : NULL;
	if (!a || a->dsm->provider != provider)
		return;
	if (report->generation > 0) {
		report_tdi(tdid, a, report, reason);
		return;
	}
	e = engine_assignment(tdid->engine, a->id);
	if (e->state == ASSIGNMENT_BINDING) {
		a->dsm->loss_noticed = true;
		return;
	}
	show_state(tdid, a, true, report->state);
	if (e->state == ASSIGNMENT_BOUND || e->state == ASSIGNMENT_LOCKED ||
	    e->state == ASSIGNMENT_RUNNING)
		provider_ask_again(provider);
}

static void report_no_session(Tdid *tdid, Dsm *dsm, const char *reason)
{
	const EngineDsm *e = engine_dsm(tdid->engine, dsm->id);

	if (!e)
		return;
	if (e->state == DSM_CONNECTING || e->state == DSM_RECLAIMING)
		dsm->loss_noticed = true;
	else
		director_event(tdid, &(EngineEvent){ .type = EVENT_DSM_LOST, .id = dsm->id },
			       reason);
}

/* Of one that waits for its turn, the record of who was being bound before it may be lost. */
static void report_session(Tdid *tdid, Dsm *dsm)
{
	const EngineDsm *e = engine_dsm(tdid->engine, dsm->id);

	if (e && e->state == DSM_CONNECTED)
		director_event(tdid, &(EngineEvent){ .type = EVENT_CONNECT_AHEAD, .id = dsm->id },
			       NULL);
}

static void on_dsm(Provider *provider, const ProviderDsm *report, const char *reason,
		   void *userdata)
{
	Tdid *tdid = userdata;
	Dsm *dsm = registry_find_dsm(tdid->registry, report->dsm);

	if (dsm && !report->connected)
		report_no_session(tdid, dsm, reason);
}

static int by_address(const void *a, const void *b)
{
	return bdf_order(((const ProviderTdi *)a)->device, ((const ProviderTdi *)b)->device);
}

static const ProviderTdi *find_tdi(const ProviderTdi *tdis, size_t n, Bdf device)
{
	ProviderTdi key = { .device = device };

	return n ? bsearch(&key, tdis, n, sizeof(key), by_address) : NULL;
}

static bool is_connected(const ProviderDsm *dsms, size_t n, Bdf dsm)
{
	for (size_t i = 0; i < n; i++)
		if (bdf_equal(dsms[i].dsm, dsm))
			return dsms[i].connected;
	return false;
}

/* Of one that has been bound: does the TSM still hold it? */
static void compare_tdi(Tdid *tdid, Assignment *a, const ProviderTdi *held)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);

	if (held && held->generation == e->generation) {
		report_tdi(tdid, a, held, NULL);
		return;
	}
	if (e->state == ASSIGNMENT_BINDING) {
		/* Its bind is sent again and answers for then, not for what has become of it. */
		a->dsm->loss_noticed = true;
		return;
	}
	show_state(tdid, a, true, TDISP_CONFIG_UNLOCKED);
	director_event(
		tdid,
		&(EngineEvent){
			.type = EVENT_BIND_LOST, .id = a->tdi->id, .generation = e->generation },
		held && held->bound
			? "the TSM holds it in another bind than this one: it was bound there, "
			  "not by tdid"
			: "the TSM does not hold this bind any more: it was ended there, not "
			  "by tdid");
}

static void on_ready(Provider *provider, const ProviderTdi *tdis, size_t n_tdis,
		     const ProviderDsm *dsms, size_t n_dsms, void *userdata)
{
	Tdid *tdid = userdata;
	Assignment *a;
	Dsm *dsm;
	Tvm *tvm;

	for (uint32_t p = 0; (dsm = registry_next_dsm(tdid->registry, &p));)
		if (!dsm->provider && provider_has_dsm(provider, dsm->bdf))
			dsm->provider = provider;
	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));)
		if (a->dsm->provider == provider &&
		    engine_assignment(tdid->engine, a->id)->generation > 0)
			compare_tdi(tdid, a, find_tdi(tdis, n_tdis, a->tdi->bdf));
	for (uint32_t p = 0; (dsm = registry_next_dsm(tdid->registry, &p));) {
		if (dsm->provider != provider)
			continue;
		if (is_connected(dsms, n_dsms, dsm->bdf))
			report_session(tdid, dsm);
		else
			report_no_session(tdid, dsm, "the TSM has no session with it");
	}
	operations_provider_ready(tdid->operations);
	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		guest_port_provider_ready(tvm->port);
	domains_read_all(tdid);
	hook_service_provider_ready(tdid->hook);
	held_timers_look(tdid);
}

/* Until it is back nobody knows what state a TDI is in. */
static void on_lost(Provider *provider, const char *reason, void *userdata)
{
	Tdid *tdid = userdata;
	Assignment *a;

	for (uint32_t p = 0; (a = registry_next_assignment(tdid->registry, &p));)
		if (a->dsm->provider == provider)
			show_state(tdid, a, false, TDISP_CONFIG_UNLOCKED);
}

const ProviderHandlers tsm_report_handlers = {
	.ready = on_ready,
	.tdi_changed = on_tdi,
	.dsm_changed = on_dsm,
	.lost = on_lost,
};

void tsm_report_accepted(Tdid *tdid, Assignment *a, uint64_t generation)
{
	const EngineAssignment *e = engine_assignment(tdid->engine, a->id);
	const Provider *provider = a->dsm->provider;

	if (!provider || provider_tells_state(provider) || e->generation != generation ||
	    (e->state != ASSIGNMENT_BOUND && e->state != ASSIGNMENT_LOCKED &&
	     e->state != ASSIGNMENT_RUNNING))
		return;
	show_state(tdid, a, true, TDISP_RUN);
	director_event(tdid,
		       &(EngineEvent){ .type = EVENT_TDI_CHANGED,
				       .id = a->tdi->id,
				       .generation = generation,
				       .tdi_state = TDISP_RUN,
				       .accepted = true },
		       NULL);
}
