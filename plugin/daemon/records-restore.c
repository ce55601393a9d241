/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restoring goes by kind: TVMs, DSMs, TDIs, then the assignments, which refer to all three. A TVM
 * whose QEMU is gone is put back too, so that its assignments can come to their end.
 *
 * A record that could not be written, or removed, says what was so before. Nobody owns a TDI, or
 * gives it free, without the TDI's record; so when that names another owner (to the incarnation and
 * the alias) or a later bind than an assignment's does, the assignment's is the old one, and had
 * come to its end. The binds in between are in the assignment's only.
 */
#include "daemon/records.h"

#include "core/domain-xml.h"
#include "daemon/incarnation.h"
#include "rpc/log.h"

#include <errno.h>
#include <string.h>

typedef struct RawRecord {
	const char *kind, *domain, *domain_name, *name, *device, *dsm, *tsm, *guest_address, *state,
		*fault, *reason, *owner, *owner_name, *guest_boot, *on_reject, *on_timeout,
		*on_error, *attach_token, *detach_token, *cause_domain, *cause_domain_name,
		*cause_name;
	int64_t pid, owner_pid, start_time, generation, operation, request, rebinds_max, rebinds,
		guest_timeout_usec, attach_uid, detach_uid, guest_until_usec, guest_left_usec,
		retry_until_usec, idle_until_usec, idle_tries, pinned_by, cause_uid;
	bool pinned, doubtful, quarantined, present, left, guest_ready, retry_timer, unserved,
		detach_pending;
	json_object *timeline;
} RawRecord;

#define STRING(field)                                                                              \
	{                                                                                          \
#field, JSON_FIELD_STRING, 0, offsetof(RawRecord, field)                           \
	}
#define NUMBER(field)                                                                              \
	{                                                                                          \
#field, JSON_FIELD_INT, 0, offsetof(RawRecord, field), 0, INT64_MAX                \
	}
/* Is no ground to set a record aside. */
#define LENIENT(field)                                                                             \
	{                                                                                          \
#field, JSON_FIELD_INT, 0, offsetof(RawRecord, field)                              \
	}
#define BOOLEAN(field)                                                                             \
	{                                                                                          \
#field, JSON_FIELD_BOOL, 0, offsetof(RawRecord, field)                             \
	}

static const JsonField record_fields[] = {
	STRING(kind),
	STRING(domain),
	STRING(domain_name),
	STRING(name),
	STRING(device),
	STRING(dsm),
	STRING(tsm),
	STRING(guest_address),
	STRING(state),
	STRING(fault),
	STRING(reason),
	STRING(owner),
	STRING(owner_name),
	STRING(guest_boot),
	STRING(on_reject),
	STRING(on_timeout),
	STRING(on_error),
	STRING(attach_token),
	STRING(detach_token),
	STRING(cause_domain),
	STRING(cause_domain_name),
	STRING(cause_name),
	NUMBER(pid),
	NUMBER(owner_pid),
	NUMBER(start_time),
	NUMBER(generation),
	NUMBER(operation),
	NUMBER(request),
	NUMBER(rebinds_max),
	NUMBER(rebinds),
	NUMBER(guest_timeout_usec),
	NUMBER(attach_uid),
	NUMBER(detach_uid),
	LENIENT(guest_until_usec),
	LENIENT(guest_left_usec),
	LENIENT(retry_until_usec),
	LENIENT(idle_until_usec),
	LENIENT(idle_tries),
	LENIENT(pinned_by),
	LENIENT(cause_uid),
	BOOLEAN(pinned),
	BOOLEAN(doubtful),
	BOOLEAN(quarantined),
	BOOLEAN(present),
	BOOLEAN(left),
	BOOLEAN(guest_ready),
	BOOLEAN(retry_timer),
	BOOLEAN(unserved),
	BOOLEAN(detach_pending),
	{ "timeline", JSON_FIELD_ARRAY, 0, offsetof(RawRecord, timeline) },
	{},
};

static Tvm *find_tvm(Tdid *tdid, Uuid uuid, int64_t pid)
{
	Tvm *tvm;

	for (uint32_t p = 0; (tvm = registry_next_tvm(tdid->registry, &p));)
		if (uuid_equal(tvm->uuid, uuid) && tvm->pid == pid)
			return tvm;
	return NULL;
}

static int restore_tvm(Tdid *tdid, const RawRecord *raw)
{
	Uuid uuid;
	Domain *domain;
	Tvm *tvm;
	int r;

	if (!raw->domain || uuid_from_string(&uuid, raw->domain) < 0 || raw->pid < 1 ||
	    raw->pid > INT32_MAX || find_tvm(tdid, uuid, raw->pid))
		return -EBADMSG;
	r = registry_domain(tdid->registry, uuid, &domain);
	if (r < 0)
		return r;
	if (!domain->name)
		domain->name = strdup(raw->domain_name ?: raw->domain);
	if (!domain->name)
		return -ENOMEM;
	r = incarnation_restore(tdid, domain, (pid_t)raw->pid, (uint64_t)raw->start_time);
	if (r < 0)
		return r;
	tvm = find_tvm(tdid, uuid, raw->pid);
	if (tvm && raw->guest_boot)
		tvm->guest_boot = strdup(raw->guest_boot);
	return 0;
}

/* What is too long is cut short when the timer is restored, which knows how long it takes. */
static uint64_t restore_time(int64_t usec)
{
	return usec > 0 ? (uint64_t)usec : 0;
}

/* What makes no sense is no ground to forget the session. */
static void restore_cause(Dsm *dsm, const RawRecord *raw)
{
	Uuid domain;

	dsm->pinned_by = raw->pinned_by <= UINT32_MAX ? raw->pinned_by : -1;
	if (!raw->cause_domain)
		dsm_cause_set_request(&dsm->cause, raw->cause_uid);
	else if (uuid_from_string(&domain, raw->cause_domain) >= 0 && raw->cause_name)
		dsm_cause_set_device(&dsm->cause, domain, raw->cause_domain_name, raw->cause_name);
}

static int restore_dsm(Tdid *tdid, const RawRecord *raw)
{
	EngineDsm e = { .operation = (uint64_t)raw->operation,
			.pinned = raw->pinned,
			.doubtful = raw->doubtful };
	Dsm *dsm;
	Bdf bdf;
	int r;

	if (!raw->dsm || bdf_parse(&bdf, raw->dsm) < 0 ||
	    dsm_state_parse(&e.state, raw->state) < 0 || registry_find_dsm(tdid->registry, bdf))
		return -EBADMSG;
	r = registry_dsm(tdid->registry, bdf, &dsm);
	if (r < 0)
		return r;
	for (size_t i = 0; raw->tsm && i < tdid->config->n_tsms; i++)
		if (strcmp(provider_name(tdid->providers[i]), raw->tsm) == 0)
			dsm->provider = tdid->providers[i];
	dsm->reason = raw->reason ? strdup(raw->reason) : NULL;
	restore_cause(dsm, raw);
	dsm->idle_until_usec = restore_time(raw->idle_until_usec);
	dsm->idle_tries =
		raw->idle_tries > UINT32_MAX ? UINT32_MAX : (uint32_t)restore_time(raw->idle_tries);
	return engine_restore_dsm(tdid->engine, dsm->id, &e);
}

static int restore_drain(Tdid *tdid, const RawRecord *raw)
{
	Dsm *dsm;
	Bdf bdf;
	int r;

	if (!raw->dsm || bdf_parse(&bdf, raw->dsm) < 0)
		return -EBADMSG;
	r = registry_dsm(tdid->registry, bdf, &dsm);
	if (r >= 0)
		dsm->drained = true;
	return r;
}

static int restore_tdi(Tdid *tdid, const RawRecord *raw)
{
	EngineTdi e = { .operation = (uint64_t)raw->operation,
			.generation = (uint64_t)raw->generation };
	Tdi *tdi;
	Bdf bdf, dsm;
	int r;

	if (!raw->device || bdf_parse(&bdf, raw->device) < 0 ||
	    registry_find_tdi(tdid->registry, bdf) || (raw->dsm && bdf_parse(&dsm, raw->dsm) < 0) ||
	    raw->owner_pid > INT32_MAX)
		return -EBADMSG;
	r = registry_tdi(tdid->registry, bdf, &tdi);
	if (r >= 0 && raw->dsm)
		r = registry_dsm(tdid->registry, dsm, &tdi->dsm);
	if (r < 0)
		return r;
	tdi->has_recorded_owner =
		raw->owner && uuid_from_string(&tdi->recorded_owner, raw->owner) >= 0;
	tdi->recorded_owner_pid = (pid_t)raw->owner_pid;
	tdi->recorded_owner_name = raw->owner_name ? strdup(raw->owner_name) : NULL;
	tdi->reason = raw->reason ? strdup(raw->reason) : NULL;
	if (raw->quarantined)
		e.state = e.operation ? TDI_CLEARING : TDI_QUARANTINED;
	return engine_restore_tdi(tdid->engine, tdi->id, &e);
}

/* A DSM without a session has no record. */
static int idle_dsm(Tdid *tdid, Bdf bdf, Dsm **ret)
{
	int r = registry_dsm(tdid->registry, bdf, ret);

	if (r >= 0 && !engine_dsm(tdid->engine, (*ret)->id))
		r = engine_restore_dsm(tdid->engine, (*ret)->id, &(EngineDsm){});
	return r;
}

/* One that says none has the config's until the next read of its domain. */
static int restore_policy(const Tdid *tdid, const RawRecord *raw, EngineAssignment *e)
{
	e->policy = tdid->config->policy;
	if (!raw->on_reject)
		return 0;
	if (policy_action_parse(&e->policy.on_reject, raw->on_reject) < 0 || !raw->on_timeout ||
	    policy_action_parse(&e->policy.on_timeout, raw->on_timeout) < 0 || !raw->on_error ||
	    policy_action_parse(&e->policy.on_error, raw->on_error) < 0 ||
	    raw->rebinds_max > UINT32_MAX || raw->rebinds > UINT32_MAX)
		return -EBADMSG;
	e->policy.rebinds = (uint32_t)raw->rebinds_max;
	e->policy.guest_timeout_usec = (uint64_t)raw->guest_timeout_usec;
	e->rebinds = (uint32_t)raw->rebinds;
	e->retry_timer = raw->retry_timer;
	return 0;
}

static ClientToken restore_token(const char *text, int64_t uid)
{
	bool good = text && client_token_valid(text) && uid <= UINT32_MAX;

	return (ClientToken){ .text = good ? strdup(text) : NULL, .uid = (uid_t)uid };
}

static bool is_recorded_owner(const Tdi *tdi, const Assignment *a)
{
	return tdi->has_recorded_owner && uuid_equal(tdi->recorded_owner, a->tvm->uuid) &&
	       (tdi->recorded_owner_pid == 0 || tdi->recorded_owner_pid == a->tvm->pid) &&
	       (!tdi->recorded_owner_name || strcmp(tdi->recorded_owner_name, a->alias) == 0);
}

/* Its end could not be written. */
static bool is_outdated(const Tdid *tdid, const EngineAssignment *e, const Assignment *a)
{
	const EngineTdi *tdi = engine_tdi(tdid->engine, a->tdi->id);

	if (e->state == ASSIGNMENT_RELEASED || e->state == ASSIGNMENT_FAILED ||
	    e->fault == FAULT_FOREIGN) /* was never the owner */
		return false;
	/* A doubt counts, whoever has it, unless another one could own it after that. */
	if (e->state == ASSIGNMENT_QUARANTINED)
		return tdi->state == TDI_KNOWN && a->tdi->has_recorded_owner &&
		       !is_recorded_owner(a->tdi, a);
	if (!is_recorded_owner(a->tdi, a))
		return true;
	return e->generation > 0 && e->generation < tdi->generation;
}

static int restore_assignment(Tdid *tdid, const RawRecord *raw)
{
	EngineAssignment e = { .unserved = raw->unserved,
			       .generation = (uint64_t)raw->generation,
			       .operation = (uint64_t)raw->operation,
			       .request = (uint64_t)raw->request,
			       .present = raw->present,
			       .left = raw->left,
			       .guest_ready = raw->guest_ready };
	Bdf device, dsm_bdf;
	bool released;
	Assignment *a;
	Uuid uuid;
	Tvm *tvm;
	Tdi *tdi;
	Dsm *dsm;
	int r;

	if (bdf_parse(&device, raw->device) < 0)
		return -EBADMSG;
	tdi = registry_find_tdi(tdid->registry, device);
	if (tdi)
		engine_restore_generation(tdid->engine, tdi->id, e.generation);
	/* The name goes into the record's own, so that another could be read but not written. */
	if (!raw->domain || !raw->name || !domain_xml_alias_valid(raw->name) ||
	    uuid_from_string(&uuid, raw->domain) < 0 || bdf_parse(&dsm_bdf, raw->dsm) < 0 ||
	    assignment_state_parse(&e.state, raw->state) < 0 ||
	    engine_fault_parse(&e.fault, raw->fault) < 0 || restore_policy(tdid, raw, &e) < 0)
		return -EBADMSG;
	tvm = find_tvm(tdid, uuid, raw->pid);
	if (!tvm || !tdi || registry_find_assignment(tvm, raw->name, device))
		return -EBADMSG;
	r = idle_dsm(tdid, dsm_bdf, &dsm);
	if (r >= 0)
		r = registry_add_assignment(tdid->registry, tvm, dsm, tdi, raw->name, &a);
	if (r < 0)
		return r;
	/* It is over; if libvirt has it in the domain all the same, it appears there anew. */
	if (is_outdated(tdid, &e, a)) {
		log_warning("%s/%s: its record is older than %s's: it is over", tvm->domain->name,
			    raw->name, raw->device);
		released = e.fault == FAULT_NONE || e.fault == FAULT_UNLOCKED;
		e = (EngineAssignment){ .state = released ? ASSIGNMENT_RELEASED : ASSIGNMENT_FAILED,
					.fault = released ? FAULT_NONE : e.fault,
					.generation = e.generation };
	}
	e.tvm = tvm->id;
	e.dsm = dsm->id;
	e.tdi = tdi->id;
	r = engine_restore_assignment(tdid->engine, a->id, &e);
	if (r < 0) {
		registry_remove_assignment(tdid->registry, a);
		return r == -EINVAL ? -EBADMSG : r;
	}
	/* What happened when is worth less than the assignment itself. */
	if (raw->timeline && timeline_from_json(&a->timeline, raw->timeline) < 0)
		timeline_clear(&a->timeline);
	a->attach_token = restore_token(raw->attach_token, raw->attach_uid);
	a->detach_token = restore_token(raw->detach_token, raw->detach_uid);
	a->detach_pending = a->detach_token.text && raw->detach_pending;
	a->guest_known = raw->guest_address && bdf_parse(&a->guest, raw->guest_address) >= 0;
	a->reason = raw->reason && e.fault != FAULT_NONE ? strdup(raw->reason) : NULL;
	a->guest_until_usec = restore_time(raw->guest_until_usec);
	a->guest_timer_left = restore_time(raw->guest_left_usec);
	a->retry_until_usec = restore_time(raw->retry_until_usec);
	a->last_state = e.state;
	a->last_generation = e.generation;
	a->last_fault = e.fault;
	return 0;
}

typedef struct Kind {
	const char *name;
	int (*restore)(Tdid *tdid, const RawRecord *raw);
} Kind;

static const Kind kinds[] = {
	{ "tvm", restore_tvm },
	{ "dsm", restore_dsm },
	{ "drain", restore_drain },
	{ "tdi", restore_tdi },
	{ "assignment", restore_assignment },
};

typedef struct Restore {
	Tdid *tdid;
	unsigned int n[ELEMENTSOF(kinds)];
} Restore;

/* Of a kind that is not known it is nothing to us. */
static int on_record(const char *name, json_object *record, void *userdata)
{
	const char *kind = json_get_string(record, "kind");
	Restore *restore = userdata;
	_cleanup_free_ char *why = NULL;
	RawRecord raw = { .pinned_by = -1, .cause_uid = -1 };
	int r;

	if (!kind)
		return -EBADMSG;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		if (strcmp(kind, kinds[i].name) != 0)
			continue;
		if (json_dispatch(record, record_fields, &raw, 0, &why) < 0)
			return -EBADMSG;
		r = kinds[i].restore(restore->tdid, &raw);
		if (r >= 0)
			restore->n[i]++;
		return r;
	}
	return 0;
}

int records_restore(Tdid *tdid, char **ret_error)
{
	static const char *const order[] = { "tvm", "dsm", "drain", "tdi", "assignment", NULL };
	Restore restore = { .tdid = tdid };
	int r = store_each(tdid->store, order, true, on_record, &restore, ret_error);

	if (r >= 0 && (restore.n[0] || restore.n[4]))
		log_info("%s: %u TVMs, %u assignments of before", tdid->config->records,
			 restore.n[0], restore.n[4]);
	return r;
}
