/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The records of one step, which come before its other effects: in one write, so that a step of
 * many assignments is durable at once; where that fails each is tried alone.
 */
#include "daemon/director-private.h"

#include "daemon/metrics.h"
#include "daemon/reason.h"
#include "daemon/records.h"
#include "rpc/log.h"

#include <string.h>

/* Returns as store_write; what cannot be removed is no ground to refuse anything. */
static int write_one(Tdid *tdid, const EngineEffect *effect, const char *reason)
{
	const EngineAssignment *e;
	Assignment *a;

	if (effect->type == EFFECT_PERSIST_TDI)
		return records_write_tdi(tdid, registry_tdi_at(tdid->registry, effect->id));
	if (effect->type == EFFECT_PERSIST_DSM)
		return records_write_dsm(tdid, registry_dsm_at(tdid->registry, effect->id));
	a = registry_assignment_at(tdid->registry, effect->id);
	if (!a)
		return 0;
	e = engine_assignment(tdid->engine, effect->id);
	if (!e) {
		/* The last bind of its TDI would be forgotten with it. */
		if (a->tdi->unrecorded && records_write_tdi(tdid, a->tdi) != 0)
			a->tvm->littered = true;
		else
			records_remove_assignment(tdid, a);
		return 0;
	}
	reason_of_assignment(a, e, reason);
	return records_write_assignment(tdid, a);
}

static void say_unrecorded(Tdid *tdid, const EngineEffect *effect, int r)
{
	const Assignment *a = registry_assignment_at(tdid->registry, effect->id);
	const Tdi *tdi = effect->type == EFFECT_PERSIST_TDI
				 ? registry_tdi_at(tdid->registry, effect->id)
			 : a ? a->tdi
			     : NULL;
	const Dsm *dsm = registry_dsm_at(tdid->registry, effect->id);
	char object[BDF_STRING_SIZE] = "";

	if (effect->type == EFFECT_PERSIST_DSM)
		bdf_format(dsm ? dsm->bdf : (Bdf){}, object);
	else
		bdf_format(tdi ? tdi->bdf : (Bdf){}, object);
	log_error("%s: its record cannot be written to %s: %s. New connects and binds are refused "
		  "until it can",
		  object, tdid->config->records, r < 0 ? strerror(-r) : "it is not synced");
}

/* What could not be written before comes first, and by itself. False: it cannot be. */
static bool write_owed(Tdid *tdid, const EngineEffect *effects, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const Assignment *a = registry_assignment_at(tdid->registry, effects[i].id);

		if (effects[i].type == EFFECT_PERSIST_ASSIGNMENT && a &&
		    records_write_before(tdid, a) != 0)
			return false;
	}
	return true;
}

/* They may be lost. Where that is so of a removal, the TVM's record has to stay. */
static void doubt(Tdid *tdid, const EngineEffect *effects, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const Assignment *a = registry_assignment_at(tdid->registry, effects[i].id);
		Tdi *tdi = registry_tdi_at(tdid->registry, effects[i].id);

		if (effects[i].type == EFFECT_PERSIST_TDI && tdi)
			tdi->unrecorded = true;
		else if (effects[i].type == EFFECT_PERSIST_ASSIGNMENT && a &&
			 !engine_assignment(tdid->engine, a->id))
			a->tvm->littered = true;
	}
}

static bool is_recorded(const EngineEffect *records, size_t n, uint32_t dsm)
{
	for (size_t i = 0; i < n; i++)
		if (records[i].type == EFFECT_PERSIST_DSM && records[i].id == dsm)
			return true;
	return false;
}

/* All or none of them: false. *ret as store_write. */
static bool write_together(int *ret, Tdid *tdid, const EngineEffect *effects, size_t n,
			   const char *reason)
{
	int r = 0;

	if (!write_owed(tdid, effects, n))
		return false;
	store_gather(tdid->store);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = write_one(tdid, &effects[i], reason);
	if (r == 0)
		r = store_commit(tdid->store);
	else
		store_discard(tdid->store);
	if (r > 0) {
		metrics_record_failed(tdid->metrics);
		say_unrecorded(tdid, &effects[0], r);
		doubt(tdid, effects, n);
	}
	*ret = r;
	return r >= 0;
}

/*
 * The grace of a DSM may begin with an assignment's end, of which its own record tells nothing: so
 * it is written along. Without memory it is not, and after a restart that grace begins anew.
 */
static const EngineEffect *add_graces(const EngineEffect *effects, size_t n, size_t *n_records,
				      EngineEffect **ret)
{
	size_t n_engines = *n_records, n_graces = 0;
	EngineEffect *all;

	for (size_t i = n_engines; i < n; i++)
		n_graces += effects[i].type == EFFECT_TIMER_IDLE;
	all = n_graces > 0 ? calloc(n_engines + n_graces, sizeof(*all)) : NULL;
	if (!all)
		return effects;
	if (n_engines > 0)
		memcpy(all, effects, n_engines * sizeof(*all));
	for (size_t i = n_engines; i < n; i++)
		if (effects[i].type == EFFECT_TIMER_IDLE &&
		    !is_recorded(all, *n_records, effects[i].id))
			all[(*n_records)++] =
				(EngineEffect){ .type = EFFECT_PERSIST_DSM, .id = effects[i].id };
	return *ret = all;
}

int director_persist(Tdid *tdid, const EngineEffect *step, size_t n_step, const char *reason)
{
	_cleanup_free_ EngineEffect *all = NULL;
	const EngineEffect *effects;
	int r, worst = 0;
	size_t n = 0;

	while (n < n_step && engine_effect_is_record(step[n].type))
		n++;
	effects = add_graces(step, n_step, &n, &all);

	if (n > 1 && write_together(&r, tdid, effects, n, reason))
		return r;
	for (size_t i = 0; i < n; i++) {
		r = write_one(tdid, &effects[i], reason);
		if (r != 0)
			say_unrecorded(tdid, &effects[i], r);
		if (r != 0 && worst >= 0)
			worst = r;
	}
	return worst;
}
